"""The check of the destination's folder: whether it is there, and which one may be meant where it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from ...common.errors import TransportError
from . import mistyped, namespace
from .finding import NOTE, SKIP, Finding, Remedy, fail, ok, warn
from .remote import FILE, FOLDER, MISSING, Remote, parents


class DestinationFolder:
    """The folder that the settings name, on the server."""

    def __init__(self, remote: Remote, settings: Mapping[str, Any]) -> None:
        self._remote, self._settings = remote, settings
        self.missing: list[str] = []
        """The folders that the first upload makes, the deepest first; known after ``findings``."""
        self._near = ""
        self._start = ""

    async def findings(self) -> AsyncIterator[Finding]:
        """One finding. Raises TransportError as any transport does."""
        remote = self._remote
        home = await remote.home()
        folder = remote.folder
        kind = await remote.kind(folder)
        begin = f"; a login begins in {home}" if home and not folder.startswith("/") else ""
        begins = begin
        if kind == MISSING and folder.startswith("/"):
            self._start = await namespace.describe_start(remote, home, folder)
            begins = f". {self._start[:1].upper()}{self._start[1:]}" if self._start else ""
        if kind == FILE:
            yield fail("folder", "folder-is-file", f"{folder!r} on the server is a file", ("HostPath", folder + ".d"))
        elif kind == MISSING:
            self.missing = await remote.missing(folder)
            self._near = await self._mistyped()
            if self._near:
                yield warn(
                    "folder",
                    "folder-mistyped",
                    f"{folder!r} is not there; did you mean {self._near!r}?",
                    (self._path_key(), self._near),
                    words=f"Where the name is right, the first upload makes it{begin}.",
                )
                return
            self._near = await namespace.meant(remote, folder)
            if self._near:
                yield warn(
                    "folder",
                    "folder-of-the-shell",
                    f"{folder!r} is not there{begins}",
                    (self._path_key(), self._near),
                    words="A path of the account's shell may be another one here, as this login has a root of its own. "
                    "Where the name is right, the first upload makes it.",
                )
                return
            yield Finding("folder", NOTE, f"{folder!r} is not there yet: the first upload makes it{begins}")
        elif kind == FOLDER:
            yield ok("folder", f"{folder or 'where the login begins'} is there{begin if folder else f': {home}' * bool(home)}")
        else:
            yield Finding("folder", SKIP, f"the server does not tell what {folder!r} is")

    async def _mistyped(self) -> str:
        """The existing folder of whose name the missing one is a typing error; '' where there is none."""
        if not self.missing:
            return ""
        top, whole = self.missing[-1], self._remote.folder
        above, slash, name = top.rpartition("/")
        try:
            near = mistyped.meant(name, await self._remote.names_in(above or slash))
            found = f"{above}{slash}{near}"
            return found + whole[len(top) :] if near and await self._remote.kind(found) == FOLDER else ""
        except TransportError:
            return ""  # the server does not list its names

    def _path_key(self) -> str:
        """The setting that names the folder."""
        return (
            "HostSFTPPath"
            if self._settings.get("HostSFTPPath") is not None
            else ("HostFTPPath" if self._settings.get("HostFTPPath") is not None else "HostPath")
        )

    async def instead(self, found: Finding) -> Finding:
        """The finding about a refused folder, with a folder that this login may write to where there is one."""
        remote, folder = self._remote, self._remote.folder
        key = self._path_key()
        relative = folder.lstrip("/")
        candidates = [relative] if relative != folder and await remote.kind(relative) == FOLDER else []
        candidates = [*([self._near] if self._near else []), *candidates, *parents(folder)[1:], ""]
        settings = []
        for candidate in candidates:
            if (not candidate or await remote.kind(candidate) == FOLDER) and await remote.may_write(candidate):
                settings = [(key, candidate)]
                break
        if self.missing:
            there = f". {self._start[:1].upper()}{self._start[1:]}" if self._start else ""
            text = f"the folder {folder!r} is not on the server, and this login may not make it: {found.text}{there}"
            words = f"Have who runs the server make it for {self._settings.get('User') or 'this login'}, or take another folder:"
            return found._replace(cause="folder-missing", text=text, remedy=Remedy(tuple(settings), (), words))
        return found._replace(remedy=found.remedy._replace(settings=tuple(settings)))
