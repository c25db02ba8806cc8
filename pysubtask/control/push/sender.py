"""The uploads of one push: connect, upload side by side, wait and try again after a loss, by the settings."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ...common.errors import (
    AttemptFailed,
    ConfigError,
    FileRefused,
    LoginRefused,
    ServerBusy,
    SourceChanged,
    SourceError,
    TransportError,
    TransportLost,
)
from ...transports import open_transport
from ...transports.base import Job, Sent, Transport
from ..doctor.source import Target
from . import files
from .files import File
from .password import Password
from .record import FileState, Record, as_list

_SIDE_BY_SIDE = 16  # files at once at most, where the transport allows more
_READS_AGAIN = 3  # for a file that changes while it is read or sent


class Outcome(NamedTuple):
    """What became of the file ``path`` with the remote ``name``. ``sent``: the delivery, None where there was none; ``error``
    says why. ``there``: the server had the file from an earlier run or attempt."""

    path: str
    name: str
    sent: Sent | None
    error: str = ""
    there: bool = False


class Show(Protocol):
    """The display of a push."""

    def begin(self, name: str, size: int) -> None:
        """An upload attempt of the file with the remote ``name`` starts; ``size`` in bytes."""

    def progress(self, name: str, done: int) -> None:
        """``done`` bytes of the file with the remote ``name`` are sent."""

    def end(self, outcome: Outcome) -> None:
        """The file is delivered, or given up."""

    def note(self, text: str) -> None:
        """A line for the user: why an attempt failed, and when the next one is."""


class Limits(NamedTuple):
    """``tries``: attempts in a row without a byte of progress; ``secs``: the limit of the whole push (None: no limit)."""

    tries: int
    secs: float | None


def pause(tries: int, error: Exception, settings: dict[str, object]) -> float:
    """Seconds until the next attempt, after ``tries`` losses in a row: RetryWaitSecs; RetryLongWaitSecs after each RetryCount;
    the time that a busy server asks for."""
    if isinstance(error, ServerBusy) and error.retry_after > 0:
        return error.retry_after
    key = "RetryLongWaitSecs" if tries % int(str(settings["RetryCount"])) == 0 else "RetryWaitSecs"
    return float(str(settings[key]))


class Sender:
    """One push of ``requested``: pairs of path and remote name."""

    def __init__(self, target: Target, requested: Sequence[tuple[str, str]], record: Record, limits: Limits, show: Show) -> None:
        self._target, self._record, self._limits, self._show = target, record, limits, show
        self.refused: LoginRefused | None = None
        self._todo = {name: path for path, name in requested}
        self._done: list[Outcome] = []
        self._reached: dict[str, int] = {}
        self._read_before: dict[str, File] = {}
        self._moved = False

    def run(self, password: Password) -> list[Outcome]:
        """The outcome of each file. Errors of a server or a file are outcomes and not raised; raises ConfigError for a wrong
        setting."""
        while True:
            asyncio.run(self._run())
            if self.refused is None:
                return self._done
            # The question comes between two rounds: no event loop delays Ctrl-C there, and --timeout does not count.
            typed = password.instead_of(self.refused)
            if typed is None:
                self._give_up(password.words(self.refused))
                return self._done
            self._target.settings["Password"] = typed

    async def _run(self) -> None:
        self.refused = None
        try:
            async with asyncio.timeout(self._limits.secs):
                await self._rounds()
        except TimeoutError:
            self._give_up(f"not done within {self._limits.secs:g} s (--timeout)")

    async def _rounds(self) -> None:
        transport = open_transport(self._target.transport, self._target.settings, self._record.folder)
        losses = 0
        while self._todo:
            self._moved = False
            try:
                await transport.connect()
                await self._round(transport)
            except LoginRefused as exc:
                self.refused = exc
                return
            except (TransportLost, OSError) as exc:
                losses = 1 if self._moved else losses + 1
                if losses >= self._limits.tries:
                    return self._give_up(f"{exc} ({losses} tries)" if losses > 1 else str(exc))
                secs = pause(losses, exc, self._target.settings)
                self._show.note(f"{exc}; next try in {secs:g} s")
                await transport.close()
                await asyncio.sleep(secs)
            finally:
                await transport.close()

    async def _round(self, transport: Transport) -> None:
        """Upload the remaining files side by side; the first lost connection ends the round for all."""
        places = asyncio.Semaphore(max(1, min(_SIDE_BY_SIDE, transport.traits.concurrency)))

        async def one(name: str, path: str) -> None:
            failed = 0
            while True:
                async with places:
                    outcome = await self._one(transport, path, name)
                if isinstance(outcome, Outcome):
                    break
                # This file waits without a place, so that another file can use it.
                failed = 1 if outcome.further else failed + 1
                if failed >= self._limits.tries:
                    outcome = Outcome(path, name, None, f"{outcome} ({failed} tries)" if failed > 1 else str(outcome))
                    break
                secs = pause(failed, outcome, self._target.settings)
                self._show.note(f"{outcome}; next try in {secs:g} s")
                await asyncio.sleep(secs)
            del self._todo[name]
            self._done.append(outcome)
            self._show.end(outcome)

        tasks = [asyncio.create_task(one(name, path)) for name, path in self._todo.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, transport: Transport, path: str, name: str) -> Outcome | AttemptFailed:
        """The outcome of a file, or the AttemptFailed of an attempt after which another one may succeed."""
        reads = 0
        while True:
            try:
                return await self._upload(transport, await self._read(path, name))
            except SourceChanged as exc:
                reads += 1
                if reads > _READS_AGAIN:
                    return Outcome(path, name, None, str(exc))
                self._show.note(f"{exc}; once more")
            except (FileRefused, SourceError) as exc:
                self._forget(name)
                return Outcome(path, name, None, str(exc))
            except (TransportLost, LoginRefused):
                raise
            except AttemptFailed as exc:
                return exc
            except (TransportError, ConfigError) as exc:
                return Outcome(path, name, None, str(exc))

    async def _read(self, path: str, name: str) -> File:
        found = self._read_before.get(name)
        if found is None or not files.is_as_read(found):
            found = self._read_before[name] = await asyncio.to_thread(files.read, path, name)
        return found

    async def _upload(self, transport: Transport, file: File) -> Outcome:
        state = self._record.states[file.name]
        found = await transport.stat(file.name)
        if state.digest == file.digest:
            own = await asyncio.to_thread(transport.hash_of, file.path, file.size) if found is not None and found.hash else ""
            if found is not None and _is_there(state, file, list(found), own):
                return Outcome(file.path, file.name, Sent(found, 0, "hash" if own else "size"), there=True)
        else:
            state.digest, state.resume, state.before, state.remote = file.digest, "", as_list(found), None
        if not state.resume or not state.temp:
            state.stale += [state.temp] if state.temp else []
            state.temp, state.resume = _temp_name(file.name), ""
        # The temporary name is on the disk before the server has the file: a run after a crash resumes or removes it.
        self._record.save()
        self._show.begin(file.name, file.size)
        sent = await transport.upload(
            Job(
                file.path,
                file.size,
                file.mtime_ns,
                file.name,
                state.temp,
                tuple(state.stale),
                lambda: files.confirm(file),
                resume=state.resume,
                note=lambda text: self._note(state, text),
                sha256=file.digest,
            ),
            lambda done: self._progress(file.name, done),
        )
        state.remote, state.temp, state.resume, state.stale = list(sent.remote), "", "", []
        self._moved = True
        self._record.save()
        return Outcome(file.path, file.name, sent)

    def _note(self, state: FileState, text: str) -> None:
        state.resume = text
        # A note that a full disk loses costs the next run some bytes and nothing else.
        with contextlib.suppress(OSError):
            self._record.save()

    def _progress(self, name: str, done: int) -> None:
        if done > self._reached.get(name, 0):
            self._reached[name], self._moved = done, True
        self._show.progress(name, done)

    def _forget(self, name: str) -> None:
        """Forget the temporary file of a refused upload. Its name stays in ``stale`` in case the transport did not remove it."""
        state = self._record.states[name]
        state.stale += [state.temp] if state.temp else []
        state.temp = state.resume = ""

    def _give_up(self, why: str) -> None:
        for name, path in self._todo.items():
            outcome = Outcome(path, name, None, why)
            self._done.append(outcome)
            self._show.end(outcome)
        self._todo.clear()

    def worth_keeping(self) -> bool:
        """Whether the same command, run again, would resume from the record."""
        begun = any(state.temp or state.remote for state in self._record.states.values())
        return bool(self._todo) or (begun and any(outcome.error for outcome in self._done))


def _is_there(state: FileState, file: File, found: list[object], own: str) -> bool:
    """Whether the server has this content already, so that a second run, or one after a lost reply, sends nothing."""
    if found[3] and own:
        return found[3] == own
    if state.remote is not None:
        return found == state.remote
    left = [file.size, file.mtime_ns // 1_000_000_000]
    # Where the file before the upload had the same size and time, these say nothing.
    return bool(state.temp) and found[:2] == left and (state.before is None or state.before[:2] != left)


def _temp_name(name: str) -> str:
    folder, slash, _ = name.rpartition("/")
    return f"{folder}{slash}.pysubtask-{os.urandom(8).hex()}.part"
