"""What a server does to the files that it receives: whether it lists them, when, under which name, and whether an upload can be
resumed. The checks use files of the doctor's own."""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import NamedTuple

from ...transports.shared.means import DELETE, FINAL_STAT, PUBLISH, SIZE, TEMP, WRITES
from ...transports.shared.temp_names import formed
from .finding import NOTE, Finding, ok, warn
from .remote import MISSING, Remote, below
from .remote_ftp import FTPRemote
from .remote_sftp import SFTPRemote

_LATE_SECS = 0.2  # a size that is right later than this is reported as late
_POLL_SECS = (0.0, 0.05, 0.2, 0.3, 0.5, 0.5, 1.0)  # waits between the stats of a new file, 2.55 s in all


class Visibility(NamedTuple):
    """``note``: the line about new files, '' where they are listed as they are. ``hinders``: why no check can rely on a new
    file, '' where one can. ``rung``: the rung of ``means.FINAL_STAT`` where it is not the best one, else ''."""

    note: str = ""
    hinders: str = ""
    rung: str = ""


async def of_new_files(remote: Remote, name: str, size: int) -> Visibility:
    """Whether the server lists a file that has arrived, and with its whole size."""
    profile, path, begun = remote.profile, below(remote.folder, name), time.monotonic()
    if profile is not None and profile.rung(SIZE) == "never":  # such a server does not say whether a file exists either
        if await remote.fetch(name, 1) is not None or await remote.drop_file(path) or keeps_all(remote):
            return Visibility()
        return Visibility(FINAL_STAT.lacks["taken"], FINAL_STAT.lacks["taken"], "taken")
    for secs in _POLL_SECS:
        await asyncio.sleep(secs)
        stat = await remote.stat(name)
        if stat is None or stat.size >= size:
            break
    took = time.monotonic() - begun
    if stat is None and await remote.kind(path) == MISSING:
        rung = "hidden" if await remote.drop_file(path) else "taken"
        return Visibility(FINAL_STAT.lacks[rung], FINAL_STAT.lacks[rung], rung)
    if stat is not None and took > _LATE_SECS:
        late = f"the server shows the size of a new file late (here after {took:.1f} s)"
        return Visibility(f"{late}: it is looked at again", late)
    return Visibility()


def keeps_all(remote: Remote) -> bool:
    """Whether the server is known to refuse every removal."""
    return remote.profile is not None and remote.profile.rung(DELETE) == "refused"


async def in_place(remote: Remote, name: str) -> Finding | None:
    """The finding about StoreInPlace; None where the setting allows it and the server needs no upload in place."""
    text = "files are stored under their names at once (StoreInPlace): a reader may find half a file"
    if isinstance(remote, SFTPRemote):
        needed = "in_place" in (remote.profile.rung(PUBLISH), remote.profile.rung(TEMP))
        if not needed:
            return None
    else:
        needed = isinstance(remote, FTPRemote) and not await remote.renames(name)
    if needed:
        return Finding("rename over", NOTE, f"{text}. This server takes nothing else")
    return warn("rename over", "stored-in-place", text, ("StoreInPlace", False), words="Only needed where a server cannot rename.")


async def why_no_copy(remote: Remote, name: str, reason: str) -> str:
    """Why a server that refused a copy with this ``reason`` cannot do it; '' where no cause is known."""
    if re.search("too many|open files|two files", reason, re.IGNORECASE):
        return "this server lets one file be open at a time"
    return "this login may not read files" if await remote.fetch(name, 1) is None else ""


async def resume(remote: Remote, name: str, created: list[str]) -> Finding | None:
    """Whether an interrupted upload can be resumed; None where the question does not arise. ``created`` gets the paths that
    have to be removed."""
    if not isinstance(remote, SFTPRemote) or keeps_all(remote):
        return None
    rung = remote.profile.rung(TEMP)
    if rung in ("subfolder", "in_place"):
        return None
    target, recorded = (os.fsencode(below(remote.folder, each)) for each in (name, f".pysubtask-{os.urandom(8).hex()}.part"))
    path = os.fsdecode(formed(recorded, rung, target))
    created.append(path)
    why = await remote.why_no_resume(path)
    if await remote.drop_file(path):
        created.remove(path)
    if not why:
        return ok("resume", "an upload that was cut goes on where it was")
    lacks = why if why == WRITES.lacks["in_order"] else f"not possible here ({why}): an upload that was cut begins anew"
    return Finding("resume", NOTE, lacks)


async def of_a_name(remote: Remote, sent: str, refused: str) -> tuple[Finding | None, list[str]]:
    """What the server made of a name with a colon: the finding, and the paths of the files that it created under other names.
    ``refused``: the reason of a refusal, '' where the file was taken."""
    listing = await remote.names_in(remote.folder)
    like = re.compile(re.escape(sent).replace(":", "[^:]{0,4}"))
    changed = [name for name in listing if like.fullmatch(name)]
    paths = [below(remote.folder, name) for name in changed]
    if refused:
        return Finding("names", NOTE, f"a name with a colon is not kept, so such files are refused ({refused})"), paths
    if changed and sent not in listing:
        return Finding("names", NOTE, f"a name with a colon is changed by the server: {sent!r} became {changed[0]!r}"), paths
    return None, paths
