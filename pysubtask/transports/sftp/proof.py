"""Whether a server accepts a WRITE at the end of a file and reports the size of an open file: tried on a small file of its own.

Some servers refuse such a WRITE, some store the bytes at another offset, some truncate a file that is opened for writing. None of
these faults may be discovered on a file that somebody needs.
"""

from __future__ import annotations

from typing import NamedTuple

from ..shared import temp_names
from . import packets
from .client import Client
from .leftovers import Leftovers
from .packets import Attrs, Data, Handle, Reply, Status, string
from .settled import settled

_FIRST, _MORE = b"pysubtask ", b"appended\n"


class Proof(NamedTuple):
    """``works``, or ``why`` not. ``conclusive`` is False where the proof came to no result, as the file could not even be created.
    ``unknown``: the server does not know the request."""

    works: bool
    why: str = ""
    conclusive: bool = True
    unknown: bool = False


async def small_file(client: Client, path: bytes, data: bytes) -> str:
    """Create a file with this content; the reason why it cannot be created, or ''."""
    created = await client.request(packets.OPEN, packets.open_new(path))
    if not isinstance(created, Handle):
        return str(created)
    written = client.request(packets.WRITE, packets.write(created.handle, 0, data))
    closed = client.request(packets.CLOSE, string(created.handle))
    answers = [await written, await closed]
    return next((str(answer) for answer in answers if not (isinstance(answer, Status) and answer.code == packets.OK)), "")


async def append_works(client: Client, leftovers: Leftovers, path: bytes) -> Proof:
    """Try an append on a new file ``path``, which is removed afterwards."""
    why = await small_file(client, path, _FIRST)
    if why:
        await leftovers.remove(path, reusable=True)
        return Proof(False, why, conclusive=False)
    try:
        return await _append(client, path)
    finally:
        if client.lost is None:
            await leftovers.remove(path, reusable=True)


async def rename_works(client: Client, leftovers: Leftovers, path: bytes) -> Proof:
    """Try whether a new file ``path`` can be renamed; the file is removed afterwards."""
    why = await small_file(client, path, b"")
    if why:
        await leftovers.remove(path, reusable=True)
        return Proof(False, why, conclusive=False)
    other = temp_names.beside(path, b".renamed")
    answer = await client.request(packets.RENAME, string(path) + string(other))
    works = isinstance(answer, Status) and answer.code == packets.OK
    await leftovers.remove(other if works else path, reusable=True)
    return Proof(True) if works else _refused("renaming", answer)


async def _append(client: Client, path: bytes) -> Proof:
    opened = await client.request(packets.OPEN, packets.open_old(path, read=False, write=True))
    if not isinstance(opened, Handle):
        return _refused("opening what is there", opened)
    stat = await client.request(packets.FSTAT, string(opened.handle))
    written = client.request(packets.WRITE, packets.write(opened.handle, len(_FIRST), _MORE))
    closed = client.request(packets.CLOSE, string(opened.handle))
    for step, answer in (("writing behind the end", await written), ("closing", await closed)):
        if not (isinstance(answer, Status) and answer.code == packets.OK):
            return _refused(step, answer)
    found = await settled(client, path, len(_FIRST + _MORE))
    right_size = isinstance(stat, Attrs) and stat.size == len(_FIRST)
    if isinstance(stat, Attrs) and stat.size is not None and stat.size < len(_FIRST):
        stat = await _size_when_open(client, path)  # the first FSTAT may have come before the server had stored the WRITE
        right_size = isinstance(stat, Attrs) and stat.size == len(_FIRST + _MORE)
    if not right_size:
        return Proof(False, f"the size of an open file is not told ({_of(stat)})")
    if not isinstance(found, Attrs) or found.size != len(_FIRST + _MORE):
        return Proof(False, f"{len(_MORE)} bytes were written behind {len(_FIRST)}, and then it shows {_of(found)}")
    data = await _read(client, path)
    if data is not None and data != _FIRST + _MORE:
        return Proof(False, "bytes that were written behind the end are found in another place")
    return Proof(True)


async def _size_when_open(client: Client, path: bytes) -> Reply:
    """The reply to FSTAT of the file, opened for writing."""
    opened = await client.request(packets.OPEN, packets.open_old(path, read=False, write=True))
    if not isinstance(opened, Handle):
        return opened
    stat = client.request(packets.FSTAT, string(opened.handle))
    await client.request(packets.CLOSE, string(opened.handle))
    return await stat


async def _read(client: Client, path: bytes) -> bytes | None:
    """The content of the file; None where this account may not read it."""
    opened = await client.request(packets.OPEN, packets.open_old(path, read=True, write=False))
    if not isinstance(opened, Handle):
        return None
    found = await client.request(packets.READ, packets.read(opened.handle, 0, 100))
    await client.request(packets.CLOSE, string(opened.handle))
    return found.data if isinstance(found, Data) else None


def _refused(step: str, answer: Reply) -> Proof:
    unknown = isinstance(answer, Status) and answer.code == packets.OP_UNSUPPORTED
    return Proof(False, f"{step}: {answer}", unknown=unknown)


def _of(answer: Reply) -> str:
    if isinstance(answer, Attrs):
        return "no size" if answer.size is None else f"{answer.size:,} bytes"
    return str(answer)
