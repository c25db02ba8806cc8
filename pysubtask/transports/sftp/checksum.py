"""What an SFTP server says of the hash of a file: the ``check-file`` extension (draft-ietf-secsh-filexfer-13, section 9.1.2),
which ProFTPD and Bitvise have and OpenSSH has not, or a program that is run on it where the settings say so.
"""

from __future__ import annotations

import asyncio

from ...common.errors import TransportLost
from ..base import Job
from ..checksum import ALGORITHMS, Checks, own_hash, patience
from . import packets
from .client import Client
from .packets import Extended, Malformed
from .shell import Shell

_OFFERS = ("check-file", "check-file-name")


class Hashes:
    """Over one connection. ``shell`` is None where no program may or can be run."""

    def __init__(self, client: Client, checks: Checks, shell: Shell | None) -> None:
        self._client = client
        self._checks = checks
        self._shell = shell
        self._offered = any(name in client.extensions for name in _OFFERS)

    async def check(self, job: Job, fd: int, path: bytes) -> str:
        """Compare a file on the server with the source, open as ``fd``: what the receipt says. As ``Checks.compared`` and
        ``Checks.without``; TransportLost where the connection is."""
        checks = self._checks
        if not checks.wanted(job):
            return "size"
        found, why = None, "it offers none"
        begun = asyncio.get_running_loop().time()
        try:
            if self._offered:
                found, why = await self._asked(job, path)
            if found is None and self._shell is not None:
                found, why = await self._shell.sha256(path, patience(job.size))
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

    async def _asked(self, job: Job, path: bytes) -> tuple[tuple[str, str] | None, str]:
        request = packets.check_file(path, ",".join(ALGORITHMS))
        answer = await self._client.request(packets.EXTENDED, request, patience(job.size))
        if isinstance(answer, Extended):
            try:
                return packets.checked_file(answer.data), ""
            except Malformed as exc:
                return None, str(exc)
        return None, str(answer)
