"""Dropbox, through its official SDK.

``transport`` keeps the contract; ``account`` logs in; ``http_session`` is the HTTP session and what cuts it; ``answer`` limits
replies; ``call_pool`` runs the SDK's blocking calls; ``upload`` is one file under way; ``chunks`` decides how much is sent per
call and what is noted for a resume; ``publish`` commits many files in one call; ``verdict`` sorts errors; ``content_hash`` is
Dropbox's hash of a file; ``login`` gets a refresh token.
"""

from __future__ import annotations

from importlib.util import find_spec

from .transport import DropboxTransport

if find_spec("dropbox") is None:  # the SDK is loaded at the first connect, but its absence is reported at once
    raise ImportError("the Dropbox SDK is not installed", name="dropbox")

__all__ = ["DropboxTransport"]
