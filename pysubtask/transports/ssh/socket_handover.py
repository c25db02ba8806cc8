"""Giving ssh a connection that was made here: its ProxyCommand gets it over a socket in a private folder and passes it on
(ProxyUseFdpass, ssh_config(5)), and from then on ssh has it alone.

For ssh that is the connection it would have made itself: the host's name, its key, its configuration stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

from ...common.program import here, interpreter
from .askpass import is_own, private_folder, unix_socket, write_file

# Isolated (-I -S) and tiny. ssh's mm_receive_fd (monitor_fdpass.c) wants one byte with the descriptor.
_CLIENT = """import socket, sys
asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
asking.settimeout(30)
asking.connect(sys.argv[1])
word, fds, flags, address = socket.recv_fds(asking, 1, 1)
if not fds:
    sys.exit(1)
socket.send_fds(socket.socket(fileno=1), [b"\\0"], fds)
"""
_NO_SHELLS = ("nologin", "false", "true", "sync")


def possible() -> bool:
    """Whether it can be done: by an interpreter that is there, on a system with such sockets."""
    return hasattr(socket, "send_fds") and not here().frozen and os.path.isfile(here().file)


class SocketHandover:
    """The connection ``sock``, which is this one's from here on, and the side that gives it away, once.

    ``folder``: a private folder that is there for another reason, else one is made. OSError where none can be had.
    """

    def __init__(self, sock: socket.socket, folder: str = "") -> None:
        self._sock: socket.socket | None = sock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own_folder = "" if folder else private_folder()
        self.folder = folder or self._own_folder
        self._listener = unix_socket()
        try:
            where, script = os.path.join(self.folder, "c"), os.path.join(self.folder, "c.py")
            write_file(script, _CLIENT, 0o600)
            words = [interpreter(here()), "-I", "-S", script, where]
            command = " ".join(map(shlex.quote, words)).replace("%", "%%")
            self.options = ("-o", f"ProxyCommand={command}", "-o", "ProxyUseFdpass=yes")
            self._listener.setblocking(False)
            self._listener.bind(where)
            self._listener.listen(1)
        except BaseException:
            self.close()
            raise

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to hand the connection over, on this loop."""
        self._loop = loop
        loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Close the connection if it was not handed over, and remove the folder. May be called twice."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
        if self._loop is not None:
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(self._listener)
            self._loop = None
        self._listener.close()
        if self._own_folder:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def _accept(self) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        try:
            asker, _ = self._listener.accept()
        except OSError:
            return
        with asker:
            if self._sock is not None and is_own(asker):
                with contextlib.suppress(OSError):
                    socket.send_fds(asker, [b"\0"], [self._sock.fileno()])
                self.close()


def with_a_shell(environment: dict[str, str]) -> dict[str, str]:
    """The environment with a usable SHELL: ssh runs a ProxyCommand by it, and a service user often has none (nologin)."""
    if os.path.basename(environment.get("SHELL", "")) in _NO_SHELLS:
        return {**environment, "SHELL": "/bin/sh"}
    return environment
