"""The app under torture: writes growing, rewritten, new and rotated files, notifies, and times each call of its master.

``python -m proofs.torture.app FILE``: the JSON file says which entries, settings and seed. It goes on until it
is killed; while the file ``quiet`` is in its folder it writes nothing, and confirms that by ``quiet.done``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from typing import Any

from pysubtask.common import restarts
from pysubtask.master.task_master import TaskMaster

from .calls import Recorder
from .content import LINE, Streams, number_of, whole

_MOST_LINES = 400
_BIG = 1_500_000
_ROTATE_AT = {"grow-a.csv": 3_000_000, "grow-b.csv": 300_000}
_STEP_SECS = 0.03
_STATUS_EVERY = 10


class App:
    """``given``: ``root``, ``data``, ``box`` and ``scratch`` (folders), ``entries``, ``base``, ``ftp``, ``seed``."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._data, self._box, self._scratch = given["data"], given["box"], given["scratch"]
        self._chance = random.Random(given["seed"])
        self._streams = Streams()
        self._calls = Recorder(given["root"])
        self._count = 0
        config = {"base": given["base"], "ftp": given["ftp"]}
        log = os.path.join(given["root"], "master.log")
        self._master = TaskMaster(given["entries"], config, LogFileName=log, LogToConsole=False)

    def run(self) -> None:
        """Write and notify for ever."""
        self._master.start()
        quiet, is_noted = os.path.join(self._given["root"], "quiet"), False
        while True:
            if os.path.exists(quiet):
                if not is_noted:
                    with open(quiet + ".done", "w", encoding="ascii") as file:
                        file.write(str(os.getpid()))
                is_noted = True
            else:
                is_noted = False
                self._do_something()
            self._count += 1
            self._calls.time("check", self._master.check_pending_notifications)
            if self._count % _STATUS_EVERY == 0:
                self._calls.time("status", self._master.status)
            time.sleep(_STEP_SECS if is_noted else self._chance.uniform(0, _STEP_SECS))

    def _do_something(self) -> None:
        kind = self._chance.choices(["grow-a", "grow-b", "whole", "drop", "rotate"], [30, 20, 25, 20, 2])[0]
        if kind == "grow-a":
            self._grow("grow-a.csv")
        elif kind == "grow-b":
            self._grow("grow-b.csv")
        elif kind == "whole":
            self._rewrite(self._chance.choice(["whole-a.bin", "whole-b.bin"]))
        elif kind == "drop":
            name = f"drop-{os.getpid()}-{self._count:06d}.bin"
            self._replace(os.path.join(self._box, name), whole(0, self._size(), self._chance))
        else:
            self._rotate("grow-b.csv")

    def _size(self) -> int:
        return self._chance.randrange(_BIG) if self._chance.random() < 0.05 else self._chance.randrange(60_000)

    def _grow(self, name: str) -> None:
        path = os.path.join(self._data, name)
        generation, size = self._standing(path)
        if size >= _ROTATE_AT[name]:
            self._rotate(name)
            return
        # An append that a kill has cut is continued where it ended.
        target = size // LINE * LINE + LINE * self._chance.randrange(1, _MOST_LINES)
        data = self._streams.of(generation).upto(target)[size:]
        with open(path, "ab", buffering=0) as file:
            file.write(data)
        self._notify(path)

    def _standing(self, path: str) -> tuple[int, int]:
        try:
            with open(path, "rb") as file:
                head = file.read(6)
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            head, size = b"", 0
        if len(head) == 6:
            return int(head), size
        numbers = [int(name[4:10]) for name in os.listdir(self._box) if name.startswith("rot-") and name.endswith(".csv")]
        return max(numbers, default=-1) + 1, 0

    def _rotate(self, name: str) -> None:
        path = os.path.join(self._data, name)
        generation, size = self._standing(path)
        if size >= LINE:
            os.rename(path, os.path.join(self._box, f"rot-{generation:06d}.csv"))
            self._grow(name)

    def _rewrite(self, name: str) -> None:
        path = os.path.join(self._data, name)
        number = 0
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            number = (number_of(file.read()) or 0) + 1
        self._replace(path, whole(number, self._size(), self._chance))
        self._notify(path)

    def _replace(self, path: str, data: bytes) -> None:
        fresh = os.path.join(self._scratch, os.path.basename(path))
        with open(fresh, "wb") as file:
            file.write(data)
        os.replace(fresh, path)

    def _notify(self, path: str) -> None:
        self._calls.time("notify", lambda: self._master.notify_file(path))


def main() -> None:
    """Run the app that the file in argv describes."""
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    # A thousand kills would take days with the waits that spare an edge machine.
    restarts.FIRST_WAIT_SECS, restarts.LONGEST_WAIT_SECS = 0.05, 0.2
    App(given).run()


if __name__ == "__main__":
    main()
