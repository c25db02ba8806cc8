"""Answers that mean harm: without end, too slow, too large."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterator
from typing import Any

from ._dropbox_answers import Answer

_DRIP_SECS = 0.2
_PIECE = 64 * 1024


def hostile_answer(how: str, connection: Any, path: str, answer: Answer) -> None:
    """Send a harmful answer until the client closes; ``how``: as for ``DropboxServer.drip``."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    chunked = "Transfer-Encoding: chunked\r\n"
    with contextlib.suppress(OSError):
        if how == "elsewhere":
            connection.sendall(f"HTTP/1.1 307 Go\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n".encode())
        elif how == "head":
            while True:
                time.sleep(_DRIP_SECS)
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif how == "slow":
            connection.sendall(f"{head}Content-Length: {len(answer.body)}\r\n\r\n".encode())
            for byte in answer.body:
                time.sleep(_DRIP_SECS)
                connection.sendall(bytes((byte,)))
        else:
            packed = how == "packed"
            connection.sendall(f"{head}{chunked}{'Content-Encoding: gzip' if packed else 'X-A: b'}\r\n\r\n".encode())
            for piece in _packed() if packed else _zeros():
                connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")


def _zeros() -> Iterator[bytes]:
    while True:
        yield b" " * _PIECE


def _packed() -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    while True:
        piece = packer.compress(b" " * (64 * _PIECE)) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield piece
