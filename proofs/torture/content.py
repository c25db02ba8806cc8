"""What the files under torture hold: bytes that tell by themselves whether they are whole, and which version they are."""

from __future__ import annotations

import hashlib
import random

LINE = 57
_HEAD = 6


class Stream:
    """The bytes of one growing file: the same for everybody who asks, so that any prefix can be checked.

    Each line begins with the generation: how often the file was rotated before it began.
    """

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self._bytes = bytearray()

    def upto(self, size: int) -> bytes:
        """The first ``size`` bytes."""
        while len(self._bytes) < size:
            number = len(self._bytes) // LINE
            digest = hashlib.sha1(f"{self.generation} {number}".encode()).hexdigest()
            self._bytes += f"{self.generation:06d} {number:08d} {digest}\n".encode()
        return bytes(self._bytes[:size])


class Streams:
    """The streams of all generations; one is forgotten when it is no longer among the last few asked for."""

    def __init__(self) -> None:
        self._known: dict[int, Stream] = {}

    def of(self, generation: int) -> Stream:
        """The stream of a generation."""
        stream = self._known.pop(generation, None) or Stream(generation)
        self._known[generation] = stream
        while len(self._known) > 8:
            self._known.pop(next(iter(self._known)))
        return stream

    def generation_of(self, data: bytes) -> int | None:
        """Of what a growing file holds, or None where it is no true beginning of any generation. An empty or very short
        file counts as one of generation -1."""
        if len(data) < _HEAD:
            return -1
        try:
            generation = int(data[:_HEAD])
        except ValueError:
            return None
        return generation if self.of(generation).upto(len(data)) == data else None


def whole(number: int, size: int, chance: random.Random) -> bytes:
    """Version ``number`` of a file of complete versions, with ``size`` bytes of its own."""
    return sealed(number, chance.randbytes(size))


def sealed(number: int, body: bytes) -> bytes:
    """Version ``number`` of a file of complete versions, with this body."""
    digest = hashlib.sha256(body + str(number).encode()).hexdigest()
    return f"{number:08d} {digest}\n".encode() + body


def number_of(data: bytes) -> int | None:
    """Which version this is, or None where it is not a complete one."""
    head, _, body = data.partition(b"\n")
    words = head.split()
    if len(words) != 2 or not words[0].isdigit():
        return None
    number = int(words[0])
    return number if hashlib.sha256(body + str(number).encode()).hexdigest().encode() == words[1] else None
