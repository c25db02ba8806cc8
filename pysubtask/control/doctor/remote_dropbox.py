"""The transport over Dropbox's SDK, with the further operations that an examination needs. The import needs the SDK."""

from __future__ import annotations

from typing import Any

from ...transports.dropbox import DropboxTransport
from .remote import FILE, FOLDER, MISSING, Remote, below, ours_among


class DropboxRemote(DropboxTransport, Remote):
    """Dropbox's API, over the SDK's client of the transport."""

    async def call(self, name: str, *args: Any) -> Any:
        """Call one method of the SDK; None where Dropbox refuses the request itself."""
        from ...transports.dropbox.transport import _answer

        connection = self._connected()
        return await connection.calls.run(_answer, getattr(connection.client, name), *args)

    async def kind(self, path: str) -> str:
        """By files/get_metadata; never UNKNOWN."""
        if not path.strip("/"):
            return FOLDER
        found = await self.call("files_get_metadata", path)
        if hasattr(found, "content_hash"):
            return FILE
        return FOLDER if hasattr(found, "path_lower") else MISSING

    async def home(self) -> str:
        """The root of the app's folder or of the account, as the token has it."""
        return "/"

    async def drop_folder(self, path: str) -> bool:
        """By files/delete_v2, which removes the contents, too: it is called for folders only that were missing before."""
        return hasattr(await self.call("files_delete_v2", path), "metadata")

    async def drop_file(self, path: str) -> bool:
        """By files/delete_v2."""
        return hasattr(await self.call("files_delete_v2", path), "metadata")

    async def ours_in(self, path: str) -> list[str]:
        """By files/list_folder: of its first page of entries only."""
        found = await self.call("files_list_folder", path)
        return ours_among(entry.name for entry in getattr(found, "entries", ()))

    async def fetch(self, name: str, most: int) -> bytes | None:
        """By files/download; the SDK gets the whole file."""
        found = await self.call("files_download", below(self._folder, name))
        return bytes(found[1].content[:most]) if isinstance(found, tuple) else None

    async def space(self) -> int | None:
        """By users/get_space_usage; None for the shared space of a team."""
        found = await self.call("users_get_space_usage")
        allocation = getattr(found, "allocation", None)
        if allocation is None or not allocation.is_individual():
            return None
        return max(0, int(allocation.get_individual().allocated) - int(found.used))
