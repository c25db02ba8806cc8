"""Our transport alone, as a program that can be measured from outside like the others: JSON in, files up, JSON out.

In: ``{"settings": {...}, "workdir": "...", "files": [[path, name], ...]}``. Out: ``{"secs": ...}``, from before the
connect (which starts ssh) until after the close; what Python takes to start is only in the whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator

from pysubtask.transports.base import Job
from pysubtask.transports.sftp import SFTPTransport


def _jobs(files: list[tuple[str, str]]) -> Iterator[Job]:
    for path, name in files:
        found = os.stat(path)
        yield Job(path, found.st_size, found.st_mtime_ns, name, f".pysubtask-{os.urandom(8).hex()}.part")


async def _upload(transport: SFTPTransport, jobs: Iterator[Job]) -> None:
    for job in jobs:
        await transport.upload(job, lambda confirmed: None)


async def _main() -> None:
    given = json.load(sys.stdin)
    transport = SFTPTransport(given["settings"], given["workdir"])
    begun = time.perf_counter()
    await transport.connect()
    jobs = _jobs(given["files"])
    async with asyncio.TaskGroup() as group:
        for _ in range(min(transport.traits.concurrency, len(given["files"]))):
            group.create_task(_upload(transport, jobs))
    await transport.close()
    print(json.dumps({"secs": time.perf_counter() - begun}))


if __name__ == "__main__":
    asyncio.run(_main())
