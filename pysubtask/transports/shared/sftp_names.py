"""Names on an SFTP server: the path of a job's name as bytes, and the destination's identity. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...common.errors import FileRefused
from ...common.paths import encoded


def folder_of(settings: Mapping[str, Any]) -> str:
    """The destination's folder: HostSFTPPath, else HostPath. '' and '~' are the login's own; '~/x' is 'x'."""
    chosen = settings.get("HostSFTPPath")
    folder = str(chosen if chosen is not None else settings.get("HostPath") or "")
    if folder == "~" or folder.startswith("~/"):
        folder = folder[2:].lstrip("/")
    return folder.rstrip("/") or ("/" if folder.startswith("/") else "")


def path_of(folder: str, name: str) -> bytes:
    """The path of a remote name. FileRefused for a name that leaves the folder or cannot be one."""
    framed = f"/{name}/"
    if "\0" in name or "//" in framed or "/./" in framed or "/../" in framed:
        raise FileRefused(f"{name!r} is no name below the destination's folder")
    path = f"{folder.rstrip('/')}/{name}" if folder else name
    try:
        return encoded(path)
    except UnicodeEncodeError as exc:
        raise FileRefused(f"{name!r} cannot be written as bytes") from exc


def parent_of(path: bytes) -> bytes:
    """The folder a path is in; b'' is the login's own, b'/' the root."""
    head, slash, _ = path.rpartition(b"/")
    return head or slash


def identity_of(settings: Mapping[str, Any]) -> str:
    """The destination as a URL without secrets. A folder from the root shows a second slash."""
    user = str(settings.get("User") or "")
    host = str(settings.get("Host") or "")
    port = int(settings.get("HostPort", -1))
    if ":" in host:
        host = f"[{host.strip('[]')}]"
    return f"sftp://{user + '@' if user else ''}{host}:{22 if port < 0 else port}/{folder_of(settings)}"
