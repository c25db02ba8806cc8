"""What a server makes of the files that it gets: shown or not, when and under which name, gone on with or not; by files of ours."""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import NamedTuple

from ...transports.shared.means import DELETE, FINAL_STAT, PUBLISH, SIZE, TEMP, WRITES
from ...transports.shared.temp_names import formed
from .finding import NOTE, Finding, ok, warn
from .remote import MISSING, FTPRemote, Remote, SFTPRemote, below

_LATE_SECS = 0.2  # of the size of a new file
_LOOKS_SECS = (0.0, 0.05, 0.2, 0.3, 0.5, 0.5, 1.0)


class Shown(NamedTuple):
    """``note``: what is told of new files, '' where they are shown as they are. ``hinders``: why nothing can be built upon them.
    ``rung`` of ``means.FINAL_STAT``, where that is another than the best."""

    note: str = ""
    hinders: str = ""
    rung: str = ""


async def of_new_files(remote: Remote, name: str, size: int) -> Shown:
    """Whether a file that has arrived is shown, and with all its bytes."""
    profile, path, begun = remote.profile, below(remote.folder, name), time.monotonic()
    if profile is not None and profile.rung(SIZE) == "never":  # nor does it tell then whether there is a file
        if await remote.fetch(name, 1) is not None or await remote.drop_file(path) or keeps_all(remote):
            return Shown()
        return Shown(FINAL_STAT.lacks["taken"], FINAL_STAT.lacks["taken"], "taken")
    for secs in _LOOKS_SECS:
        await asyncio.sleep(secs)
        shown = await remote.stat(name)
        if shown is None or shown.size >= size:
            break
    took = time.monotonic() - begun
    if shown is None and await remote.kind(path) == MISSING:
        rung = "hidden" if await remote.drop_file(path) else "taken"
        return Shown(FINAL_STAT.lacks[rung], FINAL_STAT.lacks[rung], rung)
    if shown is not None and took > _LATE_SECS:
        late = f"the server shows the size of a new file late (here after {took:.1f} s)"
        return Shown(f"{late}: it is looked at again", late)
    return Shown()


def keeps_all(remote: Remote) -> bool:
    """Whether the server is known to remove nothing."""
    return remote.profile is not None and remote.profile.rung(DELETE) == "refused"


async def in_place(remote: Remote, name: str) -> Finding | None:
    """What is told where files may be stored under their names at once; None where that is allowed and not done."""
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


async def why_no_copy(remote: Remote, name: str, said: str) -> str:
    """What keeps a server from copying besides its will, which ``said`` so; '' where nothing is known."""
    if re.search("too many|open files|two files", said, re.IGNORECASE):
        return "this server lets one file be open at a time"
    return "this login may not read files" if await remote.fetch(name, 1) is None else ""


async def resume(remote: Remote, name: str, made: list[str]) -> Finding | None:
    """Whether an upload that was cut can go on where it was; None where that is no question. ``made``: what has to be removed."""
    if not isinstance(remote, SFTPRemote) or keeps_all(remote):
        return None
    rung = remote.profile.rung(TEMP)
    if rung in ("subfolder", "in_place"):
        return None
    target, recorded = (os.fsencode(below(remote.folder, each)) for each in (name, f".pysubtask-{os.urandom(8).hex()}.part"))
    path = os.fsdecode(formed(recorded, rung, target))
    made.append(path)
    why = await remote.goes_on(path)
    if await remote.drop_file(path):
        made.remove(path)
    if not why:
        return ok("resume", "an upload that was cut goes on where it was")
    lacks = why if why == WRITES.lacks["in_order"] else f"not possible here ({why}): an upload that was cut begins anew"
    return Finding("resume", NOTE, lacks)


async def of_a_name(remote: Remote, sent: str, refused: str) -> tuple[Finding | None, list[str]]:
    """What became of a name with a colon, ``refused`` so or taken; with the paths of what the server has made of it."""
    shown = await remote.names_in(remote.folder)
    like = re.compile(re.escape(sent).replace(":", "[^:]{0,4}"))
    changed = [name for name in shown if like.fullmatch(name)]
    paths = [below(remote.folder, name) for name in changed]
    if refused:
        return Finding("names", NOTE, f"a name with a colon is not kept, so such files are refused ({refused})"), paths
    if changed and sent not in shown:
        return Finding("names", NOTE, f"a name with a colon is changed by the server: {sent!r} became {changed[0]!r}"), paths
    return None, paths
