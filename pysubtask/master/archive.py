"""Old files: which are archived, which are residual and still to be delivered; and the moving, a little at a time.

A file that this task uploads is archived only with a receipt of every destination for its present size and time. Other files in
the same folders are archived by age alone. Files in use stay.
"""

import contextlib
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..common.clock import since_boot
from ..common.entries import Entry, first_folder
from ..common.never_sent import NONE, NeverSent
from ..common.notify import HEARTBEAT, hold_name, is_signal_file, notify_name
from ..common.receipts import Receipt, read_receipts
from ..common.status import read_status
from ..common.watched import Dirs
from .file_ages import FileAges
from .mover import Changed, Mover, Old

_AT_ONCE = 100  # directory entries or receipts between two reads of the clock


class Scope(NamedTuple):
    """What is archived. ``root`` is the archive's folder, or None for no archive; ``folders`` are those that are cleared.

    ``static`` are the watched files, ``dirs`` the watched folders; ``left`` is the folder of the first watched file,
    where files with one of ``endings`` count as left over from earlier runs. ``own``: files that are no data.
    ``first``: the first watched folder, which is never made.
    """

    root: str | None
    folders: tuple[str, ...]
    static: frozenset[str]
    dirs: Dirs
    left: str | None
    endings: frozenset[str]
    own: NeverSent = NONE
    first: str = os.sep


class Proof(NamedTuple):
    """Where one destination's receipts are: those of its ``state_dir``, if the child there last ran with settings
    of this ``settings_fingerprint`` (else they may be of another server)."""

    state_dir: str
    settings_fingerprint: str


# ---- decisions, from names and numbers alone


def scope(entries: Sequence[Entry], archive: str | None, others: Iterable[str | None], own: NeverSent = NONE) -> Scope:
    """What the entries mean for ``archive`` (below the first entry's folder). Folders that are one of ``others``
    (for snapshots, for state), or lie in them or in the archive, are left alone. ``own``: files that are no data."""
    first = first_folder(entries)
    root = None if archive is None else os.path.normpath(os.path.join(first, archive))
    closed = [folder for folder in others if folder] + ([root] if root and root != first else [])
    files = [entry.path for entry in entries if entry.kind == "file"]
    dirs = [entry.path for entry in entries if entry.kind == "dir"]
    folders = dict.fromkeys([first, *dirs]) if entries else {}
    return Scope(
        root,
        tuple(folder for folder in folders if not any(_is_in(folder, other) for other in closed)),
        frozenset(files),
        Dirs(entries, set(closed), own),
        os.path.dirname(files[0]) if files else None,
        frozenset(os.path.splitext(path)[1] for path in files),
        own,
        first,
    )


def is_data(name: str) -> bool:
    """Whether a file of this name may be archived or delivered at all: no signal, no hidden file, no file of this package."""
    return not (name.startswith(".") or is_signal_file(name) or name.endswith(HEARTBEAT + ".json"))


def is_left_over(where: Scope, path: str) -> bool:
    """Whether a file counts as left over from earlier runs; the child finds those in watched folders by itself."""
    folder, name = os.path.split(path)
    if folder != where.left or path in where.static or where.dirs.covers(folder) is not None or not is_data(name):
        return False
    return os.path.splitext(name)[1] in where.endings and not where.own.why(path)


def is_ours(where: Scope, path: str) -> bool:
    """Whether this task uploads a file: then age alone is no reason to archive it."""
    return path in where.static or where.dirs.owner(path) is not None or is_left_over(where, path)


def expiry(now: float, days: int) -> float:
    """Local midnight of ``days`` before today: a file last changed before that time is old. Seconds since the epoch."""
    today = time.localtime(now)
    return time.mktime((today.tm_year, today.tm_mon, today.tm_mday - days, 0, 0, 0, 0, 0, -1))


def is_proven(old: Old, newest: Sequence[Mapping[str, Receipt]]) -> bool:
    """Whether each destination's newest receipt of this file is about the state it is in."""
    return all((found := each.get(old.path)) is not None and (found.size, found.mtime_ns) == old[1:3] for each in newest)


def day_folder(root: str, mtime_ns: int) -> str:
    """``<root>/YYYYMM/DD`` of a file, by local time."""
    return os.path.join(root, time.strftime(f"%Y%m{os.sep}%d", time.localtime(mtime_ns / 1e9)))


# ---- actions


class Archive:
    """Clears old files away, a little at each call. ``proofs``: one for each destination. ``days``: the age.

    ``in_use``: the paths of files that must stay, such as logs; the program's own modules and whatever it has open
    stay anyway. ``wall`` in seconds since the epoch, ``clock`` monotonic, ``boot`` as ``since_boot``.
    """

    def __init__(
        self,
        where: Scope,
        proofs: Sequence[Proof],
        days: int,
        in_use: Sequence[str],
        logger: logging.Logger,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        boot: Callable[[], float] = since_boot,
    ) -> None:
        self._where = where
        self._proofs = proofs
        self._days = days
        self._in_use = in_use
        self._logger = logger
        self._clock = clock
        self.ages = FileAges(wall, boot)
        """The ages of the files, by this machine's clocks."""
        self._steps: Iterator[bool] | None = None
        self._day: tuple[int, ...] = ()
        self._troubled: set[str] = set()
        self._mover = Mover(where.first)

    def begin(self) -> None:
        """Scan everything again, from the next ``work`` on."""
        now = self.ages.begin()
        self._day = time.localtime(now)[:3]
        self._troubled.clear()
        self._steps = None if self._where.root is None else self._run(self._where.root, expiry(now, self._days))

    def is_another_day(self) -> bool:
        """Whether the last scan was begun on another day."""
        return time.localtime(self.ages.now())[:3] != self._day

    def work(self, secs: float) -> int:
        """Go on for at most this long; how many files were moved."""
        until = self._clock() + secs
        moved = 0
        try:
            while self._steps is not None:
                try:
                    moved += next(self._steps)
                except StopIteration:
                    self._steps = None
                if self._clock() >= until:
                    break
        finally:
            self._mover.close()
        return moved

    def left_over(self) -> list[str]:
        """Files of earlier runs beside the first watched file, in order."""
        where = self._where
        where.own.renew(where.left or "")
        try:
            with os.scandir(where.left or "") as items:
                found = [item for item in items if is_left_over(where, item.path) and _is_regular(item)]
                return sorted(item.path for item in found if not self._is_own(item))
        except OSError:
            return []

    def _is_own(self, item: os.DirEntry[str]) -> bool:
        """Whether it is one of the files that are no data, by its name or as a hard link."""
        own = self._where.own
        if own.why(item.path):
            return True
        return item.inode() in own.numbers() and bool(own.why_same(item.stat(follow_symlinks=False)))

    def _run(self, root: str, before: float) -> Iterator[bool]:
        """A step yields whether it moved a file."""
        stays = _identities(self._in_use)
        ours: list[Old] = []
        for folder in self._where.folders:
            # Listed as a whole, since moving files away changes the folder.
            others: list[Old] = []
            for old in self._olds(folder, before, stays):
                if old is not None:
                    (ours if is_ours(self._where, old.path) else others).append(old)
                yield False
            for old in others:
                yield not self.ages.is_doubtful(old) and self._move(root, old)
        if not ours:
            return
        paths = {old.path for old in ours}
        newest: list[dict[str, Receipt]] = []
        for proof in self._proofs:
            found: dict[str, Receipt] = {}
            newest.append(found)
            destination = _destination(proof)
            for number, receipt in enumerate(read_receipts(proof.state_dir, any_owner=False)):
                if receipt.path in paths and receipt.destination == destination:
                    found[receipt.path] = receipt
                if not number % _AT_ONCE:
                    yield False
        for old in ours:
            yield is_proven(old, newest) and self._is_old_enough(old, newest, before) and self._move(root, old, ours=True)

    def _is_old_enough(self, old: Old, newest: Sequence[Mapping[str, Receipt]], before: float) -> bool:
        """Whether a file was delivered long ago, where its own time says nothing."""
        return self.ages.is_plausible(old) or self.ages.is_delivered_before(old, [each[old.path].at for each in newest], before)

    def _olds(self, folder: str, before: float, stays: set[tuple[int, int]]) -> Iterator[Old | None]:
        """The old files of a folder; None now and then for those that are not."""
        self._where.own.renew(folder)
        try:
            with os.scandir(folder) as items:
                for number, item in enumerate(items):
                    if not number % _AT_ONCE:
                        yield None
                    if not is_data(item.name) or not _is_regular(item) or self._is_own(item):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        found = item.stat(follow_symlinks=False)
                        is_old = found.st_mtime < before and (found.st_dev, found.st_ino) not in stays
                        if is_old and self.ages.is_to_be_judged(item.path, found, before):
                            yield Old(item.path, found.st_size, found.st_mtime_ns, found.st_ino)
        except OSError as exc:
            self._trouble(folder, exc)

    def _move(self, root: str, old: Old, *, ours: bool = False) -> bool:
        if not os.path.isdir(self._where.first):
            return False
        try:
            target = self._mover.move(old, day_folder(root, int(self.ages.changed_at(old) * 1e9)), sure=ours)
        except Changed as exc:
            if exc.kept:
                text = "[%s] was written while it was archived, and stays as [%s] (%s)."
                self._logger.error(text, old.path, exc.kept, exc.why)
            return False
        except OSError as exc:
            if not isinstance(exc, FileNotFoundError):
                self._trouble(os.path.dirname(old.path), exc)
            return False
        if target is None:
            return False
        self._logger.info("Archiving [%s] to [%s]", old.path, target)
        for signal in (notify_name(old.path), hold_name(old.path)) if ours else ():
            with contextlib.suppress(OSError):
                self._mover.unlink(signal)
        return True

    def _trouble(self, folder: str, exc: OSError) -> None:
        if folder not in self._troubled:
            self._troubled.add(folder)
            why = "the archive is on another file system" if exc.errno == errno.EXDEV else exc
            self._logger.warning("Old files in [%s] stay: %s", folder, why)


def _destination(proof: Proof) -> str | None:
    page = read_status(proof.state_dir, any_owner=False) or {}
    return page.get("destination") if page.get("mark") == proof.settings_fingerprint else None


def _is_regular(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_in(path: str, folder: str) -> bool:
    return f"{path}{os.sep}".startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _identities(paths: Iterable[str]) -> set[tuple[int, int]]:
    """Device and inode number of these files, of the program's modules, and of whatever this process has open."""
    modules = [vars(module).get("__file__") for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    program = [path for path in modules if isinstance(path, str)]
    open_files: list[str] = []
    with contextlib.suppress(OSError):  # only Linux tells
        open_files = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    found = set()
    for path in [*paths, *program, *open_files]:
        with contextlib.suppress(OSError, ValueError):
            stat = os.stat(path)
            found.add((stat.st_dev, stat.st_ino))
    return found
