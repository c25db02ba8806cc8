"""Dropbox, through its official SDK.

``transport`` keeps the contract; ``account`` logs in; ``http_session`` is the HTTP session and what cuts it; ``answer`` limits
replies; ``call_pool`` runs the SDK's blocking calls; ``upload`` is one file under way; ``chunks`` decides how much is sent per
call and what is noted for a resume; ``publish`` commits many files in one call; ``verdict`` sorts errors; ``content_hash`` is
Dropbox's hash of a file; ``login`` gets a refresh token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .transport import DropboxTransport

__all__ = ["DropboxTransport"]


def __getattr__(name: str) -> Any:
    """The transport, loaded on demand: ``login`` has to load without the SDK, as it reports the missing SDK itself. Raises
    AttributeError for other names, and ImportError where the SDK is missing."""
    if name != "DropboxTransport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .transport import DropboxTransport

    return DropboxTransport
