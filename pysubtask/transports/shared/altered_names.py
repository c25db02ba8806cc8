"""Names that a server's file system alters, splits or confuses with another name. Pure but for :class:`AlteredNames`, which has
a memory.

A name is *plain* where every file system keeps it. Any other name has one or several kinds (a sign, a blank at an end, capital
letters, ...). When a name has a kind that this server has not yet been seen to keep, its folder is listed after the first
publication. Where a file of the name exists that no upload of this task has made, the folder is listed before: on a server that
treats ``CAM.csv`` and ``cam.csv`` as one name, the second would replace the first. For plain names this is done only on a server
that is known to find names in any case.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...common.errors import FileRefused

if TYPE_CHECKING:
    from .profile import Profile

LONGEST_LISTING = 256 * 1024
"""Bytes of a listing that are read; a folder with a longer listing is not judged."""
STEP = "renaming it into place"
_PLAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?", re.ASCII)
_SIMPLE = re.compile(r"(?:[a-z0-9_.-]*[a-z0-9_-]/)*[a-z0-9_.-]*[a-z0-9_-]", re.ASCII)  # most names: decided by this one search
_SIMPLE_PART = re.compile(r"[a-z0-9_.-]{0,99}[a-z0-9_-]", re.ASCII)
_PLAIN_SIGN = re.compile(r"[A-Za-z0-9._-]", re.ASCII)
_DEVICE = re.compile(r"(?:^|/)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|/|$)", re.I)
_SHORT = re.compile(r"[^.]{1,8}(?:\.[^.]{0,3})?")
_LONG = 100  # bytes: eCryptfs has room for 143, others for 255; a name above this is looked for in a listing
_MOST_NAMES = 1000  # names that are kept; only a bound for the memory
_AGAIN_SECS = 24 * 3600.0  # after a day the server may have been changed, so a refused name is tried again
_LISTED_SECS = 60.0  # so that the many new names of one batch cost one listing
_MOST_FOLDERS = 8  # listings that are kept; only a bound for the memory
_ACCENTS = "accents"
_ANY_CASE = "any case"
_REMEDY = "Give the file a name that the server keeps as it is, or the entry an 'as'; a rename of the file is noticed by itself"


class HasSize(Protocol):
    """One line of a listing: a ``name``, and the ``size`` of a file, None where that is not told or it is none."""

    @property
    def name(self) -> str:
        """The last part of the path, as the server writes it."""

    @property
    def size(self) -> int | None:
        """Bytes; None for what is no regular file, and where the server does not tell."""


class Row(NamedTuple):
    """One line of a listing: ``name`` and ``size``, as in HasSize."""

    name: str
    size: int | None = None


class Alias(NamedTuple):
    """``visible``: the name that a server shows in place of another; ``why``: what the server does to names, in words."""

    visible: str
    why: str


def kinds(part: str) -> list[str]:
    """The kinds of one part of a path, each a property that not every file system keeps; empty for a plain part."""
    if _SIMPLE_PART.fullmatch(part) and not _DEVICE.search(part):
        return []
    found = [_sign(sign) for sign in dict.fromkeys(part) if not _PLAIN_SIGN.fullmatch(sign) and sign.isascii()]
    if any(sign.isupper() for sign in part):
        found.append("capitals")
    if part != part.rstrip(". "):
        found.append(f"{_sign(part[-1])} at the end")
    if part[:1] == " ":
        found.append("blank at the beginning")
    if any("\udc80" <= sign <= "\udcff" for sign in part):
        found.append("bytes that are no UTF-8")
    elif not part.isascii():
        found.append("letters beyond ASCII")
        if unicodedata.normalize("NFC", part) != part:
            found.append("accents of their own")
    if _DEVICE.search(part):
        found.append("a name of a device")
    if len(os.fsencode(part)) > _LONG:
        found.append("a long name")
    return found


def changed_to(name: str, rows: Iterable[HasSize], size: int | None) -> str | None:
    """The name in a listing that a server may have made of this one: its odd signs replaced or left out, its end cut off, its case
    or the form of its accents another. None where none or several may be it, or where the name itself is there. ``size`` None: of
    any size."""
    signs = (re.escape(sign) if sign == "." or _PLAIN.fullmatch(sign) else ".{0,4}" for sign in name)
    pattern = re.compile("".join(signs), re.DOTALL)
    folded, bare, forms = _folded(name), name.rstrip(". "), []
    for row in rows:
        if row.name == name:
            return None
        if size is not None and row.size not in (size, None):
            continue
        if pattern.fullmatch(row.name) or _folded(row.name) == folded or row.name == bare or _folded(row.name) == _folded(bare):
            forms.append(row.name)
    return forms[0] if len(forms) == 1 else None


def split_to(name: str, rows: Iterable[HasSize]) -> str | None:
    """The beginning of a name that a server shows on its own, as it takes the sign behind it for something else; None where
    there is none, or where the name is there."""
    begins = {name[:at] for at, sign in enumerate(name) if at and not _PLAIN_SIGN.fullmatch(sign)}
    found = [row.name for row in rows]
    return None if name in found else max((one for one in found if one in begins), key=len, default=None)


def shortened_to(name: str, rows: Iterable[HasSize], size: int) -> str | None:
    """The short name (8 and 3 letters with a ``~``), or the beginning of a long name, that a server shows for this one."""
    found = [row.name for row in rows if row.size == size and row.name != name]
    short = [one for one in found if "~" in one and _SHORT.fullmatch(one)]
    cut = [one for one in found if len(one) >= _LONG // 2 and name.startswith(one)]
    both = short + cut
    return both[0] if len(both) == 1 else None


def why_changed(name: str, visible: str) -> str:
    """What a server does that lists ``visible`` for ``name``, in words, with the sign that is the reason."""
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", visible):
        return "it writes accents in another form of Unicode"
    bare = name.rstrip(". ")
    if visible in (bare, bare.casefold()) and bare != name:
        return f"it leaves out {_words(name[len(bare) :])} at the end of a name"
    if _folded(name) == _folded(visible):
        return "it does not tell capital letters from small ones"
    if len(visible) < len(name) and name.startswith(visible):
        sign = name[len(visible)]
        return f"it takes a name for ended at {_words(sign)}" if not _PLAIN_SIGN.fullmatch(sign) else "the name is too long for it"
    blamed = [sign for sign in dict.fromkeys(name) if not _PLAIN_SIGN.fullmatch(sign) and sign not in visible]
    if not blamed and name[:1] == " " != visible[:1]:
        blamed = [" "]
    if blamed:
        return f"it does not keep {_words(''.join(blamed))} in a name"
    return "it gives names of its own to such files"


def find(name: str, rows: Collection[HasSize], size: int | None) -> Alias | None:
    """The alias of a name in a folder's listing; None where the name itself is listed, or none that resembles it. ``size``: of the
    file, where the alias must have the same."""
    if any(row.name == name for row in rows):
        return None
    visible = changed_to(name, rows, size)
    if visible is None and size is not None:
        visible = split_to(name, rows) or shortened_to(name, rows, size)
    return None if visible is None else Alias(visible, why_changed(name, visible))


def key(name: str) -> str:
    """A key that is equal for names that some file system may treat as the same."""
    if _SIMPLE.fullmatch(name):
        return name
    return "/".join(_folded(part.rstrip(". ") or part) for part in name.split("/"))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _sign(sign: str) -> str:
    return "blank" if sign == " " else repr(sign)


def _words(signs: str) -> str:
    """Signs in words, for a message."""
    found = ["a blank" if sign == " " else "a dot" if sign == "." else f"the sign {sign!r}" for sign in dict.fromkeys(signs)]
    return " and ".join(found)


def _nobody(name: str) -> bool:
    return False


class AlteredNames:
    """The names that one server was found to alter; for any thread, one at a time for a name. The kinds of names that the server
    keeps are stored in ``profile`` and outlive the process."""

    def __init__(self, profile: Profile, clock: Callable[[], float] = time.monotonic) -> None:
        self._profile = profile
        self._clock = clock
        self._refused: dict[str, tuple[float, int, FileRefused]] = {}
        self._listed: dict[str, tuple[float, frozenset[str] | None]] = {}

    def check(self, name: str) -> None:
        """FileRefused where the server was found to alter this name within the last day, and no new try was requested since."""
        found = self._refused.get(name)
        if found is not None:
            since, asked, refused = found
            if self._clock() - since < _AGAIN_SECS and asked == self._profile.asked_again:
                raise FileRefused(
                    refused.cause, refused.remedy, step=refused.step, file=refused.file, server_text=refused.server_text
                )
            self._refused.pop(name, None)

    @staticmethod
    def is_peculiar(name: str) -> bool:
        """Whether the last part of a name is not plain."""
        return not _PLAIN.fullmatch(name.rpartition("/")[2])

    def may_meet(self, name: str) -> bool:
        """Whether an existing file of this name may have another name in the listing, as far as the server is known."""
        return _ANY_CASE in self._profile.kept_kinds or any(kinds(part) for part in name.split("/"))

    def open_parts(self, name: str) -> list[str]:
        """The paths below the destination's folder that end with a part of which it is not known whether the server keeps it."""
        if len(name) <= _LONG and _SIMPLE.fullmatch(name) and not _DEVICE.search(name):
            return []
        parts = name.split("/")
        return ["/".join(parts[: at + 1]) for at, part in enumerate(parts) if not self._profile.kept_kinds.issuperset(kinds(part))]

    def kept(self, path: str, rows: Collection[HasSize]) -> str | None:
        """Note that a listing has the last part of this path unaltered. Returns a path in swapped case, which no upload has made,
        for a stat where it is not known whether the server finds names in any case (then :meth:`in_any_case`); else None."""
        above, slash, part = path.rpartition("/")
        is_new = self._profile.add_kept_kinds(kinds(part))
        other = part.swapcase()
        if not is_new or other == part or any(row.name == other for row in rows):
            return None
        return f"{above}{slash}{other}"

    def in_any_case(self) -> None:
        """Note that the server finds a file by its name in any case."""
        self._profile.add_kept_kinds([_ANY_CASE])

    def known_to_show(self, path: str) -> bool | None:
        """Whether a listing of the last minute has this path; None where that is not known, False where the folder cannot be
        listed."""
        folder, _, part = path.rpartition("/")
        at, names = self._listed.get(folder, (0.0, frozenset()))
        if self._clock() - at >= _LISTED_SECS or not self._listed:
            return None
        return False if names is None else True if part in names else None

    def listed(self, folder: str, rows: Iterable[HasSize] | None) -> None:
        """Store the listing of a folder; ``rows`` is None where it is refused, or too long."""
        while len(self._listed) >= _MOST_FOLDERS and folder not in self._listed:
            del self._listed[next(iter(self._listed))]
        self._listed[folder] = (self._clock(), None if rows is None else frozenset(row.name for row in rows))

    def judge(self, name: str, path: str, alias: Alias, ours: Callable[[str], bool] = _nobody) -> bool:
        """Judge an alias of ``path``, which is ``name`` or a folder in it: True where the alias is the same name in another form of
        Unicode, and not that of another file. Else :meth:`refuse` is to be called."""
        visible = path[: len(path) - len(path.rpartition("/")[2])] + alias.visible
        same = unicodedata.normalize("NFC", visible) == unicodedata.normalize("NFC", path)
        if not same or (path == name and ours(visible)):
            return False
        if self._profile.add_kept_kinds([_ACCENTS]):
            text = "this server writes accents in another form of Unicode: names look the same there and are other bytes"
            self._profile.tell("names", "kept", "accents", text)
        return True

    def refuse(self, name: str, path: str, alias: Alias, ours: Callable[[str], bool] = _nobody, more: str = "") -> FileRefused:
        """The refusal of a name that the server does not keep, to be raised; it is remembered for a day."""
        visible = path[: len(path) - len(path.rpartition("/")[2])] + alias.visible
        if _folded(visible) == _folded(path):
            self.in_any_case()
        other = ", which another file here is sent to" if path == name and ours(visible) else ""
        refused = FileRefused(
            f"{name}: the server shows {visible!r} instead of {'this name' if path == name else repr(path)}{other}: "
            f"{alias.why}{more}",
            _REMEDY,
            step=STEP,
            file=name,
        )
        while len(self._refused) >= _MOST_NAMES:
            del self._refused[next(iter(self._refused))]
        self._refused[name] = (self._clock(), self._profile.asked_again, refused)
        return refused
