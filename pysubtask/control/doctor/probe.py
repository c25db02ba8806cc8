"""The small files of the doctor's own on a server: their upload, and their removal at the end."""

from __future__ import annotations

import asyncio
import os

from ...common.errors import PysubtaskError
from ...transports.base import Append, Copy, Job, Sent
from .finding import Finding, fail, ok
from .remote import Remote, clean

_CLEAN_SECS = 5.0  # after the end of the checks, so that Ctrl-C and a dead link end soon


class Probe:
    """The doctor's file on a server, and others beside it."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.local = ""
        """The path on this machine for the content of an upload."""
        self.name = f"pysubtask-doctor-{os.urandom(4).hex()}.txt"
        """The file's name in the destination's folder."""
        self.created: list[str] = []
        """Paths of the files that may be on the server and are to be removed."""

    async def upload(
        self,
        data: bytes,
        replaces: Sent | None,
        *,
        append: Append | None = None,
        base: int = 0,
        copies: tuple[Copy, ...] = (),
        number: int = 0,
        mtime_ns: int | None = None,
        name: str = "",
    ) -> Sent:
        """Upload these bytes under the doctor's name, under that name with ``number``, or under ``name``. For an append,
        ``data`` are the bytes from the offset ``base`` on. Raises as any transport does."""
        local = f"{self.local}{number or ''}"
        own = name or (self.name.replace(".txt", f"-{number}.txt") if number else self.name)
        await asyncio.to_thread(_put, local, data)
        remote, temp = self._remote, f".pysubtask-{os.urandom(8).hex()}.part"
        below = f"{remote.folder.rstrip('/')}/" if remote.folder else ""
        for each in (own, temp):
            if below + each not in self.created:
                self.created.append(below + each)
        job = Job(
            local,
            base + len(data),
            mtime_ns,
            own,
            temp,
            replaces=replaces.remote if replaces else None,
            append=append,
            base=base,
            copies=copies,
        )
        sent = await remote.upload(job, lambda done: None)
        self.created.remove(below + temp)
        return sent

    async def read_back(self, check: str, expected: bytes, good: str) -> Finding:
        """Whether the server returns the uploaded bytes."""
        found = await self._remote.fetch(self.name, len(expected) + 1)
        if found is None:
            return ok(check, f"{good} (checked by its size: this login may not read)")
        if found != expected:
            return fail(
                check,
                "other-bytes",
                f"the server gives back other bytes than were sent ({len(found)} for {len(expected)})",
                ("AtomicAppend", True),
                ("DeltaTransfer", False),
                words="Both: until that server is mended, each version is sent whole.",
            )
        return ok(check, f"{good} (read back and compared)")

    async def clean(self, folders: list[str]) -> list[str]:
        """Remove the files, and ``folders`` (the deepest first); the paths of what is left. Raises nothing but CancelledError."""
        profile = self._remote.profile
        self.created += [] if profile is None else [name for name in (*profile.left, *profile.pending) if name not in self.created]
        if not self.created:
            return []
        try:
            async with asyncio.timeout(_CLEAN_SECS):
                left = await clean(self._remote, self.created, folders)
                if left:  # the error that ended the checks may have closed the connection
                    await self._remote.connect()
                    left = await clean(self._remote, self.created, folders)
                return left
        except (TimeoutError, PysubtaskError):
            return [*self.created, *folders]


def _put(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
