"""Config files of pysubtask that lie in watched folders, and the secret files they name: no data, for every task and not only for
the one that runs from them."""

from __future__ import annotations

import operator
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .place import real_path

CONFIG = "a config of pysubtask"
_ENDING = ".toml"
_MAY_BE = operator.methodcaller("endswith", _ENDING)
_LARGEST = 256 * 1024  # bytes; a larger file is no config
_MOST_FOLDERS = 10_000  # then all are forgotten, which costs one scan each
_LEAST_SECS = 0.02  # between two scans of a folder, however cheap one is
_SHARE = 100  # looking takes at most one part in this many of the time
_SECOND_NS = 1_000_000_000
_GRANULARITY_NS, _FINE_NS = 2 * _SECOND_NS, _SECOND_NS // 20
"""A folder changed this recently may change again without another time, where times are whole seconds or finer."""
_BESIDE = (".password", ".token")
"""Where ``init`` stores the secret of a config, behind the config's name without its ending."""
_NO_SECRET = ("CAFile", "KnownHostsFile", "SSHConfigFile")
_LOGIN = {
    "ftp": {"Host", "User", "Password", "PasswordFile", "KeyFile", "UseFTP", "UseSFTP", "HostPath"},
    "dropbox": {"AppKey", "AppSecret", "RefreshToken", "RefreshTokenFile", "AccessToken", "UseDropbox"},
}
_WORD = re.compile(rb"watch|ftp|dropbox")
_BROKEN = re.compile(r"^\s*(?:\[\[?\s*(?:tasks\.[^\]]+\.)?(?:watch|ftp|dropbox)\s*\]|(?:ftp|dropbox)\.\w+\s*=)", re.MULTILINE)
_NAMED = re.compile(r"""(\w+File)\s*=\s*["']([^"'\n]+)["']""")

_NOTHING: Mapping[str, str] = {}

Stamp = tuple[int, int, int, int]


def named_by(text: str, path: str) -> dict[str, str] | None:
    """The secret files that a config file of pysubtask at ``path`` names, with the config itself (absolute path -> what it is);
    None where the text is no such config. One that is being edited, and no TOML at the moment, counts too."""
    import tomllib  # hardly any app has such a file beside its data

    folder, name = os.path.split(path)
    try:
        raw = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        if not _BROKEN.search(text):
            return None
        settings: Iterable[tuple[str, Any]] = _NAMED.findall(text)
    else:
        tables = list(_tables(raw))
        if not any(_is_config(table) for table in tables):
            return None
        settings = [item for table in tables for section in _LOGIN for item in _section(table, section).items()]
    found = {path: CONFIG}
    for key, value in settings:
        if key.endswith("File") and key not in _NO_SECRET and isinstance(value, str) and value and "\0" not in value:
            secret = os.path.normpath(os.path.join(folder, os.path.expanduser(value)))
            found.setdefault(secret, f"named by {key} of {path}")
    stem = path.removesuffix(_ENDING)
    for ending in _BESIDE:
        found.setdefault(stem + ending, f"the secret that belongs to {name}")
    return found


def _tables(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield raw
    tasks = raw.get("tasks")
    if isinstance(tasks, dict):
        yield from (table for table in tasks.values() if isinstance(table, dict))


def _section(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}


def _is_config(table: Mapping[str, Any]) -> bool:
    watch = table.get("watch")
    if isinstance(watch, list) and any(isinstance(entry, dict) and ("dir" in entry or "file" in entry) for entry in watch):
        return True
    return any(not keys.isdisjoint(_section(table, section)) for section, keys in _LOGIN.items())


class _Read(NamedTuple):
    stamp: Stamp
    found: Mapping[str, str]


class _Seen:
    """What is known of a folder. ``stamp``: as it was when it was listed, None: it has to be listed again."""

    def __init__(self) -> None:
        self.stamp: tuple[int, int, int] | None = None
        self.names: list[str] = []
        self.configs: dict[str, _Read] = {}
        self.next_scan = self.next_renewal = float("-inf")


class OtherConfigs:
    """The configs directly in folders that are asked about, and in ``roots``.

    ``most_secs``: a folder that took longer is checked again only by :meth:`renew`. ``timer`` in seconds, ``work`` the same of
    what was worked, not waited. A file is parsed once for each change; links are not followed. What a config named stays known
    while the config is away or empty.
    """

    def __init__(
        self,
        roots: Iterable[str] = (),
        most_secs: float = float("inf"),
        timer: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._roots = tuple(dict.fromkeys(real_path(root) for root in roots))
        self._most_secs = most_secs
        self._timer = timer
        self._work = work
        self._seen: dict[str, _Seen] = {}
        self._next_roots = float("-inf")
        self._by_folder: dict[str, dict[str, str]] = {}
        self._files: dict[str, str] = {}

    def of(self, folder: str) -> Mapping[str, str]:
        """What is no data in this folder (a real path): name -> what it is."""
        now = self._timer()
        if now < self._next_roots and folder in self._seen and now < self._seen[folder].next_scan:
            return self._by_folder.get(folder, _NOTHING)  # asked for each file, several times
        if now >= self._next_roots:
            cost = sum(self._scan_when_due(root, now) for root in self._roots)
            self._next_roots = now + max(_LEAST_SECS, _SHARE * cost)
            if folder in self._roots:
                return self._by_folder.get(folder, _NOTHING)
        self._scan_when_due(folder, now)
        return self._by_folder.get(folder, _NOTHING)

    @property
    def files(self) -> Mapping[str, str]:
        """All that is known: absolute path -> what it is."""
        return self._files

    def renew(self, folder: str, *, always: bool = True) -> None:
        """Scan a folder (a real path) however long that takes, or (not ``always``) before a file of it is sent."""
        if always or folder not in self._seen or self._timer() >= self._seen[folder].next_renewal:
            self._scan(folder)

    def _scan_when_due(self, folder: str, now: float) -> float:
        return self._scan(folder) if folder not in self._seen or now >= self._seen[folder].next_scan else 0.0

    def _scan(self, folder: str) -> float:
        """What it has cost, in seconds of work."""
        seen = self._seen.get(folder)
        if seen is None:
            if len(self._seen) >= _MOST_FOLDERS:
                self._seen.clear()
            seen = self._seen[folder] = _Seen()
        begun_at, begun = self._timer(), self._work()
        there = self._list(folder, seen)
        # What is parsed, once for each change, is no cost of the next look.
        cost = self._work() - begun
        too_dear = cost > self._most_secs
        seen.next_renewal = float("inf") if too_dear else begun_at + _SHARE * cost
        seen.next_scan = float("inf") if too_dear else begun_at + max(_LEAST_SECS, _SHARE * cost)
        if there and self._read(folder, seen):
            self._gather()
        return cost

    def _list(self, folder: str, seen: _Seen) -> bool:
        """Whether the folder is there; its names are those of now."""
        try:
            found = os.stat(folder)
            stamp = (found.st_dev, found.st_ino, found.st_mtime_ns)
            if stamp != seen.stamp:
                seen.names = list(filter(_MAY_BE, os.listdir(folder)))
                tick = _FINE_NS if found.st_mtime_ns % _SECOND_NS else _GRANULARITY_NS
                seen.stamp = stamp if abs(time.time_ns() - found.st_mtime_ns) > tick else None
        except OSError:
            seen.stamp = None
            return False
        return True

    def _read(self, folder: str, seen: _Seen) -> bool:
        """Whether anything is known otherwise than before."""
        changed = False
        for name in seen.names:
            path = os.path.join(folder, name)
            before = seen.configs.get(name)
            try:
                stamp = _stamp(os.lstat(path))
                if before is not None and before.stamp == stamp:
                    continue
                text = _text(path)
            except OSError:
                continue  # it went away, or this user may not read it
            found = None if text is None else named_by(text, path)
            known: Mapping[str, str] = {} if before is None else before.found
            if text == "":
                found = dict(known)
            seen.configs[name] = _Read(stamp, found or {})
            changed |= (found or {}) != known
        return changed

    def _gather(self) -> None:
        files: dict[str, str] = {}
        for seen in self._seen.values():
            for one in seen.configs.values():
                for path, why in one.found.items():
                    if why == CONFIG:
                        files[path] = why
                    else:
                        files.setdefault(path, why)
        by_folder: dict[str, dict[str, str]] = {}
        for path, why in files.items():
            for form in dict.fromkeys((path, real_path(path))):
                head, name = os.path.split(form)
                by_folder.setdefault(real_path(head), {})[name] = why
        self._files, self._by_folder = files, by_folder


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _text(path: str) -> str | None:
    """The text of a plain file of moderate size that may be a config; None of any other. OSError where it cannot be read."""
    handle = os.open(
        path,
        os.O_RDONLY
        | getattr(os, "O_BINARY", 0)
        | getattr(os, "O_NOFOLLOW", 0)
        | getattr(os, "O_NONBLOCK", 0)
        | getattr(os, "O_CLOEXEC", 0),
    )
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            return None
        data = file.read(_LARGEST)
    if data and not _WORD.search(data):
        return None
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n")
