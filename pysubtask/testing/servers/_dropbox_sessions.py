"""Upload sessions: bytes on disk that are not a file yet."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ._dropbox_answers import RouteError
from ._dropbox_hash import BlockHash

_COPY_BYTES = 1024 * 1024


class Body:
    """The body of one call, in a file of its own. ``hash.size`` is its length."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.hash = BlockHash()
        self.kept = False

    def drop(self) -> None:
        """Remove the body's file where no session and no commit took it."""
        if not self.kept:
            self.file.unlink(missing_ok=True)


class Session:
    """One upload session, sequential: ``hash.size`` is the offset that the next bytes must have."""

    def __init__(self, name: str, body: Body, closed: bool) -> None:
        self.name = name
        self.file = body.file
        self.hash = body.hash
        self.closed = closed
        self.lock = threading.Lock()

    def check(self, offset: int) -> None:
        """RouteError incorrect_offset where the session's next byte is another."""
        if offset != self.hash.size:
            raise RouteError("incorrect_offset", correct_offset=self.hash.size)

    @contextmanager
    def joined(self, body: Body | None) -> Iterator[None]:
        """Append the body to the session; the append is undone where the block raises."""
        before = self.hash.copy()
        try:
            if body is not None:
                self._join(body)
            yield
        except BaseException:
            if self.file.exists():
                os.truncate(self.file, before.size)
            self.hash = before
            raise

    def _join(self, body: Body) -> None:
        known = self.hash.join(body.hash)
        with open(body.file, "rb") as source, open(self.file, "ab", buffering=0) as target:
            while piece := source.read(_COPY_BYTES):
                target.write(piece)
                if not known:
                    self.hash.update(piece)


class Sessions:
    """Every session of the account. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Session] = {}
        self._number = itertools.count(1)

    def start(self, body: Body, close: bool) -> str:
        """A new session that begins with this body, and its id."""
        name = f"pid_upload_session:{secrets.token_urlsafe(24)}:{next(self._number)}"
        session = Session(name, body, close)
        body.kept = True
        with self._lock:
            self._all[name] = session
        return name

    def append(self, name: str, offset: int, body: Body, close: bool) -> None:
        """More bytes; RouteError not_found, closed, incorrect_offset."""
        with self.using(name) as session:
            if session.closed:
                raise RouteError("closed")
            session.check(offset)
            with session.joined(body):
                session.closed = close

    @contextmanager
    def using(self, name: str) -> Iterator[Session]:
        """The session, for one thread at a time; RouteError not_found."""
        with self._lock:
            session = self._all.get(name)
        if session is None:
            raise RouteError("not_found")
        with session.lock:
            if name not in self._all:
                raise RouteError("not_found")
            yield session

    def consume(self, session: Session) -> None:
        """The session has become a file; its id is unknown from now on."""
        with self._lock:
            self._all.pop(session.name, None)
        session.file.unlink(missing_ok=True)

    def forget(self) -> None:
        """Drop every session."""
        with self._lock:
            gone, self._all = self._all, {}
        for session in gone.values():
            with session.lock:
                session.file.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._all)
