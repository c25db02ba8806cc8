"""The model server with the quirks of other servers (:mod:`pysubtask.testing.servers.quirks`) that matter to the order of
an upload, in the process of its client."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from pysubtask.common.handoff import nameless
from pysubtask.testing.servers.quirks import Quirks
from pysubtask.transports.sftp import packets

from .model import Fields, ModelServer, _close, _lstat, _open, _pread, _pwrite, _unlink

_STAGED = "staged"


class QuirkModel(ModelServer):
    """One connection. Of ``quirks`` it knows rename, posix_rename, append, random_writes, read_write, size while a file is written,
    visible, times, fsync and delete."""

    def __init__(
        self,
        root: str,
        step: Callable[[str], None],
        changed: Callable[[], None],
        quirks: Quirks,
        *,
        copies: bool = False,
        slow: bool = False,
        before_rename: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(root, step, changed, atomic=quirks.posix_rename, copies=copies, slow=slow, before_rename=before_rename)
        self._quirks = quirks
        if not quirks.fsync:
            self._extensions.remove(packets.FSYNC)
        self._ends: dict[bytes, int] = {}  # how far a file that is open for writing is written
        self._begun: dict[bytes, int] = {}  # what it had when it was opened
        self._staged: dict[bytes, bytes] = {}  # the path that it gets when it is closed

    def _do(self, kind: int, fields: Fields) -> bytes:
        if kind == packets.REMOVE and not self._quirks.delete:
            return self._status(packets.PERMISSION_DENIED, "no file is deleted here")
        if kind == packets.RENAME and self._quirks.rename == "none":
            return self._status(packets.PERMISSION_DENIED, "no file is renamed here")
        return super()._do(kind, fields)

    def _opened(self, path: bytes, flags: int) -> bytes:
        quirks, writes = self._quirks, bool(flags & packets.WRITE_FLAG)
        if not writes:
            return super()._opened(path, flags)
        if flags & packets.READ_FLAG and not quirks.read_write:
            return self._status(packets.OP_UNSUPPORTED, "a file is read or written here, not both")
        there = _lstat(path).st_size if os.path.lexists(path) else 0
        begun = 0 if flags & (packets.TRUNC_FLAG | packets.EXCL_FLAG) else there
        if begun and quirks.append == "refused":
            return self._status(packets.OP_UNSUPPORTED, "no file is changed here")
        if quirks.visible == "after close" and flags & packets.CREAT_FLAG:
            if flags & packets.EXCL_FLAG and os.path.lexists(path):
                return self._status(packets.FAILURE, "it is there already")
            answer, handle = self._handle(nameless(b""))
            self._staged[handle] = path
        else:
            answer = super()._opened(path, flags)
            handle = b"h%d" % self._number
        self._begun[handle] = self._ends[handle] = begun
        return answer

    def _on_handle(self, kind: int, fields: Fields) -> bytes:
        handle = Fields(fields.rest()).string()
        writes, quirks = handle in self._ends, self._quirks
        if kind == packets.FSTAT and writes and quirks.size == "missing":
            return self._status(packets.NO_SUCH_FILE, "it is not stored yet")
        if kind == packets.FSETSTAT and quirks.times == "refused":
            return self._status(packets.OP_UNSUPPORTED, "times are not set here")
        if kind == packets.WRITE and writes:
            asked = Fields(fields.rest())
            asked.string()
            offset = asked.number("Q")
            late = quirks.append == "late" and self._begun[handle] and offset
            if late or (not quirks.random_writes and offset != self._ends[handle]):
                return self._status(packets.FAILURE, "from its beginning to its end only")
            answer = super()._on_handle(kind, fields)
            self._ends[handle] = max(self._ends[handle], offset + len(asked.string()))
            return answer
        if kind == packets.CLOSE:
            self._ends.pop(handle, None)
            self._begun.pop(handle, None)
            path = self._staged.pop(handle, None)
            if path is not None:
                self._store(self._fd(handle), path)
        return super()._on_handle(kind, fields)

    def _store(self, staged: int, path: bytes) -> None:
        """Store the whole file at once: no reader sees the folder before the request is done."""
        fd = _open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        _pwrite(fd, _pread(staged, os.fstat(staged).st_size, 0), 0)
        _close(fd)

    def _renames_over(self, path: bytes) -> bool:
        return self._quirks.rename == "over" or not os.path.lexists(path)

    # -- what a frozen server still does ------------------------------------------------------------------

    def _like(self, root: str) -> ModelServer:
        return QuirkModel(root, lambda name: None, self._changed, self._quirks, copies=packets.COPY_DATA in self._extensions)

    def keep_late(self, late_dir: str) -> None:
        """As in the base; a file that gets its name at CLOSE is kept with its content, too."""
        os.makedirs(late_dir, exist_ok=True)
        kept = {}
        for handle, path in self._staged.items():
            kept[handle.decode()] = os.fsdecode(path)
            fd = _open(os.path.join(late_dir, handle.decode()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            staged = self._handles.pop(handle)
            _pwrite(fd, _pread(staged, os.fstat(staged).st_size, 0), 0)
            _close(fd)
        with open(os.path.join(late_dir, _STAGED), "w", encoding="utf-8") as file:
            json.dump(
                {
                    "staged": kept,
                    "ends": {key.decode(): end for key, end in self._ends.items()},
                    "begun": {key.decode(): size for key, size in self._begun.items()},
                },
                file,
            )
        super().keep_late(late_dir)

    def _take_late(self, late_dir: str) -> None:
        path = os.path.join(late_dir, _STAGED)
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        _unlink(path)
        super()._take_late(late_dir)
        self._staged = {key.encode(): os.fsencode(name) for key, name in kept["staged"].items()}
        self._ends = {key.encode(): end for key, end in kept["ends"].items()}
        self._begun = {key.encode(): size for key, size in kept["begun"].items()}
