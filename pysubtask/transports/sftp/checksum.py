"""The hash of a file on an SFTP server: the ``check-file`` extension (draft-ietf-secsh-filexfer-13, section 9.1.2),
which ProFTPD and Bitvise have and OpenSSH has not, or a program that is run on the server where the settings allow it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os

from ...common.errors import TransportLost
from ..base import Job
from ..shared.checksum import ALGORITHMS, Checks, own_hash, patience
from ..ssh.shell import Shell
from . import packets
from .client import Client
from .leftovers import Leftovers
from .packets import Extended, Malformed
from .proof import small_file

_OFFERS = ("check-file", "check-file-name")


class Checksums:
    """Over one connection. ``shell`` is None where no program may or can be run."""

    def __init__(self, client: Client, checks: Checks, shell: Shell | None) -> None:
        self._client = client
        self._checks = checks
        self._shell = shell
        self._offered = any(name in client.extensions for name in _OFFERS)
        self._sees: bool | None = None

    async def be_seen(self, job: Job, leftovers: Leftovers, path: bytes) -> None:
        """Find out whether the shell sees the same files as SFTP, before it hashes a path that may exist in both roots: by a
        small new file ``path``, which is removed afterwards."""
        if self._shell is None or self._sees is not None or self._offered or not self._checks.needed(job):
            return
        token = os.urandom(16)
        if await small_file(self._client, path, token):
            return
        try:
            found, _ = await self._shell.sha256(path, 0.0)
        finally:
            if self._client.lost is None:
                await leftovers.remove(path, reusable=True)
        self._sees = found is not None and found[1] == hashlib.sha256(token).hexdigest()

    async def check(self, job: Job, fd: int, path: bytes, *, fresh: bool = False) -> str:
        """Compare a file on the server with the source, open as ``fd``; the word for the receipt. Raises as ``Checks.compared`` and
        ``Checks.without``; TransportLost where the connection is lost. ``fresh``: no other file on the server can have this path;
        the shell is asked for another path only where it has found such a fresh file before."""
        checks = self._checks
        if not checks.needed(job):
            return "size"
        found, why = None, "it offers none"
        begun = asyncio.get_running_loop().time()
        try:
            if self._offered:
                found, why = await self._asked(job, path)
            if found is None and self._shell is not None:
                found, why = await self._by_shell(path, job, fresh=fresh)
        except TransportLost:
            if asyncio.get_running_loop().time() - begun > patience(job.size):
                checks.late(job)
            raise
        if found is None:
            return checks.without(job, why)
        algorithm, theirs = found
        own = job.sha256 if algorithm == "sha256" else ""
        own = own or await asyncio.to_thread(own_hash, job, fd, algorithm)
        if not own:
            return checks.without(job, f"it gave that of {algorithm}, which cannot be computed here")
        return checks.compared(job, own, theirs)

    async def _by_shell(self, path: bytes, job: Job, *, fresh: bool) -> tuple[tuple[str, str] | None, str]:
        assert self._shell is not None
        if not fresh and not self._sees:
            return None, "its shell does not see the files that SFTP does"
        found, why = await self._shell.sha256(path, patience(job.size))
        if fresh and found is not None:
            self._sees = True
        return found, why

    async def _asked(self, job: Job, path: bytes) -> tuple[tuple[str, str] | None, str]:
        request = packets.check_file(path, ",".join(ALGORITHMS))
        answer = await self._client.request(packets.EXTENDED, request, patience(job.size))
        if isinstance(answer, Extended):
            try:
                return packets.checked_file(answer.data), ""
            except Malformed as exc:
                return None, str(exc)
        return None, str(answer)
