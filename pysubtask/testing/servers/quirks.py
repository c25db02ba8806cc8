"""What servers refuse, limit or do otherwise: each thing is a switch, for SFTP, for FTP or for both, that may be turned while a
server runs.

::

    with quirk_ftp_server(tmp_path) as server:
        server.quirks.rename = "new"           # from now on: no rename over a file that exists
        switch("delete refused").turn_on(server.quirks)
        server.quirks.reset()

``Quirks`` has the values, ``SWITCHES`` names each single quirk for tests that try all of them, and ``pairs`` two at a time.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

MINUTE = 60.0


@dataclass
class Quirks:
    """How a server behaves now; as made, it has no quirk. A value that is set counts from the next command on.

    ``rename``: "over" (also over a file that exists), "new" (to new names only) or "none". ``posix_rename``: whether SFTP's
    posix-rename@openssh.com is there; ``rename_secs``: how long a rename takes, as where it copies.
    ``append``: "yes", "refused" (no file with content is opened to be continued: APPE and REST in FTP) or "late" (the first write
    at an offset is refused; in FTP the STOR after a REST). ``random_writes``: False takes SFTP's writes in their order only.
    ``read_write``: whether SFTP opens a file for both at once. ``reads``: whether what is there may be read.
    ``size``: "always"; "missing", "absent" or "zero" (of a file that is being written there is nothing, no size, or 0: SFTP);
    "denied" (FTP's SIZE alone) or "never" (no command tells any). ``late_secs``: so long a size grows after the end of a write.
    ``visible``: "at once" or "after close": until then a new file is under no name, and what was under it stays (SFTP).
    ``times``: "kept", "refused" or "ignored". ``fsync``: whether SFTP's fsync@openssh.com is there. ``delete``: whether files may
    be deleted. ``hidden_names``: whether a name may begin with a dot. ``endings``: the ends that names of files may have; None
    for any. ``odd_names``: "kept" or "renamed": a blank at either end and signs such as ``*`` become ``_``, and nothing is said.
    ``file_names``: "exact", "any case" (kept as they are, and found in any case), "small" (capital letters become small ones),
    "composed" (the Unicode form NFC) or "trimmed" (without dots and blanks at the end).
    ``time_step``: times are whole multiples of so many seconds; ``time_shift``: so many seconds are added to those that are told,
    as where they are local ones.
    ``after_publish``: "stays", "taken" (a file whose name begins with no dot is taken away at once) or "hidden" (nothing shows
    it, and it can be renamed and deleted). ``links``: what writing to a link does: "followed", "refused" or "replaced" (by a file).

    ``open_files``: how many may be open at a time, over all sessions; ``connections``: how many sessions;
    ``logins``: how many logins in ``login_secs`` seconds. More are refused; None has no limit.

    FTP alone: ``overwrite``: what a STOR over a file does: "yes", "refused" or "beside" (the new one gets the next name that is
    free, and nothing is said). ``line_ends``: "kept" or "changed" (LF becomes CRLF). ``names``: how many files and folders there
    may be. ``passive``: whether the server gives ports to connect to at all.
    ``epsv``: whether it is there; ``pasv_address``: the address that PASV tells, None for the right one. ``reuse``: the
    TLS versions ("1.2", "1.3") in which data connections must reuse a session. ``data_end``: "" as it should be, "early" (226 at
    the first byte, and the rest is read slowly), "reset" (the data connection is reset after the last byte), "open" (226, and
    neither TLS nor TCP is closed), "cut" (226, and TCP is closed without a goodbye of TLS) or "waits" (226 when the client has
    closed TCP, which it is left to do first; 426 after ten seconds).
    """

    rename: str = "over"
    posix_rename: bool = True
    rename_secs: float = 0.0
    append: str = "yes"
    random_writes: bool = True
    read_write: bool = True
    reads: bool = True
    size: str = "always"
    late_secs: float = 0.0
    visible: str = "at once"
    times: str = "kept"
    fsync: bool = True
    delete: bool = True
    hidden_names: bool = True
    endings: tuple[str, ...] | None = None
    odd_names: str = "kept"
    file_names: str = "exact"
    time_step: int = 1
    time_shift: int = 0
    after_publish: str = "stays"
    links: str = "followed"
    open_files: int | None = None
    connections: int | None = None
    logins: int | None = None
    login_secs: float = MINUTE
    overwrite: str = "yes"
    line_ends: str = "kept"
    names: int | None = None
    passive: bool = True
    epsv: bool = True
    pasv_address: str | None = None
    reuse: tuple[str, ...] = ()
    data_end: str = ""

    def __setattr__(self, name: str, value: Any) -> None:
        allowed = _VALUES.get(name)
        if name not in _NAMES:
            raise AttributeError(f"there is no quirk {name!r}: give one of {', '.join(_NAMES)}")
        if allowed is not None and value not in allowed:
            raise ValueError(f"{name} is {value!r}: give one of {', '.join(map(repr, allowed))}")
        super().__setattr__(name, value)

    def set(self, **values: Any) -> None:
        """Set several values at once. AttributeError for an unknown quirk, ValueError for a value it cannot have."""
        for name, value in values.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Take every quirk off."""
        for field in fields(self):
            setattr(self, field.name, field.default)


_NAMES = tuple(Quirks.__annotations__)
_VALUES: dict[str, tuple[str, ...]] = {
    "rename": ("over", "new", "none"),
    "append": ("yes", "refused", "late"),
    "size": ("always", "missing", "absent", "zero", "denied", "never"),
    "visible": ("at once", "after close"),
    "times": ("kept", "refused", "ignored"),
    "odd_names": ("kept", "renamed"),
    "file_names": ("exact", "any case", "small", "composed", "trimmed"),
    "after_publish": ("stays", "taken", "hidden"),
    "links": ("followed", "refused", "replaced"),
    "data_end": ("", "early", "reset", "open", "cut", "waits"),
    "overwrite": ("yes", "refused", "beside"),
    "line_ends": ("kept", "changed"),
}


class Switch(NamedTuple):
    """One quirk by its ``name``: the ``values`` it sets, and the ``protocols`` that know it, of "sftp", "ftp" and "ftps"."""

    name: str
    values: dict[str, Any]
    protocols: frozenset[str]

    def turn_on(self, quirks: Quirks) -> None:
        """The server has this quirk from now on, besides those it has."""
        quirks.set(**self.values)


_ALL, _FTP, _SFTP, _TLS = frozenset({"sftp", "ftp", "ftps"}), frozenset({"ftp", "ftps"}), frozenset({"sftp"}), frozenset({"ftps"})

OBJECT_STORE: dict[str, Any] = {
    "visible": "after close",
    "size": "missing",
    "append": "refused",
    "random_writes": False,
    "read_write": False,
    "rename": "new",
    "posix_rename": False,
    "rename_secs": 0.1,
    "times": "refused",
    "fsync": False,
}
"""What an object store behind SFTP is like: a file is nowhere before it is closed, cannot be changed, and is copied by a rename."""

DATA_ENDINGS = (".csv", ".txt", ".bin", ".jpg", ".dat", ".log", ".json")
"""What a server with a filter of names lets through, in the switch of that name."""

SWITCHES = (
    Switch("no rename over a file", {"rename": "new", "posix_rename": False}, _ALL),
    Switch("no rename at all", {"rename": "none", "posix_rename": False}, _ALL),
    Switch("no posix-rename", {"posix_rename": False}, _SFTP),
    Switch("slow rename", {"rename_secs": 0.5}, _SFTP),
    Switch("append refused", {"append": "refused"}, _ALL),
    Switch("append refused at the write", {"append": "late"}, _ALL),
    Switch("writes in order only", {"random_writes": False}, _SFTP),
    Switch("no opening for reading and writing", {"read_write": False}, _SFTP),
    Switch("reading refused", {"reads": False}, _ALL),
    Switch("no such file before the close", {"size": "missing"}, _SFTP),
    Switch("no size before the close", {"size": "absent"}, _SFTP),
    Switch("size 0 before the close", {"size": "zero"}, _SFTP),
    Switch("no size ever", {"size": "never"}, _ALL),
    Switch("SIZE denied", {"size": "denied"}, _FTP),
    Switch("size grows late", {"late_secs": 1.0}, _ALL),
    Switch("nothing visible before the close", {"visible": "after close"}, _SFTP),
    Switch("times refused", {"times": "refused"}, _ALL),
    Switch("times ignored", {"times": "ignored"}, _ALL),
    Switch("no fsync", {"fsync": False}, _SFTP),
    Switch("delete refused", {"delete": False}, _ALL),
    Switch("hidden names refused", {"hidden_names": False}, _ALL),
    Switch("unknown endings refused", {"endings": DATA_ENDINGS}, _ALL),
    Switch("odd names renamed", {"odd_names": "renamed"}, _ALL),
    Switch("names in any case", {"file_names": "any case"}, _ALL),
    Switch("names in small letters", {"file_names": "small"}, _ALL),
    Switch("accents composed", {"file_names": "composed"}, _ALL),
    Switch("ends of names trimmed", {"file_names": "trimmed"}, _ALL),
    Switch("times of two seconds", {"time_step": 2}, _ALL),
    Switch("times of a minute", {"time_step": 60}, _ALL),
    Switch("local times", {"time_shift": 7200}, _ALL),
    Switch("taken away", {"after_publish": "taken"}, _ALL),
    Switch("hidden after the publication", {"after_publish": "hidden"}, _ALL),
    Switch("links refused", {"links": "refused"}, _ALL),
    Switch("links replaced", {"links": "replaced"}, _ALL),
    Switch("one open file", {"open_files": 1}, _ALL),
    Switch("three open files", {"open_files": 3}, _ALL),
    Switch("one connection", {"connections": 1}, _ALL),
    Switch("six logins a minute", {"logins": 6}, _ALL),
    Switch("no writing over a file", {"overwrite": "refused"}, _FTP),
    Switch("stored beside the name", {"overwrite": "beside"}, _FTP),
    Switch("no passive ports", {"passive": False}, _FTP),
    Switch("EPSV refused", {"epsv": False}, _FTP),
    Switch("wrong address in PASV", {"epsv": False, "pasv_address": "10.255.255.1"}, _FTP),
    Switch("TLS 1.2 session reuse demanded", {"reuse": ("1.2",)}, _TLS),
    Switch("TLS session reuse demanded", {"reuse": ("1.2", "1.3")}, _TLS),
    Switch("early 226", {"data_end": "early"}, _FTP),
    Switch("reset after the last byte", {"data_end": "reset"}, _FTP),
    Switch("data connection never closed", {"data_end": "open"}, _FTP),
    Switch("data connection closed without a goodbye", {"data_end": "cut"}, _TLS),
    Switch("the client's end is waited for", {"data_end": "waits"}, _TLS),
    Switch("object store", OBJECT_STORE, _SFTP),
)
"""Every single quirk."""


def switch(name: str) -> Switch:
    """The switch of this name. KeyError where there is none."""
    for one in SWITCHES:
        if one.name == name:
            return one
    raise KeyError(f"there is no switch {name!r}")


def switches(protocol: str) -> list[Switch]:
    """The switches that ``protocol`` ("sftp", "ftp" or "ftps") knows."""
    return [one for one in SWITCHES if protocol in one.protocols]


def pairs(protocol: str, count: int, seed: int) -> list[tuple[Switch, Switch]]:
    """So many pairs of switches that can be on together, drawn by ``seed``; all of them where there are not so many."""
    both = itertools.combinations(switches(protocol), 2)
    found = [(one, other) for one, other in both if not one.values.keys() & other.values.keys()]
    return random.Random(seed).sample(found, min(count, len(found)))
