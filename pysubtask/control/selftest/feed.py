"""Generated data: every byte follows from a seed, so that any part of a file can be verified. Pure except for the writes."""

from __future__ import annotations

import hashlib
import os
import random

GROWING = "grow.csv"
FOLDER = "box"
_LINES_AT_ONCE = (5, 60)
_FILE_BYTES = (200, 60_000)


class Feed:
    """A file that grows by lines and a folder that gets new files, below ``folder``. The same ``seed`` gives the same bytes."""

    def __init__(self, folder: str, seed: int) -> None:
        self.folder = folder
        self._seed = seed
        self._random = random.Random(seed)
        self._lines = 0
        self.grown = 0
        """The size of the growing file in bytes."""
        self.files: dict[str, int] = {}
        """Remote name -> size in bytes, of the files in the folder."""
        os.makedirs(os.path.join(folder, FOLDER), exist_ok=True)

    @property
    def path(self) -> str:
        """The path of the growing file."""
        return os.path.join(self.folder, GROWING)

    @property
    def total(self) -> int:
        """The number of bytes that were written so far."""
        return self.grown + sum(self.files.values())

    def grow(self) -> None:
        """Append some lines to the growing file."""
        count = self._random.randint(*_LINES_AT_ONCE)
        data = b"".join(self._line(self._lines + number) for number in range(count))
        with open(self.path, "ab") as file:
            file.write(data)
        self._lines += count
        self.grown += len(data)

    def put(self) -> str:
        """Write one more file into the folder; returns its remote name."""
        name = f"{FOLDER}/f{len(self.files):04d}.bin"
        size = self._random.randint(*_FILE_BYTES)
        with open(os.path.join(self.folder, *name.split("/")), "wb") as file:
            file.write(self._bytes(name, size))
        self.files[name] = size
        return name

    def sizes(self) -> dict[str, int]:
        """Every remote name with the size of its file now."""
        return {GROWING: self.grown, **self.files} if self.grown else dict(self.files)

    def is_right(self, name: str, found: bytes, *, whole: bool) -> bool:
        """Whether ``found`` is the content of the file. Of the growing file without ``whole``, any beginning of the content is
        right."""
        if name == GROWING:
            return found == self._beginning(len(found)) and (not whole or len(found) == self.grown)
        return found == self._bytes(name, self.files[name])

    def _line(self, number: int) -> bytes:
        return b"%08d,%s\n" % (number, hashlib.sha256(b"%d:%d" % (self._seed, number)).hexdigest()[:40].encode())

    def _beginning(self, size: int) -> bytes:
        length = len(self._line(0))
        return b"".join(self._line(number) for number in range(size // length + 1))[:size]

    def _bytes(self, name: str, size: int) -> bytes:
        return random.Random(f"{self._seed}:{name}").randbytes(size)
