"""What an incomplete push keeps of one file, and what that means to the next attempt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...delivery_rules.remote_content import Known
from ...delivery_rules.temporary_names import names_of_attempt
from ...transports.base import RemoteStat


class FileState:
    """The state of one file. ``temp``: the temporary name in use for the content ``digest`` (SHA-256, hexadecimal);
    ``resume``: the transport's note of how far its upload came; ``stale``: temporary names of earlier attempts; ``before``: the
    server's file under the name before the upload; ``remote``: the delivered file. All empty where there is none."""

    def __init__(self) -> None:
        self.digest = self.temp = self.resume = ""
        self.stale: list[str] = []
        self.before: RemoteStat | None = None
        self.remote: RemoteStat | None = None

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> FileState:
        """The state that ``to_json`` gave, of this version or an earlier one. Raises TypeError or AttributeError for anything
        else."""
        state = cls()
        vars(state).update({key: value for key, value in found.items() if key in vars(state)})
        state.before = None if state.before is None else RemoteStat(*state.before)
        state.remote = None if state.remote is None else RemoteStat(*state.remote)
        return state

    def to_json(self) -> dict[str, Any]:
        """The state by the names of its attributes."""
        return dict(vars(self))

    def may_have_arrived(self, digest: str) -> bool:
        """Whether an earlier attempt at the content ``digest`` was begun, and not refused, so that the server may have it."""
        return digest == self.digest and bool(self.temp or self.remote)

    def known(self) -> Known | None:
        """What is known of the server's file: the delivered one, or the one before the upload, whose content is not known."""
        if self.remote is not None:
            return Known(self.remote, self.digest)
        return None if self.before is None else Known(self.before, "")

    def begin(self, name: str, digest: str, found: RemoteStat | None) -> None:
        """Note that an attempt at the content ``digest`` begins, while the server has ``found`` under the remote ``name``."""
        if digest != self.digest:
            self.digest, self.resume, self.before, self.remote = digest, "", found, None
        names = names_of_attempt(name, [*self.stale, *filter(None, [self.temp])], self.temp, self.resume)
        if names.temp != self.temp:
            self.resume = ""
        self.temp, self.stale = names.temp, list(names.stale)

    def delivered(self, remote: RemoteStat) -> None:
        """Note that the server has the content, as ``remote``."""
        self.remote, self.temp, self.resume, self.stale = remote, "", "", []

    def start_over(self) -> None:
        """Note that the temporary file is not resumed. Its name stays in ``stale`` in case the transport did not remove it."""
        self.stale += filter(None, [self.temp])
        self.temp = self.resume = ""
