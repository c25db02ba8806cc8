"""The adversary: ``python -m proofs.adversary.acts`` as another user, until it is ended.

Its orders are one JSON line on stdin. Each act is drawn by the seed; what the system does not allow fails and is counted. At
the end (SIGTERM) it prints how often each act was done and how often it was refused.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from .world import OWN, QUIET

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_MOST, _DEPTH, _RESCAN_ODDS = 400, 6, 40
_WRITE = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_STATE = (
    "spool.db",
    "spool.db-wal",
    "status.json",
    "events.jsonl",
    "receipts.jsonl",
    "lock",
    "handled.json",
    "residual.json",
    "settings.json",
    "read_from.json",
    "swaps.json",
    "restarts.json",
    "ssh.json",
    "requests",
    "replies",
    "st7.heartbeat",
    "st7.heartbeat.json",
)
_KNOWN = (
    ".pysubtask",
    ".pysubtask/main",
    ".pysubtask/main/ftp",
    *(f".pysubtask/main/ftp/{name}" for name in _STATE),
    "upload",
    "upload/ftp",
    "upload/ftp/x",
    "archive",
    "logs",
    "logs/master.log",
    "logs/master.log.1",
    "logs/child.log",
    "st7.heartbeat",
    ".st7.heartbeat.part",
    "today.csv",
    "today.csv.notify",
    "today.csv.hold",
    "later.csv",
    "later.csv.notify",
    "later.csv.hold",
    "deep",
    "deep/a.csv",
    "deep/a.csv.notify",
    "deep/sub",
    "deep/sub/b.csv",
    "deep/sub/b.csv.notify",
    "x.csv",
    "x.csv.notify",
    "old.csv",
)


class Acts:
    """The adversary's acts in the folder ``data``. ``mine`` is a folder of the adversary's; links lead to the ``victims``.
    ``spared``: names in the folder that are left alone with everything below. ``bystander``: pid and start of a process that
    forged records name."""

    def __init__(
        self,
        data: str,
        mine: str,
        victims: list[str],
        rng: random.Random,
        spared: Collection[str] = (),
        bystander: tuple[int, str] = (0, ""),
    ) -> None:
        self._data, self._mine, self._victims, self._rng = data, mine, victims, rng
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._seen: list[str] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.stopped = False
        today = time.strftime("%Y%m/%d")
        self._bystander = bystander
        self._spared = {QUIET, *spared}
        self._known = [
            os.path.join(data, *name.split("/"))
            for name in (*_KNOWN, f"archive/{today[:6]}", f"archive/{today}", "archive/202601", "archive/202601/02")
            if name.partition("/")[0] not in self._spared
        ]
        self._acts: tuple[Callable[[], None], ...] = (
            self.rename,
            self.exchange,
            self.symlink,
            self.symlink,
            self.replace_by_link,
            self.hardlink,
            self.fifo,
            self.folder,
            self.remove,
            self.chmod,
            self.write,
            self.notify,
            self.flip,
            self.lies,
            self.move_out,
            self.old,
        )

    def one(self) -> None:
        """Carry out one act, drawn by the seed."""
        act = self._rng.choice(self._acts)
        try:
            act()
            self.done[act.__name__] += 1
        except (OSError, ValueError):
            self.refused[act.__name__] += 1

    def _walk(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self._data):
            deep = folder.count(os.sep) - self._data.count(os.sep)
            folders[:] = sorted(name for name in folders if name not in self._spared) if deep < _DEPTH else []
            yield from (os.path.join(folder, name) for name in (*folders, *sorted(names)) if not name.startswith((OWN, "." + OWN)))

    def place(self) -> str:
        """A path in the data folder: one that exists, or one that the task may read."""
        if self._rng.randrange(_RESCAN_ODDS) == 0 or not self._seen:
            self._seen = [path for _, path in zip(range(_MOST), self._walk(), strict=False)]
        return self._rng.choice(self._seen if self._seen and self._rng.random() < 0.6 else self._known)

    def rename(self) -> None:
        """Rename one place to another."""
        os.rename(self.place(), self.place())

    def exchange(self) -> None:
        """Exchange two places in one step (renameat2 with RENAME_EXCHANGE)."""
        self._exchange(self.place(), self.place())

    def symlink(self) -> None:
        """A symbolic link to a private file where nothing is."""
        os.symlink(self._victim(), self.place())

    def replace_by_link(self) -> None:
        """A symbolic link to a private file, renamed over whatever is there."""
        temp = os.path.join(self._data, f"swap-{self._rng.randrange(10**9)}")
        os.symlink(self._victim(), temp)
        try:
            os.rename(temp, self.place())
        except OSError:
            os.unlink(temp)
            raise

    def hardlink(self) -> None:
        """A hard link to a private file, or to another place."""
        os.link(self._rng.choice([self._victim(), self.place()]), self.place(), follow_symlinks=False)

    def fifo(self) -> None:
        """A pipe, on which an open without O_NONBLOCK would wait."""
        if sys.platform == "win32":
            raise NotImplementedError
        os.mkfifo(self.place(), 0o666)

    def folder(self) -> None:
        """A folder under a name that may be a file's; in half of the cases what was there is renamed first."""
        path = self.place()
        if self._rng.random() < 0.5:
            os.rename(path, f"{path}.was{self._rng.randrange(10**6)}")
        os.mkdir(path, self._rng.choice([0o777, 0o755, 0o700, 0o2775]))

    def remove(self) -> None:
        """Remove a file or an empty folder."""
        path = self.place()
        try:
            os.unlink(path)
        except IsADirectoryError:
            os.rmdir(path)

    def chmod(self) -> None:
        """Change a mode, also to none and to one with the setuid bit; links are left alone."""
        path = self.place()
        if not os.path.islink(path):
            os.chmod(path, self._rng.choice([0o777, 0o666, 0o600, 0o000, 0o4755, 0o2777, 0o644]))

    def write(self) -> None:
        """Write to a place: nothing, a few bytes, the beginning of a JSON object, zeros, or 300 KB."""
        path = self.place()
        handle = os.open(path, _WRITE, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(self._rng.choice([b"", b"hers\n", b"{", b"\0" * 5000, b"x" * 300_000]))

    def notify(self) -> None:
        """Create a notify file for a path, with or without a hold, so that the task reads it."""
        path = self.place() + self._rng.choice([".notify", ".notify", ".hold"])
        handle = os.open(path, _WRITE, 0o666)
        os.utime(handle)
        os.close(handle)

    def flip(self) -> None:
        """A link takes the place of a folder or file, and back, as fast as it goes."""
        path = self.place()
        link = os.path.join(self._data, f"flip-{self._rng.randrange(10**9)}")
        os.symlink(self._victim(), link)
        try:
            for _ in range(300):
                self._exchange(path, link)
        finally:
            for one in (path, link):
                if os.path.islink(one):
                    os.unlink(one)

    def lies(self) -> None:
        """Write forged records in the place of the task's. PermissionError where the state folder is left alone in this run."""
        victim = self._rng.choice([path for path in self._victims if path.endswith((".txt", ".csv"))])
        pid, start = self._bystander
        name, text = self._rng.choice(
            [
                ("residual.json", json.dumps([victim])),
                ("lock", json.dumps({"pid": pid, "start": start, "master_pid": 1, "master_start": "0"})),
                ("ssh.json", json.dumps({"pid": pid, "start": start, "askpass": self._victims[0]})),
                ("handled.json", json.dumps({victim + ".notify": [0, 0, 0]})),
                ("settings.json", json.dumps({"SSHProgram": os.path.join(self._mine, "evil")})),
            ]
        )
        if ".pysubtask" in self._spared:
            raise PermissionError("that is left alone")
        folder = os.path.join(self._data, ".pysubtask", "main", "ftp")
        handle = os.open(os.path.join(folder, name), _WRITE, 0o666)
        with os.fdopen(handle, "w") as file:
            file.write(text)

    def move_out(self) -> None:
        """Move an entry out of the folder, and put an entry of the adversary's in its place."""
        path, kept = self.place(), os.path.join(self._mine, f"kept-{self._rng.randrange(10**9)}")
        os.rename(path, kept)
        if self._rng.random() < 0.7:
            os.symlink(self._victim(), path)

    def old(self) -> None:
        """Create a file with an old time, which the task may archive."""
        path = os.path.join(self._data, f"old-{self._rng.randrange(50)}.csv")
        handle = os.open(path, _WRITE, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(b"old\n")
            file.flush()
            os.utime(handle, (1767355200, 1767355200))

    def _victim(self) -> str:
        return self._rng.choice(self._victims)

    def _exchange(self, one: str, other: str) -> None:
        if self._libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one)


def main() -> None:
    """Carry out acts until SIGTERM."""
    orders = json.loads(sys.stdin.readline())
    os.umask(0)
    rng = random.Random(orders["seed"])
    acts = Acts(orders["data"], orders["mine"], orders["victims"], rng, orders["spared"], (orders["pid"], orders["start"]))

    def stop(*_: object) -> None:
        acts.stopped = True

    signal.signal(signal.SIGTERM, stop)
    while not acts.stopped:
        for _ in range(rng.randrange(1, 20)):
            acts.one()
        # Pauses of all sizes, so that the task gets to each of its steps in some state of the folder.
        time.sleep(rng.choice([0, 0.001, 0.005, 0.02, 0.1]))
    print(json.dumps({"done": acts.done, "refused": acts.refused}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
