"""The methods (rungs) for each step on a server, best first, and the message where a better one is refused. A table, pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Means(NamedTuple):
    """A ladder: ``name`` is its key in the profile that is kept; ``rungs`` are the methods, best first. ``lacks``: of each rung
    below the first, what a server that needs it does not do and what is done instead; ``again``: the message where a better one
    works again. ``unasked``: rungs that are used only where the settings allow them, as a promise is lost there; ``remedy`` names
    the setting. ``strikes``: number of successive refusals after which a rung that has worked is given up."""

    name: str
    rungs: tuple[str, ...]
    lacks: Mapping[str, str]
    again: str
    unasked: tuple[str, ...] = ()
    remedy: str = ""
    strikes: int = 1


TEMP = Means(
    "temp_name",
    ("hidden", "hidden_ending", "visible", "ending", "subfolder", "in_place"),
    {
        "visible": "this server takes no file whose name begins with a dot: temporary names begin without one",
        "hidden_ending": "this server takes certain endings of names only: temporary files get the ending of the file",
        "ending": "this server takes certain endings and no hidden names: temporary files are visible, with the file's ending",
        "subfolder": "this server takes no temporary file beside the others: they get a folder 'pysubtask-temp'",
        "in_place": "this server takes no temporary file at all: files are written under their final names, as StoreInPlace allows",
    },
    "this server takes temporary files of a better kind again",
    unasked=("in_place",),
    remedy="Set StoreInPlace to True to have files written under their final names, where a reader may find half a file",
)
PUBLISH = Means(
    "publish",
    ("posix_rename", "rename", "aside", "in_place"),
    {
        "rename": "this server has no posix-rename: a plain rename is used",
        "aside": "this server does not rename over a file: the old one is put aside first, so a reader may for a moment find none",
        "in_place": "this server renames nothing: files are written under their final names, as StoreInPlace allows",
    },
    "this server renames over a file again",
    unasked=("in_place",),
    remedy="Set StoreInPlace to True to have files written under their final names, where a reader may find half a file",
)
OVERWRITE = Means(
    "overwrite",
    ("over", "delete_first"),
    {"delete_first": "this server does not write over a file: the old one is removed first, as StoreInPlace allows"},
    "this server writes over a file again",
)
APPEND = Means(
    "append",
    ("in_place", "none"),
    {"none": "this server takes no bytes behind the end of a file: a file that grew is sent whole"},
    "this server takes appends again",
)
WRITES = Means(
    "random_writes",
    ("any", "in_order"),
    {
        "in_order": "this server takes the bytes of a file from its beginning to its end only: an upload that was cut begins anew, "
        "and nothing is copied on the server"
    },
    "this server takes bytes at any place again",
)
SIZE = Means(
    "size",
    ("before_close", "after_close", "never"),
    {
        "after_close": "this server tells the size of a file only when it is closed: it is compared then, before the rename",
        "never": "this server does not tell the size of a file: that it took all of it is its word alone",
    },
    "this server tells the size of a file earlier again",
)
TIME = Means(
    "time",
    ("kept", "ignored", "refused"),
    {
        "ignored": "this server accepts the time of a file and does not keep it: files have the time of their arrival",
        "refused": "this server does not let the time of a file be set: files have the time of their arrival",
    },
    "this server keeps the time of a file again",
)
SYNC = Means(
    "fsync",
    ("kept", "refused"),
    {"refused": "this server does not say when a file is on its disk: that it is closed without an error has to do"},
    "this server says again when a file is on its disk",
    strikes=2,
)
DELETE = Means(
    "delete",
    ("allowed", "refused"),
    {"refused": "this server lets no file be removed: a temporary file that an upload had to leave is used for the next one"},
    "this server lets files be removed again",
)
FINAL_STAT = Means(
    "look_after",
    ("stays", "taken", "hidden"),
    {
        "taken": "files are taken away on this server as soon as they are there: their size before that has to do",
        "hidden": "this server does not show a file that it has taken: its size before the rename has to do",
    },
    "this server shows a file that it has taken again",
)
DATA = Means(
    "data_connection",
    ("epsv", "pasv", "pasv_control_address", "active"),
    {
        "pasv": "this server has no EPSV: PASV is used",
        "pasv_control_address": "the address that this server names for data cannot be reached: the control connection's is used",
        "active": "no data connection to this server can be opened from here: it opens them itself",
    },
    "data connections to this server can be opened in a better way again",
)
TLS_DATA = Means(
    "tls_reuse",
    ("resumed", "fresh"),
    {"fresh": "this server takes no resumed TLS session for data: each data connection makes one anew"},
    "this server takes resumed TLS sessions for data again",
)

TLS_VERSION = Means(
    "tls_version",
    ("newest", "1.2"),
    {"1.2": "this server takes no data connection over TLS 1.3: TLS 1.2 is used"},
    "this server takes data connections over TLS 1.3 again",
)

ALL: tuple[Means, ...] = (
    TEMP,
    PUBLISH,
    OVERWRITE,
    APPEND,
    WRITES,
    SIZE,
    TIME,
    SYNC,
    DELETE,
    FINAL_STAT,
    DATA,
    TLS_DATA,
    TLS_VERSION,
)
BY_NAME: Mapping[str, Means] = {means.name: means for means in ALL}


def lower(means: Means, rung: str, allowed: frozenset[str]) -> str | None:
    """The next rung below this one that is allowed, None where there is none."""
    return next((each for each in means.rungs[means.rungs.index(rung) + 1 :] if each in allowed), None)


def by_default(means: Means) -> frozenset[str]:
    """The rungs that are used without a setting (all but ``unasked``)."""
    return frozenset(means.rungs) - frozenset(means.unasked)
