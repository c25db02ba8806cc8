"""The folders of one run, whose they are, and what must be found in them at the end."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from typing import NamedTuple

TASK, OTHER, COMMON = 12346, 12347, 12348
"""User and group of the task, of the adversary, and the group they have in common; numbers without a name do."""
OWN = "own-"
"""What begins so the adversary leaves alone: it has to arrive."""
QUIET = "quiet"
CASES = ("sticky", "group", "root", "owner")


class Who(NamedTuple):
    """A user, as :class:`subprocess.Popen` takes him: ``uid``, ``gid`` and the supplementary ``groups``."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class World:
    """``root`` is a new folder of root's. ``case``: "sticky" (a folder of mode 1777 of root's), "group" (2775, of the task's user,
    with a group that both are in), "root" (1777, and the task is root's), or "owner" (0755, of the adversary, whom the task that
    root starts becomes: the two are one user then, and he leaves the state and the copies alone, as his own)."""

    def __init__(self, root: str, case: str) -> None:
        self.root, self.case = root, case
        both = (COMMON,) if case == "group" else ()
        self.task = Who(0, 0, ()) if case in ("root", "owner") else Who(TASK, TASK, both)
        self.other = Who(OTHER, OTHER, both)
        self.run_as = f"{OTHER}:{OTHER}" if case == "owner" else None
        self.spared = (".pysubtask", "upload") if case == "owner" else ()
        writer = self.other if self.run_as else self.task
        self.data, self.home = os.path.join(root, "data"), os.path.join(root, "home")
        self.state, self.mine, self.server = (os.path.join(root, name) for name in ("state", "mine", "server"))
        self.token = f"CANARY-{secrets.token_hex(16)}"
        os.chmod(root, 0o755)
        for path, who, mode in (
            (self.home, self.task, 0o700),
            (self.state, writer, 0o700),
            (self.mine, self.other, 0o755),
            (self.server, Who(0, 0, ()), 0o700),
        ):
            os.mkdir(path)
            _give(path, who, mode)
        os.mkdir(self.data)
        owner, mode = {"group": (Who(TASK, COMMON, ()), 0o2775), "owner": (self.other, 0o755)}.get(case, (Who(0, 0, ()), 0o1777))
        _give(self.data, owner, mode)
        os.mkdir(os.path.join(self.data, QUIET))
        _give(os.path.join(self.data, QUIET), writer, 0o755)
        self._fill_home()
        self.before = dict(self.outside())

    def _fill_home(self) -> None:
        """Files of the task's user that nobody else may read, with names that are in the data folder too."""
        text = f"{self.token}\n" * 200
        folders = (
            self.home,
            *(
                os.path.join(self.home, name)
                for name in ("precious", "precious/sub", "precious/main", "precious/main/ftp", "precious/ftp")
            ),
        )
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
            for name in ("canary.txt", "today.csv", "a.csv", "b.csv", "st7.heartbeat", "master.log", "lock", "status.json"):
                path = os.path.join(folder, name)
                with open(path, "w", encoding="ascii") as file:
                    file.write(text)
                _give(path, self.task, 0o600)
            _give(folder, self.task, 0o700)

    @property
    def victims(self) -> list[str]:
        """The files that the adversary's links lead to."""
        inside = [
            os.path.join(self.home, name)
            for name in ("canary.txt", "today.csv", "precious/a.csv", "precious/lock", "new.txt", "precious/sub/new.csv.notify")
        ]
        return [*inside, self.home, os.path.join(self.home, "precious"), os.path.join(self.home, "precious", "sub"), self.mine]

    def outside(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        """The entries that must not change: each file and folder of the task's user outside the data folder."""
        for folder, folders, names in os.walk(self.home):
            for path in (folder, *(os.path.join(folder, name) for name in (*folders, *names))):
                found = os.lstat(path)
                digest = ""
                if stat.S_ISREG(found.st_mode):
                    with open(path, "rb") as file:
                        digest = hashlib.sha256(file.read()).hexdigest()
                times = found.st_mtime_ns if not stat.S_ISLNK(found.st_mode) else 0
                yield path, (stat.S_IFMT(found.st_mode), found.st_mode, found.st_uid, found.st_gid, found.st_size, times, digest)

    def changed(self) -> list[str]:
        """The entries outside the data folder that have changed."""
        now = dict(self.outside())
        return sorted(path for path in {*now, *self.before} if now.get(path) != self.before.get(path))

    def leaked(self) -> list[str]:
        """The files that hold the canary's text, but for those it was put into."""
        token = self.token.encode("ascii")
        return [path for top in (self.data, self.state, self.mine, self.server) for path in _holding(top, token)]


def _give(path: str, who: Who, mode: int) -> None:
    if sys.platform == "win32":
        raise NotImplementedError
    os.chown(path, who.uid, who.gid)
    os.chmod(path, mode)


def _holding(path: str, token: bytes, at: int | None = None) -> list[str]:
    """The files below ``path`` that have these bytes in them. Each folder is opened below the descriptor ``at`` of its parent, and
    only as a folder: the adversary puts links and files in the place of folders while this goes on (os.fwalk raises then)."""
    if sys.platform == "win32":
        raise NotImplementedError
    name = path if at is None else os.path.basename(path)
    try:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    except OSError:
        return [path] if at is not None and _holds(name, token, at) else []
    try:
        return [found for entry in os.listdir(handle) for found in _holding(os.path.join(path, entry), token, handle)]
    finally:
        os.close(handle)


def _holds(name: str, token: bytes, at: int) -> bool:
    """Whether a regular file in the folder ``at`` (a descriptor) has these bytes in it; no link is followed, for those lead to the
    canary itself."""
    if sys.platform == "win32":
        raise NotImplementedError
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    except OSError:
        return False
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return False
    with os.fdopen(handle, "rb") as file:
        rest = b""
        while block := file.read(1 << 20):
            if token in rest + block:
                return True
            rest = block[-len(token) :]
    return False
