"""The order of a safe upload: nothing is renamed before every write, the sync and the size are confirmed.

Three round trips: OPEN (and LSTAT of the name, and REMOVE of earlier attempts); all WRITEs, FSETSTAT, FSYNC and FSTAT; CLOSE
and the rename. A server handles requests on one handle in their order (section 7 of the draft); the rename
names paths, so it is sent only after the replies to all others. Where a server refuses one method, the next rung of
``means`` is tried at once and for the same file; the profile learns a rung when the file has arrived by it.

An upload that was cut is resumed in its temporary file. A server that was frozen may still carry out earlier WRITEs to that file:
they put the same bytes at the same offsets. It may also carry out an earlier rename, but a rename is requested only when the
file is complete; so after such a request the temporary name is never used for a new file. If a late WRITE comes after the rename of
this client, the file has another time than this client left, and the next version of the file is sent whole.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping

from ...common.errors import AttemptFailed, FileRefused, MeansRefused, TransportLost
from ..base import Job, Progress, Sent
from ..shared.allowance import Allowance
from ..shared.altered_names import AlteredNames, key
from ..shared.checksum import Checks
from ..shared.means import DELETE, PUBLISH, TEMP, WRITES
from ..shared.profile import Profile
from ..shared.remote_text import remote_text
from ..shared.temp_names import every
from ..shared.turns import Turns
from . import packets
from .append import Appender
from .attempt import Attempt, Server, is_status
from .checksum import Checksums
from .client import Client
from .folders import Folders
from .handles import FIRST, KIND, Handles
from .in_place import is_in_place
from .leftovers import Leftovers
from .links import not_followed
from .name_checks import NameChecks
from .opening import Opener
from .packets import Attrs, Handle, Reply, Status, string
from .patch import Patcher
from .resume import ProgressNotes, ResumePoint, resume_point_of
from .sending import Stored, send
from .status_errors import is_unknown, refusal
from .swap import Swaps

_RUNGS = {
    (atomic, aside): frozenset(("rename", "in_place", *(["posix_rename"] if atomic else []), *(["aside"] if aside else [])))
    for atomic in (False, True)
    for aside in (False, True)
}
"""The rungs of PUBLISH that a connection offers: (has posix-rename, has swaps) -> rungs."""


class Publisher:
    """Uploads into one folder over one connection. ``swaps`` is None where no file can be put aside, ``follow`` says that a link
    stays and the file it leads to is written. ``syncs``: the server is asked to write each file to its disk, where it can.

    ``keeps_mtime``: the server has accepted all times so far; ``tells_mtime``: it has reported the time of each file.
    """

    def __init__(
        self,
        client: Client,
        folder: str,
        swaps: Swaps | None,
        checksums: Checksums | None = None,
        profile: Profile | None = None,
        *,
        follow: bool = True,
        names: AlteredNames | None = None,
        syncs: bool = True,
    ) -> None:
        self._profile = profile = profile or Profile(time.time)
        allowance = profile.opened.setdefault(KIND, Allowance(64, FIRST))
        self.server = Server(client, profile, Handles(client, profile, allowance), Leftovers(client, profile), swaps, syncs)
        self._client, self._folder = client, folder
        self._checksums = checksums or Checksums(client, Checks({}), None)
        self._opener = Opener(self.server, Folders(client), follow=follow)
        self._name_checks = NameChecks(client, folder, names or AlteredNames(profile))
        self._turns = Turns(key)
        self._swaps = swaps
        self._appender = Appender(self.server, self._checksums, self._opener, follow=follow)
        self._patcher = Patcher(self.server)
        self.keeps_mtime = self.tells_mtime = True

    @property
    def atomic(self) -> bool:
        """Whether a rename replaces a file in one step, as far as is known."""
        return packets.POSIX_RENAME in self._client.extensions and self._profile.rung(PUBLISH) == "posix_rename"

    async def upload(self, job: Job, progress: Progress) -> Sent:
        """Put one file under its name; see Transport.upload."""
        if job.append or job.replaces is not None:
            return await self._carried(job, progress)
        self._name_checks.check(job)
        turn = await self._turns.enter(job.name)
        try:
            return await self._carried(job, progress)
        finally:
            self._turns.leave(turn)

    async def _carried(self, job: Job, progress: Progress) -> Sent:
        point = None if job.append else resume_point_of(job.resume, job.size)
        notes = ProgressNotes(job.note, job.size, asyncio.get_running_loop().time, point.offset if point else 0)

        def reached(offset: int) -> None:
            if not job.append and not job.copies and attempt.resumable:
                notes.reached(offset)
            progress(offset)

        attempt = Attempt(self.server, self._folder, job, reached)
        try:
            if job.append:
                sent = await self._appender.put(attempt)
            else:
                sent = await self._upload(attempt, point, notes)
        except asyncio.CancelledError:
            # A cancelled upload may be resumed later, so its temporary file stays where enough of it has arrived.
            notes.last()
            attempt.discard(temp=not notes.worth)
            raise
        except TransportLost:
            notes.last()
            attempt.discard(temp=False)  # leaves ``Handles``, where other uploads wait for a place and have to see the loss, too
            raise
        except Exception:
            # The server, the source or the caller's confirm has stopped the upload: no file of it stays on the server.
            notes.forget()
            await self._tidy(attempt)
            raise
        finally:
            attempt.stop()
            attempt.close()
        await self._opener.believe(attempt)
        for learned in attempt.learns:
            learned()
        self.tells_mtime = self.tells_mtime and (sent.remote.mtime is not None or sent.verified == "taken")
        if self._profile.left and self._profile.rung(DELETE) == "refused":
            if self._profile.is_due(DELETE):
                await self.server.leftovers.sweep(idle=False)
            else:
                self._profile.walk(DELETE, trial=False).worked()
        return sent

    async def remove(self, paths: Mapping[str, bytes]) -> set[str]:
        """Remove temporary files by their recorded paths, in all forms their names may have got; the names of those that existed
        and are removed."""
        leftovers = self.server.leftovers
        stepped = TEMP.name in self._profile.stepped
        asked = [
            (name, form, leftovers.ask(form)) for name, path in paths.items() for form in (every(path, path) if stepped else [path])
        ]
        found = [(name, form, await request) for name, form, request in asked]
        for _, form, answer in found:
            if not is_status(answer, packets.OK, packets.NO_SUCH_FILE):
                await leftovers.cleared(form, answer)
        return {name for name, _, answer in found if is_status(answer, packets.OK)}

    async def _upload(self, attempt: Attempt, point: ResumePoint | None, notes: ProgressNotes) -> Sent:
        """Upload the whole file. A link to a file that cannot be written is replaced; where the temporary file disappears, the next
        kind of temporary name is used."""
        first = True
        while True:
            try:
                return await self._whole(attempt, point if first else None, notes, copies=first)
            except FileRefused as exc:
                if attempt.resolved.link is None or attempt.resolved.link.done != "followed":
                    raise
                await self._tidy(attempt)
                attempt.resolved = not_followed(attempt.target, attempt.resolved.link, exc.server_text or str(exc))
                attempt.walk = None
            except MeansRefused as exc:
                if exc.means != TEMP.name:
                    raise
                await self._tidy(attempt)
            first = False
            attempt.learns.clear()

    async def _whole(self, attempt: Attempt, point: ResumePoint | None, notes: ProgressNotes, *, copies: bool) -> Sent:
        job, profile = attempt.job, self._profile
        writes = None if point is None else profile.walk(WRITES)
        went_on = point is not None and writes is not None and writes.rung == "any" and await self._go_on(attempt, point)
        if point is not None and not went_on:
            notes.forget()
            if point.named:
                raise AttemptFailed(f"{job.name}: its temporary file is gone, and the server may yet rename it")
        stored: Stored | None = None
        if went_on:
            assert point is not None and writes is not None
            await self._name_checks.before(attempt)
            attempt.progress(point.offset)
            attempt.learns.append(writes.worked)
            try:
                stored = await send(attempt, point.offset)
            except MeansRefused as exc:
                # The server does not take bytes from the middle on: send the same version from its beginning.
                notes.forget()
                await self._tidy(attempt)
                went_on = False
                writes.refused(exc.server_text)
        elif job.copies and copies:
            stored = await self._patcher.put(attempt)
        if stored is None:
            if await self._is_in_place(attempt) or not await self._opener.open(attempt):
                return await self._in_place(attempt)
            await self._name_checks.before(attempt)
            stored = await send(attempt, 0)
        # All checks stand before the rename: after it, readers have the file and the old one is gone.
        await attempt.check_hash()
        checked = await self._checksums.check(job, attempt.fd, attempt.temp, fresh=True)
        verified = checked if checked == "hash" else stored.verified
        attempt.confirm()
        if attempt.resumable:
            # Noted before the rename is requested: a frozen server may carry it out late, so no new file gets this name.
            notes.last(named=True)
        if not await self._publish(attempt, stored, went_on=went_on):
            await self._tidy(attempt)
            return await self._in_place(attempt)
        await self._name_checks.after(attempt)
        self._patcher.whole_arrived(job)
        self.keeps_mtime = self.keeps_mtime and stored.timed
        return Sent(stored.remote, attempt.sent, verified, attempt.resolved.link)

    async def _is_in_place(self, attempt: Attempt) -> bool:
        return await is_in_place(attempt)

    async def _in_place(self, attempt: Attempt) -> Sent:
        """Write the file under its final name: a reader may find half of it, which the settings allow (StoreInPlace)."""
        job = attempt.job
        # The OPEN truncates what readers have, so everything that can be checked is checked before it.
        await self._name_checks.before(attempt)
        await attempt.check_hash()
        attempt.confirm()
        await self._opener.open_in_place(attempt)
        for means in (TEMP, PUBLISH):
            if self._profile.rung(means) == "in_place":
                self._profile.walk(means, trial=False).worked()
        try:
            stored = await send(attempt, 0)
            if attempt.handle is not None:
                await attempt.ended(attempt.end())
            verified = await self._checksums.check(job, attempt.fd, attempt.temp)
        except (FileRefused, AttemptFailed) as exc:
            exc.spoilt("the file under this name is not whole now, as it was written in place (StoreInPlace)")
            raise
        await self._name_checks.after(attempt)
        self.keeps_mtime = self.keeps_mtime and stored.timed
        return Sent(stored.remote, attempt.sent, verified if verified == "hash" else stored.verified, attempt.resolved.link)

    async def _tidy(self, attempt: Attempt) -> None:
        """Remove the files of this attempt from the server, or record them where that is refused."""
        borrowed, temp = attempt.borrowed, attempt.temp
        await self.server.leftovers.removed(attempt.discard(temp=True), reusable=not attempt.renamed)
        if borrowed and self.server.leftovers.has(temp):
            self._profile.leave(os.fsdecode(temp), reusable=not attempt.renamed)
        await self._opener.tidy(attempt)

    async def _go_on(self, attempt: Attempt, point: ResumePoint) -> bool:
        """Open the temporary file of an upload that was cut; whether it is open and holds the bytes of the note."""
        client, handles = self._client, self.server.handles
        attempt.temp = attempt.known_temp()
        body = packets.open_old(attempt.temp, read=True, write=True)
        await handles.enter()
        opening = client.request(packets.OPEN, body)
        looking = client.request(packets.LSTAT, string(attempt.target))
        await attempt.clear()  # before any rename: a late request of an earlier attempt must find no file
        answer = await handles.granted(await opening, lambda: client.request(packets.OPEN, body))
        if not isinstance(answer, Handle):
            return False
        attempt.handle, attempt.opening = answer.handle, opening
        asked = client.request(packets.FSTAT, string(answer.handle))
        tail = attempt.read_tail(point.offset)
        stat, linked = await asked, await self._opener.resolve(attempt, await looking)
        long_enough = isinstance(stat, Attrs) and stat.size is not None and point.offset <= stat.size <= point.size
        if await attempt.is_same_up_to(point.offset, tail) and long_enough and not linked:
            await attempt.cleared()
            return True
        await attempt.end()
        if not point.named:
            await self.server.leftovers.remove(attempt.temp, reusable=False)
        return False

    # The rename

    async def _publish(self, attempt: Attempt, stored: Stored, *, went_on: bool) -> bool:
        """Round trip 3: CLOSE and rename. False where the file has to be written under its final name."""
        job, target = attempt.job, attempt.resolved.path
        rungs = _RUNGS[packets.POSIX_RENAME in self._client.extensions, bool(self._swaps)]
        # A better rung is tried only where a file exists under the name: else the rename proves nothing.
        walk = self._profile.walk(PUBLISH, rungs, trial=bool(attempt.resolved.exists))
        closing = attempt.end() if attempt.handle is not None else None
        # Without a sync, the reply to CLOSE is the last to tell of lost bytes; and some servers rename no open file.
        if closing is not None and not (stored.synced and walk.rung == "posix_rename"):
            await attempt.ended(closing)
        first: Reply | None = None
        plain: Status | None = None
        while walk.rung != "in_place":
            attempt.renamed = True  # before the request, whose reply may be lost
            answer, plain = await self._renamed(walk.rung, attempt.temp, target, plain)
            if is_status(answer, packets.OK):
                walk.worked()
                if closing is not None:
                    await closing
                # Off the record only after the rename: until then it is all that leads to the file after a crash.
                self._profile.gone([os.fsdecode(attempt.temp)])
                await self._opener.tidy(attempt)
                return True
            if is_status(answer, packets.NO_SUCH_FILE):
                await self._require_temp(attempt, went_on=went_on)
            attempt.renamed = False
            first = first or answer
            if walk.refused(str(answer), unknown=is_unknown(answer)) is None:
                remedy = walk.exhausted().remedy if not walk.exhausted().others_pass else ""
                raise refusal("rename", job.name, first, remedy=remedy)
        attempt.learns.append(walk.worked)
        return False

    async def _renamed(self, rung: str, temp: bytes, target: bytes, plain: Status | None) -> tuple[Reply, Status | None]:
        """The reply to a rename of this kind, and the reply to the last plain rename."""
        if rung == "aside" and self._swaps is not None:
            return await self._swaps.replace(temp, target, plain), plain
        if rung == "posix_rename":
            return await self._client.request(packets.EXTENDED, packets.extended(packets.POSIX_RENAME, temp, target)), plain
        answer = await self._client.request(packets.RENAME, string(temp) + string(target))
        return answer, answer if isinstance(answer, Status) else None

    async def _require_temp(self, attempt: Attempt, *, went_on: bool) -> None:
        """Raise the error for a temporary file that does not exist any more; return where it does."""
        found = await self._client.request(packets.LSTAT, string(attempt.temp))
        if is_status(found, packets.NO_SUCH_FILE):
            attempt.opening = None
            if went_on:
                why = "an earlier request to rename it may have been late"
                raise AttemptFailed(f"{attempt.job.name}: its temporary file went away: {why}", file=remote_text(attempt.temp))
            self._profile.gone([os.fsdecode(attempt.temp)])
            raise attempt.vanished("something on the server takes such files away, too")
