"""Dropbox as a transport.

Source: Dropbox API v2 reference, namespace ``files``. Dropbox shows a file only when it is whole, so no temporary names are
used. Every write names the revision that it replaces (``update`` with ``strict_conflict``), so that a request that was delayed
and arrives late changes nothing.
"""

from __future__ import annotations

import asyncio
import calendar
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

from ...common.advice import install
from ...common.errors import AttemptFailed, ConfigError, FileRefused, LoginRefused, TransportLost
from ..base import Job, Progress, RemoteStat, Sent, Traits, Transport, Wire
from ..shared.meter import Meter
from ..shared.pace import Pace
from . import account
from .call_pool import CallPool
from .chunks import next_piece
from .content_hash import ContentHash, hash_through
from .http_session import HttpSession
from .publish import Publisher
from .resume import resume_point_of
from .upload import Source, Upload
from .verdict import session_trouble, write_verdict

if find_spec("dropbox") is None:  # the SDK is loaded at the first connect, but its absence is reported at once
    raise ImportError("the Dropbox SDK is not installed", name="dropbox")

_TRIES = 4  # so often another revision may be met before somebody else is named as the reason
_EPOCH = datetime(1970, 1, 1)
_LAST_SECOND = 253_402_300_799  # the last second that datetime can express


class _Connection(NamedTuple):
    """The objects that live from a connect to a close."""

    calls: CallPool
    client: Any
    publisher: Publisher


_TO_TELL_SECS = 1.0
"""A TCP connect gives up this long before the limit of the login, so that its more precise error is the one reported."""


class DropboxTransport(Transport):
    """Uploads into ``HostPath`` of one account: a small file in one call or, where many come, one call for each file's bytes
    and one for all their commits; bigger files in pieces that survive a cut."""

    name: ClassVar[str] = "dropbox"
    label: ClassVar[str] = "Dropbox"
    case_sensitive: ClassVar[bool] = False
    big_at_once: ClassVar[int] = 256  # one call commits many files

    def __init__(self, settings: Mapping[str, Any], workdir: str) -> None:
        self._settings = settings
        self._folder = account.folder_of(settings)
        self._most = int(settings["ChunkBytes"])
        self._piece = self._most
        self._revs: dict[str, str] = {}
        self._connection: _Connection | None = None
        self._active = 0
        self._meter = Meter()
        self.pace = self._pace = Pace(float(settings.get("RateLimit", 0)))
        self.traits = Traits(atomic_replace=True, keeps_mtime=True, concurrency=256)

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> str:
        """As ``account.identity``."""
        return account.identity(settings)

    @staticmethod
    def hash_of(path: str, size: int) -> str:
        """Dropbox's content hash of the first ``size`` bytes. Blocks. Raises SourceError."""
        source = Source(Job(path, size, None, path, ""))
        return hash_through(source.read, size).hexdigest()

    def wire(self) -> Wire | None:
        """As the contract says, but for a failed TLS handshake: the library drops its socket before the bytes can be counted."""
        return self._meter.wire()

    async def connect(self) -> None:
        """Load the SDK and log in. Raises TransportLost, LoginRefused, and ConfigError where the SDK or a file is missing."""
        await self.close()
        settings = self._settings
        number, stall, limit = int(settings["Connections"]), float(settings["StallSecs"]), float(settings["ConnectTimeoutSecs"])
        calls: CallPool | None = None
        try:
            async with asyncio.timeout(limit):
                # The first import of the SDK takes a while.
                http = await asyncio.to_thread(
                    HttpSession,
                    settings["Proxy"],
                    settings["CAFile"],
                    number,
                    stall,
                    self._pace,
                    self._meter,
                    max(0.5, limit - _TO_TELL_SECS),
                )
                calls = CallPool(http, number)
                client = await calls.run(account.log_in, settings, http)
        except BaseException as exc:
            if calls is not None:
                calls.close()
            if isinstance(exc, TimeoutError):
                raise TransportLost(f"Dropbox gave no answer within {limit:g} s") from exc
            if isinstance(exc, ImportError):
                raise ConfigError("UseDropbox", f"it needs {exc.name}", f"Run: {install('dropbox')}.") from exc
            if isinstance(exc, FileRefused):
                # An error that would refuse one file refuses the account here.
                raise LoginRefused(str(exc)) from exc
            raise

        async def commit(entries: list[Any]) -> list[Any]:
            result = await calls.run(client.files_upload_session_finish_batch_v2, entries)
            return list(result.entries)

        self._connection = _Connection(calls, client, Publisher(commit))

    async def close(self) -> None:
        """Cut every HTTP connection; waiting commits end in TransportLost."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.calls.close()
            connection.publisher.close()

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """One call for a small file that is sent alone, else an upload session and a commit that other files share."""
        connection = self._connected()
        for other in (job.temp, *job.stale):
            self._path(other)
        upload = Upload(job, self._path(job.name), progress)
        self._active += 1
        try:
            return await self._put(connection, upload)
        finally:
            self._active -= 1

    async def stat(self, name: str) -> RemoteStat | None:
        """The metadata of a file; None for no file, and for a folder."""
        return _stat_of(await self._metadata(self._connected(), self._path(name), name))

    async def remove(self, names: Iterable[str]) -> set[str]:
        """Temporary names are never used here, so none of them exists: all are reported as gone."""
        self._connected()
        for name in names:
            self._path(name)
        return set(names)

    def _connected(self) -> _Connection:
        if self._connection is None:
            raise TransportLost("not connected")
        return self._connection

    def _path(self, name: str) -> str:
        """The path in Dropbox's spelling. Raises FileRefused for a name that leaves the folder or is no text."""
        if "\0" in name or not name or any(part in ("", ".", "..") for part in name.split("/")):
            raise FileRefused(f"{name!r} leaves the destination's folder")
        try:
            name.encode()
        except UnicodeEncodeError as exc:
            raise FileRefused(f"Dropbox takes names in UTF-8 only: {name!r}") from exc
        return f"{self._folder}/{name}"

    # -- one file -----------------------------------------------------------------------------------------

    async def _put(self, connection: _Connection, upload: Upload) -> Sent:
        job = upload.job
        rev = job.replaces.rev if job.replaces is not None else self._revs.get(job.name, "")
        upload.resume_point = resume_point_of(job.resume, job.size, time.time())
        await asyncio.sleep(0)  # uploads begun together then see each other in ``_active``
        alone = self._active == 1 and upload.resume_point is None and job.size <= self._piece
        restarted = False
        for _ in range(_TRIES):
            if alone:
                answer = await self._in_one_call(connection, upload, rev)
            else:
                answer = await self._in_pieces(connection, upload, rev)
            if hasattr(answer, "content_hash"):
                return self._done(upload, answer)
            trouble, _offset = session_trouble(answer)
            refusal = None if trouble else write_verdict(answer, job.name)
            if refusal is not None:
                raise refusal
            # The session is used up, or there is another revision, perhaps from an attempt of this queue whose reply was lost.
            metadata = await self._metadata(connection, upload.path, job.name)
            if metadata is not None and hasattr(metadata, "content_hash"):
                own = await asyncio.to_thread(hash_through, upload.source.read, job.size)
                if metadata.content_hash == own.hexdigest():
                    job.confirm()
                    return self._done(upload, metadata, again=True)
                if not rev:
                    self._same_spelling(metadata, job.name)
            rev = _rev_of(metadata)
            if trouble:
                if restarted:
                    break
                restarted, upload.resume_point = True, None
        words = f"{job.name!r} is changed again and again at Dropbox by somebody else"
        raise AttemptFailed(words, step="publishing it", file=job.name)

    def _done(self, upload: Upload, metadata: Any, *, again: bool = False) -> Sent:
        stat = _stat_of(metadata)
        assert stat is not None
        if not again and (stat.size, stat.hash) != (upload.job.size, upload.hash.hexdigest()):
            words = f"Dropbox shows other bytes under {upload.job.name!r} than were sent"
            raise AttemptFailed(words, step="looking at what it has", file=upload.job.name)
        if upload.job.replaces is None:
            self._remember(upload.job.name, stat.rev)
        return Sent(stat, upload.sent, "hash")

    def _remember(self, name: str, rev: str) -> None:
        """Keep the revision of names that the queue keeps none for: heartbeats."""
        self._revs.pop(name, None)
        self._revs[name] = rev
        if len(self._revs) > 1000:
            del self._revs[next(iter(self._revs))]

    async def _in_one_call(self, connection: _Connection, upload: Upload, rev: str) -> Any:
        job = upload.job
        async with connection.calls.one() as run:
            data = await run(self._read, upload, 0, job.size)
            # This call publishes at once, so hash and caller have to agree before it.
            upload.sent_hash.check()
            job.confirm()
            async with connection.publisher.lock:
                result = await self._counted(
                    run, upload, len(data), connection.client.files_upload, data, upload.path, **_commit_arguments(job, rev)
                )
        if hasattr(result, "content_hash"):
            upload.progress(job.size)
        return result

    async def _in_pieces(self, connection: _Connection, upload: Upload, rev: str) -> Any:
        from dropbox import files

        job = upload.job
        small = job.size <= self._piece
        connection.publisher.coming(small)
        try:
            await self._send_up(connection, upload)
            # Before the commit, after which readers have the file; until then the session is visible to nobody.
            await asyncio.to_thread(upload.sent_hash.check)
            job.confirm()
        finally:
            connection.publisher.coming(-small)
        point = upload.resume_point
        assert point is not None
        cursor = files.UploadSessionCursor(point.session, point.offset)
        commit = files.CommitInfo(upload.path, **_commit_arguments(job, rev))
        answer = await connection.publisher.publish(files.UploadSessionFinishArg(cursor, commit))
        return answer.get_success() if answer.is_success() else answer.get_failure()

    async def _send_up(self, connection: _Connection, upload: Upload) -> None:
        """Send every missing byte into an upload session."""
        from dropbox import files

        size, client = upload.job.size, connection.client
        await self._check_session(connection, upload)
        while upload.resume_point is None or not upload.resume_point.closed:
            point = upload.resume_point
            offset = 0 if point is None else point.offset
            count = min(self._piece, size - offset)
            last = offset + count == size
            async with connection.calls.one() as run:
                data = await run(self._read, upload, offset, count)
                if point is None:
                    result = await self._counted(run, upload, count, client.files_upload_session_start, data, close=last)
                    if hasattr(result, "session_id"):
                        upload.keep(result.session_id, count, time.time())
                        continue
                else:
                    cursor = files.UploadSessionCursor(point.session, offset)
                    result = await self._counted(
                        run, upload, count, client.files_upload_session_append_v2, data, cursor, close=last
                    )
                    if result is None:
                        upload.keep(point.session, offset + count, point.at)
                        continue
            refusal = write_verdict(result, upload.job.name)
            if refusal is not None and not session_trouble(result)[0]:
                raise refusal
            raise AttemptFailed("Dropbox lost the upload session", step="sending its bytes", file=upload.job.name)

    async def _check_session(self, connection: _Connection, upload: Upload) -> None:
        """Ask how many bytes the session of an earlier attempt holds; an unusable session is dropped."""
        from dropbox import files

        point = upload.resume_point
        if point is None or point.closed:
            # A closed session takes no request but the commit; its bytes are hashed here for the comparison afterwards.
            await asyncio.to_thread(upload.rewind, point.offset if point is not None else 0)
            return
        cursor = files.UploadSessionCursor(point.session, point.offset)
        result = await connection.calls.run(_answer, connection.client.files_upload_session_append_v2, b"", cursor)
        trouble, offset = ("", 0) if result is None else session_trouble(result)
        size = upload.job.size
        if trouble == "offset" and offset <= size:
            point = point._replace(offset=offset)
        elif trouble == "closed":
            point = point._replace(offset=size, closed=True)
        elif result is not None:
            upload.resume_point = None
            upload.hash = ContentHash()
            return
        await asyncio.to_thread(upload.rewind, point.offset)
        upload.resume_point = point
        upload.progress(point.offset)

    @staticmethod
    def _read(upload: Upload, offset: int, count: int) -> bytes:
        """The bytes of a piece, which are added to the hash as well. Blocks."""
        data = upload.source.read(offset, count)
        if offset == 0:
            upload.hash = ContentHash()
        upload.hash.update(data)
        upload.sent_hash.upto(offset)
        upload.sent_hash.took(offset, data)
        return data

    async def _counted(
        self, run: Callable[..., Any], upload: Upload, count: int, call: Callable[..., Any], *args: Any, **named: Any
    ) -> Any:
        """A call that carries bytes: counted and timed, and its duration decides the size of the next piece."""
        begun = time.monotonic()
        upload.sent += count
        try:
            result = await run(functools.partial(_answer, call, *args, **named))
        except TransportLost:
            if count:
                self._piece = next_piece(min(self._piece, count), None, self._most)
            raise
        if count == self._piece:
            self._piece = next_piece(self._piece, time.monotonic() - begun, self._most)
        return result

    async def _metadata(self, connection: _Connection, path: str, name: str) -> Any:
        """The metadata under a path, or None."""
        result = await connection.calls.run(_answer, connection.client.files_get_metadata, path)
        if not hasattr(result, "is_path"):
            return result
        reason = result.get_path() if result.is_path() else result
        if getattr(reason, "is_not_found", lambda: False)():
            return None
        raise write_verdict(result, name) or FileRefused(f"{name!r}: Dropbox refuses to look")

    @staticmethod
    def _same_spelling(metadata: Any, name: str) -> None:
        own = name.rpartition("/")[2]
        if metadata.name != own and metadata.name.casefold() == own.casefold():
            raise FileRefused(f"Dropbox holds {metadata.name!r} and takes {own!r} for the same name: rename one of the two")


def _answer(call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """In a thread: the result of a call, or the union of its ApiError, which is a reply too."""
    from dropbox.exceptions import ApiError

    try:
        return call(*args, **named)
    except ApiError as exc:
        return exc.error


def _commit_arguments(job: Job, rev: str) -> dict[str, Any]:
    from dropbox import files

    when = None
    if job.mtime_ns is not None:
        when = _EPOCH + timedelta(seconds=min(max(job.mtime_ns // 1_000_000_000, 0), _LAST_SECOND))
    mode = files.WriteMode.update(rev) if rev else files.WriteMode.add
    return {"mode": mode, "autorename": False, "client_modified": when, "mute": True, "strict_conflict": True}


def _rev_of(metadata: Any) -> str:
    return str(getattr(metadata, "rev", "") or "")


def _stat_of(metadata: Any) -> RemoteStat | None:
    if metadata is None or not hasattr(metadata, "content_hash"):
        return None
    return RemoteStat(
        metadata.size, calendar.timegm(metadata.client_modified.utctimetuple()), metadata.rev, metadata.content_hash or ""
    )
