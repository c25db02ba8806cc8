"""Where a login begins and which names are there, for a folder that the server does not know: the root of SFTP and FTP often
differs from that of the account's shell, so that a path of the shell does not exist there."""

from __future__ import annotations

from ...common.errors import TransportError
from .remote import FOLDER, Remote

_NAMES, _LONGEST = 8, 200  # names and characters that fit into one line of the report


def without_its_top(path: str) -> list[str]:
    """An absolute path as seen from roots below its own: without its first folder, without the first two, and so on. Pure."""
    parts = [part for part in path.split("/") if part]
    return ["/" + "/".join(parts[count:]) for count in range(1, len(parts))] if path.startswith("/") else []


def in_words(names: list[str]) -> str:
    """The names in a folder as text: the first ``_NAMES`` of them, without hidden ones. Pure."""
    seen = sorted(name for name in names if not name.startswith("."))
    listed = ", ".join(seen[:_NAMES])[:_LONGEST] + (f" and {len(seen) - _NAMES} more" if len(seen) > _NAMES else "")
    return listed or "nothing that is shown"


async def describe_start(remote: Remote, home: str, folder: str) -> str:
    """Where the login begins and which names are there, and in the root for an absolute path; '' where the server does not say."""
    sentences: list[str] = []
    places = dict.fromkeys([home, *(["/"] if folder.startswith("/") else [])])
    for place in filter(None, places):
        try:
            names = await remote.names_in(place)
        except TransportError:
            continue
        sentences.append(f"in {place} stand: {in_words(names)}")
    return "; ".join([*([f"a login begins in {home}"] if home else []), *sentences])


async def meant(remote: Remote, folder: str) -> str:
    """The path on the server that a path of the shell may mean: the longest end of it whose parent folder exists; '' for none."""
    try:
        for path in without_its_top(folder):
            above = path.rpartition("/")[0]
            if await remote.kind(path) == FOLDER or (above and await remote.kind(above) == FOLDER):
                return path
    except TransportError:
        return ""
    return ""
