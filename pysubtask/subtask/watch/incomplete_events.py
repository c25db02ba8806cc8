"""Watched folders whose events do not report every change, such as those on a network file system."""

from __future__ import annotations

from ..platform.mounts import misses_events

_DEAF = "on a file system that makes no events of all changes: a new file was found of which none had told"


class IncompleteEvents:
    """The folders with incomplete events, each with the reason in plain words, and the devices that turned out to make such
    events."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}
        self._devices: set[int] = set()

    def __contains__(self, folder: str) -> bool:
        return folder in self._why

    def check(self, folder: str, device: int, parent: str | None) -> None:
        """Find out whether the events of a folder on this ``device`` are complete. ``parent``: a folder above it on the same
        device, where one was checked."""
        above = "" if parent is None else self._why.get(parent, "")
        why = _DEAF if device in self._devices else misses_events(folder) if parent is None else above
        if why:
            self._why[folder] = why

    def note_device(self, device: int, folders: list[str]) -> None:
        """Note that a device makes no events of all changes; ``folders``: those on it."""
        self._devices.add(device)
        for folder in folders:
            self._why.setdefault(folder, _DEAF)

    def forget(self, folder: str) -> None:
        """A folder is watched no more."""
        self._why.pop(folder, None)

    def words(self) -> str:
        """The first folder with its reason; empty where there is none."""
        if not self._why:
            return ""
        first = min(self._why)
        return f"{first} is {self._why[first]}"
