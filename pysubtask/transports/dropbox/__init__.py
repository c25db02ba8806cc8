"""Dropbox, through its official SDK.

``transport`` is the contract; ``account`` logs in; ``line`` is the HTTP session and what cuts it; ``lanes`` runs the
SDK's blocking calls; ``pieces`` is how much goes up at a time and what is remembered of it; ``publish`` commits many
files in one call; ``verdict`` sorts errors; ``content_hash`` is Dropbox's hash of a file.
"""

from __future__ import annotations

from importlib.util import find_spec

from .transport import DropboxTransport

if find_spec("dropbox") is None:  # loaded at the first connect, missed at once
    raise ImportError("the Dropbox SDK is not installed", name="dropbox")

__all__ = ["DropboxTransport"]
