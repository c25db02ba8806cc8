"""Round trip 1 of an upload: open the temporary file in the right folder, and remove the files of earlier attempts."""

from __future__ import annotations

import asyncio
import os

from ...common.errors import AttemptFailed, NotAsLeft
from ..shared.means import DELETE, TEMP
from ..shared.remote_text import remote_text
from ..shared.sftp_names import parent_of
from ..shared.temp_names import formed, own_folder
from . import packets
from .attempt import Attempt, Server, is_status
from .folders import Folders
from .handles import names_limit
from .links import is_link, resolve
from .packets import Handle, Reply, string
from .proof import small_file
from .status_errors import is_unknown, refusal


class Opener:
    """Over one connection. ``follow``: a link on the server stays, and the file that it points to is written."""

    def __init__(self, server: Server, folders: Folders, *, follow: bool) -> None:
        self._server = server
        self._client = server.client
        self._folders = folders
        self._follow = follow
        self._used: dict[bytes, int] = {}

    async def open(self, attempt: Attempt) -> bool:
        """Create the temporary file. False where this server accepts none and the settings allow an upload without (StoreInPlace).
        FileRefused where the last allowed rung was refused; AttemptFailed where the server names a limit."""
        server, name = self._server, attempt.job.name
        walk = attempt.walk = attempt.walk or server.profile.walk(TEMP)
        first: tuple[bytes, Reply, str] | None = None
        vague = True
        if attempt.job.resume and attempt.handle is None and attempt.opening is None:
            for form in attempt.forms(attempt.recorded):
                server.leftovers.ask(form)
        while walk.rung != "in_place":
            answer, more = await self._make(attempt, walk.rung)
            if isinstance(answer, Handle):
                if first is not None and vague:
                    attempt.doubted = first[0]
                else:
                    attempt.learns.append(walk.worked)
                await attempt.cleared()
                return True
            vague = vague and is_status(answer, packets.FAILURE)
            if names_limit(answer):  # a limit, so another name would not help
                failed = AttemptFailed(str(refusal("open", name, answer, more)), step="open", server_text=str(answer))
                failed.limit = True
                raise failed
            first = first or (attempt.temp, answer, more)
            # A missing folder is no reason to try another kind of name.
            missing = is_status(answer, packets.NO_SUCH_FILE) and walk.rung != "subfolder"
            if missing or walk.refused(str(answer), unknown=is_unknown(answer)) is None:
                await self.tidy(attempt)
                temp, answer, more = first
                helps = not missing and not is_status(answer, packets.PERMISSION_DENIED)
                remedy = walk.exhausted().remedy if helps and not walk.exhausted().others_pass else ""
                raise refusal("open", name, answer, more, file=remote_text(temp.rpartition(b"/")[2]), remedy=remedy)
        await attempt.cleared()
        attempt.learns.append(walk.worked)
        return False

    async def _make(self, attempt: Attempt, rung: str) -> tuple[Reply, str]:
        """Open a temporary file of this kind; the reply, and a hint for the error message."""
        while True:
            recorded = attempt.recorded
            if attempt.resolved.path != attempt.target:
                folder = parent_of(attempt.resolved.path)
                recorded = (folder.rstrip(b"/") + b"/" if folder else b"") + attempt.recorded.rpartition(b"/")[2]
            attempt.temp, attempt.borrowed = formed(recorded, rung, attempt.target), False
            self._borrow(attempt)
            if (attempt.resolved.path != attempt.target or rung in ("hidden_ending", "ending")) and not attempt.borrowed:
                # Recorded before the OPEN: the recorded name alone does not lead to this path after a crash.
                self._server.profile.hold(os.fsdecode(attempt.temp))
            answer, more, moved = await self._open(attempt)
            if not moved:
                return answer, more
            if isinstance(answer, Handle):
                await attempt.end()
                await self._server.leftovers.remove(attempt.temp, reusable=True)

    def _borrow(self, attempt: Attempt) -> None:
        """Use a file that the server did not let be removed as the temporary file, so that the number of such files does not
        grow."""
        profile = self._server.profile
        if profile.rung(DELETE) == "refused":
            left = profile.take_left(os.fsdecode(parent_of(attempt.temp)))
            if left is not None:
                attempt.temp, attempt.borrowed = os.fsencode(left), True

    async def _open(self, attempt: Attempt) -> tuple[Reply, str, bool]:
        """OPEN, with an LSTAT of the name: the reply, a hint for the error message, and whether the file has to be opened in
        another folder, as the name is a link."""
        client, handles = self._client, self._server.handles
        # A temporary file of an earlier attempt that cannot be removed is truncated.
        over = attempt.borrowed or (attempt.job.resume and self._server.profile.rung(DELETE) == "refused")
        body = packets.open_over(attempt.temp) if over else packets.open_new(attempt.temp)

        def ask() -> asyncio.Future[Reply]:
            attempt.opening = client.request(packets.OPEN, body)
            return attempt.opening

        await handles.enter()
        answered = False
        try:
            opening = ask()
            looking = (
                None
                if attempt.resolved.exists is not None or attempt.resolved.link
                else client.request(packets.LSTAT, string(attempt.target))
            )
            if not attempt.cleanup_sent:
                await attempt.clear()
                attempt.cleanup_sent = True
            answer, more = await opening, ""
            folder = parent_of(attempt.temp)
            if folder and await self._is_missing(folder, answer):
                reply = await self._folders.make(folder)
                more = "" if reply.code == packets.OK else f"making the folder: {reply}"
                answer = await ask()
            answered = True
            answer = await handles.granted(answer, ask)
            if isinstance(answer, Handle):
                attempt.handle = answer.handle
            moved = looking is not None and await self.resolve(attempt, await looking)
        except BaseException:
            if not answered:
                handles.leave()
            raise
        if isinstance(answer, Handle) and (own := own_folder(attempt.temp)) is not None:
            self._used[own] = self._used.get(own, 0) + 1
            attempt.folder = own
        return answer, more, moved

    async def _is_missing(self, folder: bytes, answer: Reply) -> bool:
        """Whether an OPEN was refused because its folder is not there; some servers say Failure to that."""
        if is_status(answer, packets.NO_SUCH_FILE):
            return True
        if not is_status(answer, packets.FAILURE):
            return False
        return is_status(await self._client.request(packets.LSTAT, string(folder)), packets.NO_SUCH_FILE)

    async def resolve(self, attempt: Attempt, found: Reply) -> bool:
        """Store in ``attempt.resolved`` what LSTAT of the name has reported (``found``); whether the file has to be written
        elsewhere."""
        attempt.resolved = await resolve(self._client, attempt.target, found, follow=self._follow)
        return attempt.resolved.path != attempt.target

    async def no_link(self, attempt: Attempt) -> None:
        """NotAsLeft where the name is a link, as RemoteLinks asks for its replacement."""
        if is_link(await self._client.request(packets.LSTAT, string(attempt.target))):
            raise NotAsLeft(f"{attempt.job.name}: a link stands there, and RemoteLinks is 'replace'")

    async def believe(self, attempt: Attempt) -> None:
        """A kind of temporary name was refused with nothing but "Failure", and the next one taken: that may have been a limit of a
        moment. A small file under such a name decides that when the upload is done."""
        path, attempt.doubted = attempt.doubted, None
        if path is None or attempt.walk is None:
            return
        await self._server.handles.enter()
        try:
            why = await small_file(self._client, path, b"")
        finally:
            self._server.handles.leave()
        await self._server.leftovers.remove(path, reusable=True)
        if why:
            attempt.walk.worked()

    async def open_in_place(self, attempt: Attempt) -> None:
        """Open the name itself, empty. Raises FileRefused."""
        client, handles = self._client, self._server.handles
        attempt.in_place, attempt.borrowed = True, False
        attempt.temp = attempt.resolved.path

        def ask() -> asyncio.Future[Reply]:
            return client.request(packets.OPEN, packets.open_over(attempt.temp))

        if not attempt.cleanup_sent:
            await attempt.clear()
            attempt.cleanup_sent = True
            await attempt.cleared()
        await handles.enter()
        answer = await ask()
        folder = parent_of(attempt.temp)
        if folder and await self._is_missing(folder, answer):
            await self._folders.make(folder)
            answer = await ask()
        answer = await handles.granted(answer, ask)
        if not isinstance(answer, Handle):
            raise refusal("store", attempt.job.name, answer)
        attempt.handle = answer.handle

    async def tidy(self, attempt: Attempt) -> None:
        """Remove the folder that was made for temporary files, where nobody uses it any more."""
        folder = attempt.folder
        attempt.folder = None
        if folder is None:
            own = own_folder(attempt.temp)
            if own is None or own in self._used:
                return
            folder = own
            self._used[folder] = 1
        self._used[folder] -= 1
        if not self._used[folder]:
            del self._used[folder]
            await self._client.request(packets.RMDIR, string(folder))
