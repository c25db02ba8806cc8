"""Made-up data whose every byte is known, so that any part of it can be judged. Pure but for writing it down."""

from __future__ import annotations

import hashlib
import os
import random

GROWING = "grow.csv"
FOLDER = "box"
_LINES_AT_ONCE = (5, 60)
_FILE_BYTES = (200, 60_000)


class Feed:
    """A file that grows by lines and a folder that files are put into, below ``folder``. The same ``seed``, the same bytes."""

    def __init__(self, folder: str, seed: int) -> None:
        self.folder = folder
        self._seed = seed
        self._random = random.Random(seed)
        self._lines = 0
        self.grown = 0
        """Bytes of the growing file."""
        self.files: dict[str, int] = {}
        """Remote name -> size, of the files that were put into the folder."""
        os.makedirs(os.path.join(folder, FOLDER), exist_ok=True)

    @property
    def path(self) -> str:
        """The growing file."""
        return os.path.join(self.folder, GROWING)

    @property
    def total(self) -> int:
        """New bytes so far."""
        return self.grown + sum(self.files.values())

    def grow(self) -> None:
        """Some lines more."""
        count = self._random.randint(*_LINES_AT_ONCE)
        data = b"".join(self._line(self._lines + number) for number in range(count))
        with open(self.path, "ab") as file:
            file.write(data)
        self._lines += count
        self.grown += len(data)

    def put(self) -> str:
        """One more file in the folder; its remote name."""
        name = f"{FOLDER}/f{len(self.files):04d}.bin"
        size = self._random.randint(*_FILE_BYTES)
        with open(os.path.join(self.folder, *name.split("/")), "wb") as file:
            file.write(self._bytes(name, size))
        self.files[name] = size
        return name

    def sizes(self) -> dict[str, int]:
        """Every remote name and how many bytes it has in the end."""
        return {GROWING: self.grown, **self.files} if self.grown else dict(self.files)

    def is_right(self, name: str, found: bytes, *, whole: bool) -> bool:
        """Whether these bytes are what the file has, all of it or (the growing one, not ``whole``) its beginning."""
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
