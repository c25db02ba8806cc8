"""Whether an SFTP server lists a file under the name that it was given, and whether an altered name is that of another file."""

from __future__ import annotations

from ..base import Job
from ..shared.altered_names import Alias, AlteredNames, find
from ..shared.sftp_names import parent_of, path_of
from . import packets
from .attempt import Attempt, is_status
from .client import Client
from .links import exists
from .listing import rows_of
from .packets import Attrs, string


class NameChecks:
    """The checks of one connection; ``names`` outlives it."""

    def __init__(self, client: Client, folder: str, names: AlteredNames) -> None:
        self._client, self._folder, self._names = client, folder, names

    def check(self, job: Job) -> None:
        """FileRefused where the server is known to alter this name."""
        if job.replaces is None:
            self._names.check(job.name)

    async def before(self, attempt: Attempt) -> None:
        """Before the first byte: FileRefused where the server lists the existing file of this name under another name."""
        job = attempt.job
        if job.replaces is not None or attempt.resolved.link is not None or not self._names.may_meet(job.name):
            return
        there = attempt.resolved.exists
        if there is None:
            there = exists(await self._client.request(packets.LSTAT, string(attempt.target)))
        if not there:
            return
        parts = job.name.split("/")
        for path in ("/".join(parts[: at + 1]) for at in range(len(parts))):
            if self._names.known_to_show(path) is None and (alias := await self._alias(job, path, None)) is not None:
                raise self._names.refuse(job.name, path, alias, job.ours)

    async def after(self, attempt: Attempt) -> None:
        """After the publication: FileRefused where the server lists another name instead; that file is removed where it is
        certainly the one just sent."""
        job = attempt.job
        if job.replaces is not None or attempt.resolved.link is not None:
            return
        for path in self._names.open_parts(job.name):
            alias = await self._alias(job, path, job.size if path == job.name else None)
            if alias is not None:
                gone = path == job.name and await self._removed(attempt, alias)
                raise self._names.refuse(job.name, path, alias, job.ours, " (that was removed again)" if gone else "")

    async def _alias(self, job: Job, path: str, size: int | None) -> Alias | None:
        """The other name that the server lists in the place of the last part of ``path``, None where it lists this one."""
        folder, _, part = path.rpartition("/")
        rows = await rows_of(self._client, parent_of(path_of(self._folder, path)))
        self._names.listed(folder, rows)
        if rows is None:
            return None
        alias = find(part, rows, size)
        if alias is None:
            if any(row.name == part for row in rows) and (other := self._names.kept(path, rows)) is not None:
                found = await self._client.request(packets.LSTAT, string(path_of(self._folder, other)))
                if isinstance(found, Attrs):
                    self._names.in_any_case()
            return None
        return None if self._names.judge(job.name, path, alias, job.ours) else alias

    async def _removed(self, attempt: Attempt, alias: Alias) -> bool:
        """Remove the file under the altered name; whether that was done. Only a file with the size and time that were sent, and
        which no other task claims, is removed."""
        job = attempt.job
        visible = job.name[: len(job.name) - len(job.name.rpartition("/")[2])] + alias.visible
        path = path_of(self._folder, visible)
        found = await self._client.request(packets.STAT, string(path))
        expected_mtime = None if job.mtime_ns is None else job.mtime_ns // 10**9
        if not isinstance(found, Attrs) or found.size != job.size or found.mtime != expected_mtime or expected_mtime is None:
            return False
        if job.ours(visible):
            job.harmed(visible)
            return False
        if attempt.resolved.exists is not False:
            return False
        return is_status(await self._client.request(packets.REMOVE, string(path)), packets.OK)
