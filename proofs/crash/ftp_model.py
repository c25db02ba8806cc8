"""A server of FTP on a folder, in the process of its client: it answers each command where it is sent.

Sources: RFC 959, RFC 2389 (FEAT), RFC 2428 (EPSV), RFC 3659 (SIZE, MDTM, REST, MLSD), draft-somers-ftp-mfxx (MFMT) and
draft-bryan-ftpext-hash (HASH). What is not needed is refused as unknown.
"""

from __future__ import annotations

import base64
import calendar
import errno
import hashlib
import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# The server's own calls are not steps of the client.
_open, _close, _lstat = os.open, os.close, os.lstat
_pwrite: Any = getattr(os, "pwrite", None)
_pread: Any = getattr(os, "pread", None)
_rename, _unlink, _mkdir, _rmdir, _utime, _link = os.rename, os.unlink, os.mkdir, os.rmdir, os.utime, os.link

# Commands of a login and of a port: a kill before one of these leaves what a kill before the next command leaves.
_UNCOUNTED = ("USER", "PASS", "FEAT", "OPTS", "TYPE", "EPSV")
# Of these the moments after the command are steps as well.
_CHANGES = ("STOR", "APPE", "RNTO", "DELE", "MKD", "RMD", "MFMT")
_STATE, _FILE = "state", "file"


class FTPRules(NamedTuple):
    """What a server does. ``replaces``: RNTO replaces a file. ``restarts``: STOR after REST leaves the bytes before and behind
    alone; else the file ends where the transfer begins. ``hashes``: it knows HASH. ``piece``: how many bytes of a data connection
    arrive at a time.

    ``cut_at``: the link breaks once where a transfer comes to this offset, 0 for never; ``quietly``: only the data connection
    ends there for the server, which takes that for the end of the file, as behind a middlebox that closed it.
    """

    replaces: bool = True
    restarts: bool = True
    hashes: bool = False
    piece: int = 4096
    cut_at: int = 0
    quietly: bool = False


class Transfer:
    """A file that is being stored: ``fd`` is open, ``at`` is where the next byte goes (None for the end of the file, wherever that
    is then), and ``arrived`` has bytes that the server has received and not written yet."""

    def __init__(self, fd: int, at: int | None, arrived: bytes = b"") -> None:
        self.fd = fd
        self.at = at
        self.arrived = arrived

    @property
    def end(self) -> int:
        """The offset behind the last byte that has arrived."""
        return (os.fstat(self.fd).st_size if self.at is None else self.at) + len(self.arrived)

    def write(self) -> None:
        """Write what has arrived."""
        end = self.end
        _pwrite(self.fd, self.arrived, end - len(self.arrived))
        self.at = None if self.at is None else end
        self.arrived = b""


class ModelFTP:
    """One control connection and its data connection. ``step`` is called before each command and each piece of data is sent, and
    before the answer to a command that changes something is read; ``changed`` after each such command and each write.

    ``slow``: commands and data are carried out only when the client waits; those that a kill or a cut finds undone are kept by
    ``keep_late``, and ``run_late`` carries them out. ``before_publish`` is called before RNTO is carried out, and before a transfer
    into the middle of a file that readers see.
    """

    def __init__(
        self,
        root: str,
        step: Callable[[str], None],
        changed: Callable[[], None],
        rules: FTPRules,
        *,
        slow: bool = False,
        before_publish: Callable[[], None] = lambda: None,
    ) -> None:
        self.root = root
        self.rules = rules
        self.step = step
        self.slow = slow
        self.ended = False
        self.outgoing = b""
        self.transfer: Transfer | None = None
        self._changed = changed
        self._before_publish = before_publish
        self._waiting: list[str] = []
        self._replies = bytearray(b"220 the model\r\n")
        self._answered = ""
        self._from: str | None = None
        self._offset = 0
        self._tell_port: Callable[[], int] = lambda: 0

    def on_port(self, tell_port: Callable[[], int]) -> None:
        """``tell_port`` opens a port for a data connection; its number."""
        self._tell_port = tell_port

    # -- what the client's sockets call ------------------------------------------------------------------

    def command(self, line: str) -> None:
        """A command arrives; a slow server carries it out when the client waits for its answer."""
        word = _word(line)
        if word not in _UNCOUNTED:
            self.step(f"send {word}")
        self._waiting.append(line)
        if not self.slow:
            self._work()

    def data(self, piece: bytes) -> None:
        """A piece of a data connection arrives."""
        self.step("send data")
        if self.transfer is not None:
            self.transfer.arrived += piece
            if not self.slow:
                self._write()

    def answer(self, is_whole: Callable[[], bool]) -> bytes:
        """What the client reads while it waits; nothing where the server has nothing to say. ``is_whole``: whether the client
        has ended its data connection."""
        if not self._replies:
            if self.slow and (self._waiting or self.transfer is not None):
                if not self._waiting or _word(self._waiting[0]) in _CHANGES:
                    self.step("wait")
                self._work()
            if self.transfer is not None and is_whole():
                self._finish()
                self._reply("226 stored")
                self._answered = "STOR"
        if self._replies and self._answered:
            what, self._answered = self._answered, ""
            self.step(f"answer to {what}")
        found = bytes(self._replies)
        self._replies.clear()
        return found

    def end(self) -> None:
        """The connection is over. A server that is not frozen takes what has arrived for the whole file."""
        self.ended = True
        self._finish()

    # -- the server --------------------------------------------------------------------------------------

    def _reply(self, line: str) -> None:
        self._replies += line.encode("utf-8", "surrogateescape") + b"\r\n"

    def _work(self) -> None:
        self._write()
        while self._waiting:
            line = self._waiting.pop(0)
            word = _word(line)
            try:
                self._reply(self._do(word, line[len(word) + 1 :]))
            except OSError as exc:
                self._reply("550 No such file" if exc.errno == errno.ENOENT else f"550 {os.strerror(exc.errno or 0)}")
            self._offset = self._offset if word in ("REST", *_UNCOUNTED) else 0
            if word in _CHANGES:
                self._answered = word
                self._changed()

    def _write(self) -> None:
        transfer = self.transfer
        if transfer is not None and transfer.arrived:
            transfer.write()
            self._changed()

    def _finish(self) -> None:
        self._write()
        if self.transfer is not None:
            _close(self.transfer.fd)
            self.transfer = None

    def _do(self, word: str, rest: str) -> str:
        do = getattr(self, f"_do_{word.lower()}", None)
        return do(rest) if do is not None else "502 not here"

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name.removeprefix("./").lstrip("/"))

    def _do_user(self, rest: str) -> str:
        return "331 the password"

    def _do_pass(self, rest: str) -> str:
        return "230 welcome"

    def _do_feat(self, rest: str) -> str:
        names = ["EPSV", "MDTM", "MFMT", "MLST type*;size*;modify*;", "REST STREAM", "SIZE", "UTF8"]
        names += ["HASH SHA-256*"] * self.rules.hashes
        return "211-features\r\n" + "".join(f" {name}\r\n" for name in names) + "211 end"

    def _do_opts(self, rest: str) -> str:
        return "200 done"

    def _do_type(self, rest: str) -> str:
        return "200 done"

    def _do_epsv(self, rest: str) -> str:
        return f"229 here (|||{self._tell_port()}|)"

    def _do_size(self, rest: str) -> str:
        return f"213 {_lstat(self._path(rest)).st_size}"

    def _do_mdtm(self, rest: str) -> str:
        return f"213 {_stamp(_lstat(self._path(rest)).st_mtime)}"

    def _do_mfmt(self, rest: str) -> str:
        stamp, _, name = rest.partition(" ")
        secs = calendar.timegm(time.strptime(stamp, "%Y%m%d%H%M%S"))
        _utime(self._path(name), (secs, secs))
        return f"213 Modify={stamp}; {name}"

    def _do_mlst(self, rest: str) -> str:
        return f"250-this\r\n {self._facts(self._path(rest), rest)}\r\n250 end"

    def _facts(self, path: str, name: str) -> str:
        found = _lstat(path)
        return f"type={'dir' if os.path.isdir(path) else 'file'};size={found.st_size};modify={_stamp(found.st_mtime)}; {name}"

    def _do_hash(self, rest: str) -> str:
        if not self.rules.hashes:
            return "502 not here"
        content = self._content(rest, 0)
        return f"213 SHA-256 0-{len(content)} {hashlib.sha256(content).hexdigest()} {rest}"

    def _content(self, name: str, start: int) -> bytes:
        fd = _open(self._path(name), os.O_RDONLY)
        try:
            return bytes(_pread(fd, os.fstat(fd).st_size, start))
        finally:
            _close(fd)

    def _do_retr(self, rest: str) -> str:
        self.outgoing = self._content(rest, self._offset)
        return "150 here are the bytes\r\n226 all sent"

    def _do_mlsd(self, rest: str) -> str:
        folder = self._path(rest)
        rows = [self._facts(os.path.join(folder, name), name) + "\r\n" for name in sorted(os.listdir(folder))]
        self.outgoing = "".join(rows).encode("utf-8", "surrogateescape")
        return "150 here are the bytes\r\n226 all sent"

    def _do_rest(self, rest: str) -> str:
        self._offset = int(rest)
        return "350 from there"

    def _do_stor(self, rest: str) -> str:
        start = self._offset
        if start and not os.path.basename(rest).startswith("."):
            self._before_publish()  # readers see each byte of a file that is not hidden
        fd = _open(self._path(rest), os.O_WRONLY | os.O_CREAT | (0 if start else os.O_TRUNC), 0o644)
        if start and not self.rules.restarts:
            os.ftruncate(fd, start)
        self.transfer = Transfer(fd, start)
        return "150 send it"

    def _do_appe(self, rest: str) -> str:
        self._before_publish()
        fd = _open(self._path(rest), os.O_WRONLY | os.O_CREAT, 0o644)
        self.transfer = Transfer(fd, None)
        return "150 send it"

    def _do_rnfr(self, rest: str) -> str:
        _lstat(self._path(rest))
        self._from = self._path(rest)
        return "350 and the new name"

    def _do_rnto(self, rest: str) -> str:
        old, self._from = self._from, None
        if old is None:
            return "503 RNFR comes first"
        self._before_publish()
        if not self.rules.replaces and os.path.lexists(self._path(rest)):
            return "553 it is there already"
        _rename(old, self._path(rest))
        return "250 renamed"

    def _do_dele(self, rest: str) -> str:
        _unlink(self._path(rest))
        return "250 removed"

    def _do_mkd(self, rest: str) -> str:
        _mkdir(self._path(rest))
        return f'257 "{rest}"'

    def _do_rmd(self, rest: str) -> str:
        _rmdir(self._path(rest))
        return "250 removed"

    # -- what a frozen server still does ------------------------------------------------------------------

    def keep_late(self, late_dir: str) -> None:
        """Keep what is not carried out yet, as the next folder in ``late_dir``; the open file by a link of its own, for it may lose
        its name meanwhile."""
        transfer = self.transfer
        if not self._waiting and transfer is None:
            return
        if not os.path.isdir(late_dir):
            _mkdir(late_dir)
        folder = os.path.join(late_dir, str(len(os.listdir(late_dir))))
        _mkdir(folder)
        if transfer is not None:
            names = {_lstat(os.path.join(self.root, name)).st_ino: name for name in os.listdir(self.root)}
            name = names.get(os.fstat(transfer.fd).st_ino)
            if name is not None:  # else it has no name any more, and bytes written to it are lost
                _link(os.path.join(self.root, name), os.path.join(folder, _FILE))
        state = {
            "waiting": self._waiting,
            "from": self._from,
            "offset": self._offset,
            "at": transfer.at if transfer is not None else None,
            "arrived": base64.b64encode(transfer.arrived if transfer is not None else b"").decode(),
        }
        with open(os.path.join(folder, _STATE), "w", encoding="utf-8") as file:
            json.dump(state, file)
        self._waiting = []
        if transfer is not None:
            transfer.arrived = b""

    def run_late(self, late_dir: str) -> None:
        """Carry out what earlier connections left undone, once."""
        if not os.path.isdir(late_dir):
            return
        for number in sorted(os.listdir(late_dir), key=int):
            folder = os.path.join(late_dir, number)
            with open(os.path.join(folder, _STATE), encoding="utf-8") as file:
                state = json.load(file)
            old = ModelFTP(self.root, lambda name: None, self._changed, self.rules)
            old._waiting, old._from, old._offset = state["waiting"], state["from"], state["offset"]
            stored = os.path.join(folder, _FILE)
            if os.path.exists(stored):
                old.transfer = Transfer(_open(stored, os.O_WRONLY), state["at"], base64.b64decode(state["arrived"]))
                old._finish()
                _unlink(stored)
            # The client is gone: a file that is only begun now gets no byte.
            old._work()
            old.end()
            _unlink(os.path.join(folder, _STATE))
            _rmdir(folder)
        _rmdir(late_dir)


def _word(line: str) -> str:
    return line.partition(" ")[0].upper()


def _stamp(secs: float) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(secs))
