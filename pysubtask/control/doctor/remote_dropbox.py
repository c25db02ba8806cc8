"""The transport over Dropbox's SDK, with the few things more that a look at it needs. Importing it needs the SDK."""

from __future__ import annotations

from typing import Any

from ...transports.dropbox import DropboxTransport
from .remote import FILE, FOLDER, MISSING, Remote, below, ours_among


class DropboxRemote(DropboxTransport, Remote):
    """Through the SDK's client of the transport."""

    async def call(self, name: str, *args: Any) -> Any:
        """One call of the SDK; None where Dropbox refuses the request itself."""
        from ...transports.dropbox.transport import _answer

        connection = self._connected()
        return await connection.calls.run(_answer, getattr(connection.client, name), *args)

    async def kind(self, path: str) -> str:
        if not path.strip("/"):
            return FOLDER
        found = await self.call("files_get_metadata", path)
        if hasattr(found, "content_hash"):
            return FILE
        return FOLDER if hasattr(found, "path_lower") else MISSING

    async def home(self) -> str:
        return "/"

    async def drop_folder(self, path: str) -> bool:
        return hasattr(await self.call("files_delete_v2", path), "metadata")

    async def drop_file(self, path: str) -> bool:
        return hasattr(await self.call("files_delete_v2", path), "metadata")

    async def ours_in(self, path: str) -> list[str]:
        found = await self.call("files_list_folder", path)
        return ours_among(entry.name for entry in getattr(found, "entries", ()))

    async def fetch(self, name: str, most: int) -> bytes | None:
        found = await self.call("files_download", below(self._folder, name))
        return bytes(found[1].content[:most]) if isinstance(found, tuple) else None

    async def space(self) -> int | None:
        found = await self.call("users_get_space_usage")
        allocation = getattr(found, "allocation", None)
        if allocation is None or not allocation.is_individual():
            return None
        return max(0, int(allocation.get_individual().allocated) - int(found.used))
