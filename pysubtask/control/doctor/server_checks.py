"""The behaviour of a server with small files of the doctor's own: every operation that an upload will need."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from ...common import advice
from ...common.errors import AttemptFailed, FileRefused, NotAsLeft, PysubtaskError, SourceError, TransportLost
from ...transports.base import Append, Copy, Sent
from ...transports.sftp import packets
from ...transports.shared.means import FINAL_STAT
from . import habits
from .causes import of_mtu
from .destination_folder import DestinationFolder
from .file_causes import file_finding
from .finding import NOTE, SKIP, Finding, fail, ok, size, warn
from .probe import Probe
from .remote import Remote
from .remote_sftp import SFTPRemote

_LOW_SPACE = 50 * 1024 * 1024  # bytes
_LARGE = 1600  # more than one packet of 1500 bytes, and small, as the link may be paid for by the megabyte
_LARGE_SKEW_SECS = 60
_ROUND_TRIPS = 5
_AT_ONCE = 4  # files side by side
_FIRST_PIECE, _MOST = 64 * 1024, 1_000_000  # the link may be paid for by the megabyte
_SPEED_SECS = 3.0
_FIRST = b"pysubtask doctor: this file is removed at once.\n"
_SECOND = b"pysubtask doctor: the second version, which takes the place of the first.\n"
_THIRD = b"A line more.\n"


class ServerChecks:
    """The checks of one server over one connection. ``until``: the end of the checks in monotonic seconds; the cleaning comes
    after it."""

    def __init__(
        self,
        remote: Remote,
        settings: Mapping[str, Any],
        until: float,
        wall: Callable[[], float] = time.time,
        *,
        speed: bool = False,
    ) -> None:
        self._asked_for_speed = speed
        self._remote, self._settings, self._until, self._wall = remote, settings, until, wall
        self._destination = DestinationFolder(remote, settings)
        self._probe = Probe(remote)
        self._sent: Sent | None = None
        self._visibility = habits.Visibility()

    async def findings(self) -> AsyncGenerator[Finding, None]:
        """The findings, one after the other. The created files are removed at the end, after an error or a cancellation, too."""
        try:
            with tempfile.TemporaryDirectory(prefix="pysubtask-doctor-") as folder:
                self._probe.local = os.path.join(folder, "probe")
                steps = (
                    self._folder,
                    self._write,
                    self._rename,
                    self._stays,
                    self._append,
                    self._copy,
                    self._resume,
                    self._large,
                    self._sync,
                    self._space,
                    self._session,
                    self._clock,
                    self._profile,
                    self._names,
                    self._round_trip,
                    *([self._speed] if self._asked_for_speed else []),
                )
                for step in steps:
                    async for finding in self._within_time(step):
                        yield finding
                        if finding.state == "fail":
                            return
        finally:
            left = await asyncio.shield(asyncio.ensure_future(self._probe.clean(self._destination.missing)))
        if left:
            yield warn(
                "cleaned up",
                "left-behind",
                f"what could not be removed from the server: {', '.join(left)}",
                words="Remove it by hand: this login may make files and not remove them, so cut uploads stay there, too.",
            )

    async def _within_time(self, step: Callable[[], AsyncIterator[Finding]]) -> AsyncIterator[Finding]:
        name = step.__name__.strip("_").replace("_", " ")
        steps = step()
        while True:
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.1, self._until - time.monotonic())):
                    finding = await anext(steps)
            except StopAsyncIteration:
                return
            except TimeoutError:
                yield Finding(name, SKIP, "there was no time left for it: the link or the server is slow")
                return
            except SourceError as exc:
                yield fail(
                    name,
                    "local-disk",
                    f"this machine's folder for temporary files does not do: {exc}",
                    words="Set TMPDIR to a folder with room in it.",
                )
                return
            except PysubtaskError as exc:
                yield file_finding(name, exc, self._settings, self._remote.folder)
                return
            yield finding

    # --- the steps

    async def _folder(self) -> AsyncIterator[Finding]:
        async for finding in self._destination.findings():
            yield finding

    async def _write(self) -> AsyncIterator[Finding]:
        try:
            self._sent = await self._probe.upload(_FIRST, None)
        except PysubtaskError as exc:
            found = file_finding("write", exc, self._settings, self._remote.folder)
            missing = bool(self._destination.missing) and found.cause == "write-failed"
            yield await self._destination.instead(found) if found.cause == "no-permission" or missing else found
            return
        if self._sent.remote.size != len(_FIRST):
            yield fail(
                "write",
                "other-size",
                f"{len(_FIRST)} bytes were sent and the server shows {self._sent.remote.size}",
                words="Its disk is full, or a program there changes what comes in.",
            )
            return
        yield ok("write", f"a small file arrived whole (checked by its {self._sent.verified})")

    async def _rename(self) -> AsyncIterator[Finding]:
        self._sent = await self._probe.upload(_SECOND, None)
        in_place = await habits.in_place(self._remote, self._probe.name) if self._settings.get("StoreInPlace") else None
        if in_place is not None:
            yield in_place
        elif self._remote.traits.atomic_replace:
            yield ok("rename over", "a new version takes the place of the old one in one step")
        else:
            yield warn(
                "rename over",
                "rename-not-over",
                "the server cannot rename over a file: the old one is put aside first, so for a moment a reader may find none",
                words="Nothing is lost by it. A server with posix-rename (OpenSSH) does better.",
            )

    async def _stays(self) -> AsyncIterator[Finding]:
        visibility = self._visibility = await habits.of_new_files(self._remote, self._probe.name, len(_SECOND))
        if visibility.note:
            yield Finding("new files", NOTE, visibility.note)

    async def _append(self) -> AsyncIterator[Finding]:
        sent = self._sent
        if sent is None or self._visibility.hinders or not self._remote.traits.appends:
            yield Finding("append", NOTE, "not possible here: a file that grew is sent whole each time")
            return
        at = sent.remote.size
        try:
            self._sent = await self._probe.upload(_THIRD, sent, append=Append(at, at), base=at)
        except NotAsLeft as exc:
            yield warn(
                "append",
                "append-refused",
                f"the server does not go on in the middle of a file: one that grew is sent whole ({exc})",
            )
        else:
            yield await self._probe.read_back("append", _SECOND + _THIRD, "a file that grows costs its growth only")

    async def _copy(self) -> AsyncIterator[Finding]:
        sent = self._sent
        if not isinstance(self._remote, SFTPRemote) or self._visibility.hinders:
            return
        if sent is None or not self._remote.traits.copies or not self._settings.get("DeltaTransfer", True):
            yield Finding(
                "copy-data", NOTE, "not offered (OpenSSH has it since 9.0): a file that changed in its middle is sent whole"
            )
            return
        try:
            before = sent.remote.size
            self._sent = await self._probe.upload(b"\0" * before + _THIRD, sent, copies=(Copy(0, before, 0),))
        except NotAsLeft as exc:
            why = await habits.why_no_copy(self._remote, self._probe.name, str(exc))
            if why:
                yield Finding("copy-data", NOTE, f"not possible here, as {why}: a file that changed in its middle is sent whole")
                return
            yield warn(
                "copy-data",
                "copy-refused",
                f"the server does not copy by itself ({exc}): changed files are sent whole",
                ("DeltaTransfer", False),
            )
        else:
            expected = _SECOND + _THIRD * (2 if before > len(_SECOND) else 1)
            yield await self._probe.read_back("copy-data", expected, "of a file that changed only the changes travel")

    async def _resume(self) -> AsyncIterator[Finding]:
        found = None if self._visibility.hinders else await habits.resume(self._remote, self._probe.name, self._probe.created)
        if found is not None:
            yield found

    async def _large(self) -> AsyncIterator[Finding]:
        """A file with packets of the full size: some paths let only small packets pass, and the files before this one were
        small. An SFTP login has large packets itself, so this check is for FTP."""
        if self._settings.get("UseSFTP", True):
            return
        try:
            self._sent = await self._probe.upload(os.urandom(_LARGE), self._sent)
        except TransportLost as exc:
            if not re.search(r"no answer|hangs", str(exc)):
                raise
            yield of_mtu("large packets", exc, self._settings)
        else:
            yield ok("large packets", f"a file of {_LARGE:,} bytes arrives like a small one")

    async def _sync(self) -> AsyncIterator[Finding]:
        if isinstance(self._remote, SFTPRemote):
            if self._remote.offers(packets.FSYNC):
                yield ok("fsync", "a file is on the server's disk before it gets its name")
            else:
                yield Finding("fsync", NOTE, "not offered: a power cut at the server may take the last files with it")

    async def _space(self) -> AsyncIterator[Finding]:
        free = await self._remote.space()
        if free is None:
            yield Finding("free space", SKIP, "the server does not tell")
        elif free < _LOW_SPACE:
            yield warn("free space", "space-low", f"only {size(free)} are free on the server", words="Free some space there soon.")
        else:
            yield ok("free space", f"{size(free)} on the server")

    async def _session(self) -> AsyncIterator[Finding]:
        if self._settings.get("UseSFTP", True) or "PassiveMode" not in self._settings:
            return
        yield ok(
            "passive mode",
            "data connections come through"
            if self._settings.get("PassiveMode", True)
            else "PassiveMode is False: the server connects back to here, and that works",
        )
        reused = await self._remote.reuses_session() if self._settings.get("UseTLS") else None
        if reused is not None:
            yield ok(
                "session reuse",
                "data connections go on with the TLS session" if reused else "not done by this server, and not asked for",
            )

    async def _clock(self) -> AsyncIterator[Finding]:
        """The server's clock, by the time that the server gives to a file whose upload sets none."""
        before = self._wall()
        try:
            mtime = (await self._probe.upload(b"What time is it?\n", self._sent)).remote.mtime
        finally:
            after = self._wall()
        if mtime is None:
            yield Finding("clock", SKIP, "the server does not tell a file's time")
            return
        apart = 0.0 if before - 2 <= mtime <= after + 2 else mtime - (before + after) / 2
        words = f"{abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} this machine"
        if abs(apart) < _LARGE_SKEW_SECS:
            yield ok("clock", "the server's and this machine's agree" if not apart else f"the server is {words}")
        else:
            yield warn(
                "clock",
                "clock-apart",
                f"the server is {words}: one of the two is wrong, or a time zone is",
                commands=["date -u"],
                words=f"Nothing is lost by it; but times of files mislead people. Let both follow NTP ({advice.SET_CLOCK}).",
            )

    async def _profile(self) -> AsyncIterator[Finding]:
        """The profile that the uploads before this step have built, and uploads side by side that set a time."""
        profile = self._remote.profile
        if profile is None:
            return
        long_ago = time.time_ns() - 10**13
        if habits.keeps_all(self._remote):  # this server refuses removals, so each file would remain
            await self._probe.upload(_SECOND, None, mtime_ns=long_ago)
        else:
            numbers = range(1, _AT_ONCE + 1)
            await asyncio.gather(*(self._probe.upload(_FIRST, None, number=number, mtime_ns=long_ago) for number in numbers))
        if self._visibility.rung:
            profile.learn(FINAL_STAT, self._visibility.rung)
        for line in profile.lines():
            yield Finding("server", NOTE, line)

    async def _names(self) -> AsyncIterator[Finding]:
        """Whether the server keeps a name with a colon, which some systems do not allow and times of the day contain."""
        if self._remote.profile is None or self._visibility.hinders or habits.keeps_all(self._remote):
            return
        sent, why = self._probe.name.replace(".txt", "-12:30.txt"), ""
        try:
            await self._probe.upload(_FIRST, None, name=sent, mtime_ns=time.time_ns() - 10**13)
        except (FileRefused, AttemptFailed) as exc:
            why = str(exc)
        found, changed = await habits.of_a_name(self._remote, sent, why)
        self._probe.created += changed
        if found is not None:
            yield found

    async def _round_trip(self) -> AsyncIterator[Finding]:
        took = []
        for _ in range(_ROUND_TRIPS):
            begun = time.monotonic()
            await self._remote.stat(self._probe.name)
            took.append(time.monotonic() - begun)
        yield ok("round trip", f"{min(took) * 1000:.1f} ms for a question and its answer")

    async def _speed(self) -> AsyncIterator[Finding]:
        piece, rate, sent, limited = _FIRST_PIECE, 0.0, 0, float(self._settings.get("RateLimit", 0) or 0)
        begun = time.monotonic()
        while True:
            if limited:
                piece = max(1024, min(piece, int(limited * _SPEED_SECS / 2)))
            sent_at = time.monotonic()
            await self._probe.upload(os.urandom(piece), None)
            now, sent = time.monotonic(), sent + piece
            rate = piece / max(1e-6, now - sent_at)
            left = min(begun + _SPEED_SECS, self._until) - now
            if limited or left <= 0:
                break
            next_piece = min(_MOST - sent, piece * 16, int(rate * left / 2))
            if next_piece <= piece:
                break
            piece = next_piece
        more = f" (RateLimit allows {size(limited)}/s)" if limited else ""
        yield ok("speed up", f"{size(rate)}/s, measured with {size(piece)}{more}")
