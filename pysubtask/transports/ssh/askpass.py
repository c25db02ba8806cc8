"""Answers to ssh's question for the password, and to no other question.

ssh asks through a program (SSH_ASKPASS). The program here is a few lines that pass the question over a socket in a
private folder to this process, which decides. So the password is only in this process's memory, in no
argv, no environment and no file, and every question but the expected one is refused and remembered.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import stat
import struct
import sys
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

from ...common.program import here, interpreter
from ..shared.remote_text import remote_text
from ..shared.ssh_login import asks_for_password
from .askpass_pipes import AskpassPipes

FOLDER_PREFIX = "pysubtask-askpass-"
_LONGEST = 4096  # bytes of a question: more than ssh writes, and a server must not fill the memory
# Run isolated (-I -S) and without imports beyond these: it starts at each login.
_CLIENT = """import socket, sys
asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
asking.settimeout(30)
asking.connect(sys.argv[1])
asking.sendall(sys.argv[2].encode("utf-8", "surrogateescape") + b"\\0")
answer = b""
while True:
    block = asking.recv(4096)
    if not block:
        break
    answer += block
if not answer:
    sys.exit(1)
sys.stdout.buffer.write(answer + b"\\n")
"""


def is_password_question(question: str, user: str, host: str) -> bool:
    """Whether this is ssh asking for the password of exactly ``user`` at ``host``.

    The two forms of OpenSSH's sshconnect2.c: ``user@host's password: `` (cut at 30 and 128 characters)
    and, for keyboard-interactive, ``(user@host) `` before the server's own words, which must ask for a
    password and nothing else. Host key questions, passphrases of keys and one-time codes are not.
    """
    if question == f"{user[:30]}@{host[:128]}'s password: ":
        return True
    prefix = f"({user}@{host}) "
    return question.startswith(prefix) and asks_for_password(question[len(prefix) :])


class Askpass:
    """The program for ssh and the side that answers it, for one login of ``user`` at ``host``.

    It answers once: a second try would only count against the account. ``refused``: the question that
    got no answer, or None. OSError where there is no private folder that programs can be started from.
    """

    def __init__(self, password: str, user: str, host: str) -> None:
        self._password: str | None = password
        self._user, self._host = user, host
        self.refused: str | None = None
        self.answered = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking: dict[socket.socket, bytearray] = {}
        self._pipes: AskpassPipes | None = None
        self._listener: socket.socket | None = None
        self.folder = private_folder()
        try:
            self.program = os.path.join(self.folder, "a")
            if here().frozen:
                self._pipes = AskpassPipes(self.folder, self.answer)
                write_file(self.program, self._pipes.script, 0o700)
                return
            where = os.path.join(self.folder, "s")
            script = os.path.join(self.folder, "a.py")
            write_file(script, _CLIENT, 0o600)
            words = " ".join(shlex.quote(word) for word in (interpreter(here()), "-I", "-S", script, where))
            write_file(self.program, f'#!/bin/sh\nexec {words} "$1"\n', 0o700)
            self._listener = unix_socket()
            self._listener.setblocking(False)
            self._listener.bind(where)
            self._listener.listen(8)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to answer, on this loop."""
        self._loop = loop
        if self._pipes is not None:
            self._pipes.start(loop)
        elif self._listener is not None:
            loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Forget the password, remove the folder. May be called twice."""
        self._password = None
        if self._pipes is not None:
            self._pipes.close()
        if self._loop is not None and self._listener is not None:
            for asker in list(self._asking):
                self._hang_up(asker)
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(self._listener)
        if self._listener is not None:
            self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Environment variables for ssh. OpenSSH before 8.4 requires DISPLAY and ignores SSH_ASKPASS_REQUIRE."""
        return {"SSH_ASKPASS": self.program, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": os.environ.get("DISPLAY") or ":0"}

    def answer(self, question: str) -> str | None:
        """The password for the expected question, once; None for any other question and for a repetition."""
        expected = is_password_question(question, self._user, self._host)
        if self._password is not None and not self.answered and expected:
            self.answered = True
            return self._password
        if not (self.answered and expected):  # the same question again means only that the password was wrong
            self.refused = remote_text(question.encode("utf-8", "replace"), 120)
        return None

    def _accept(self) -> None:
        assert self._loop is not None and self._listener is not None
        try:
            asker, _ = self._listener.accept()
        except OSError:
            return
        if not is_own(asker):
            asker.close()
            return
        asker.setblocking(False)
        self._asking[asker] = bytearray()
        self._loop.add_reader(asker, self._hear, asker)

    def _hear(self, asker: socket.socket) -> None:
        heard = self._asking[asker]
        try:
            block = asker.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            block = b""
        heard += block
        if heard.endswith(b"\0"):
            answer = self.answer(heard[:-1].decode("utf-8", "replace"))
            if answer is not None:
                with contextlib.suppress(OSError):
                    asker.send(answer.encode("utf-8"))
            self._hang_up(asker)
        elif not block or len(heard) > _LONGEST:
            self._hang_up(asker)

    def _hang_up(self, asker: socket.socket) -> None:
        assert self._loop is not None
        self._asking.pop(asker, None)
        self._loop.remove_reader(asker)
        asker.close()


def is_own(asker: socket.socket) -> bool:
    """Whether the peer is a process of the same user (SO_PEERCRED, unix(7)); on a system without it the folder's mode is the only
    protection."""
    if sys.platform == "win32":
        raise NotImplementedError
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(uid == os.getuid())


def unix_socket() -> socket.socket:
    """A socket of this machine, by which another program asks."""
    if sys.platform == "win32":
        raise NotImplementedError
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def private_folder() -> str:
    """A new 0700 folder with a short path, on a file system that programs may be started from. OSError where there is none."""
    if sys.platform == "win32":
        raise NotImplementedError
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/dev/shm", os.path.expanduser("~")):
        if not parent or len(parent) > 60:  # a socket's path holds 108 bytes
            continue
        with contextlib.suppress(OSError):
            if not os.statvfs(parent).f_flag & getattr(os, "ST_NOEXEC", 8):
                return tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent)
    raise OSError("no folder to start a program from: set TMPDIR to one that is not mounted noexec")


def remove_leftover(folder: str) -> None:
    """Remove the private folder of a process that was killed during its login. A path that is no such folder is left alone."""
    if sys.platform == "win32":
        raise NotImplementedError
    with contextlib.suppress(OSError):
        found = os.lstat(folder)
        ours = found.st_mode == stat.S_IFDIR | 0o700 and found.st_uid == os.getuid()
        if ours and os.path.basename(folder).startswith(FOLDER_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)


def write_file(path: str, words: str, mode: int) -> None:
    """Create a file with this mode; FileExistsError where the path exists."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(words)
