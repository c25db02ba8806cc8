"""When a heartbeat is due, and the files of it: written when they are sent, never queued, never stale."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from ..common.heartbeat import content, heartbeat_name


class Heartbeat:
    """The schedule of one child. ``interval`` in seconds, 0 for none; ``file`` is the local heartbeat file,
    ``status`` where its sibling with details goes (None for none). Times are monotonic seconds."""

    def __init__(self, interval: float, file: str, status: str | None) -> None:
        self.interval = interval
        self.file = file
        self.status = status
        self.last: float | None = None
        self._due = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether a beat should go out; the first one at once."""
        return self.interval > 0 and now >= self._due

    def next_at(self) -> float | None:
        """When the next one is due."""
        return self._due if self.interval > 0 else None

    def asked(self, now: float) -> None:
        """A beat was asked for: the next is due one interval after this one was, or after now where that is past."""
        late = now - self._due
        self._due = now + self.interval if late >= self.interval else self._due + self.interval

    def change(self, interval: float, now: float) -> None:
        """From now on a beat every ``interval`` seconds, 0 for none."""
        self.interval = interval
        self._due = min(self._due, now + interval)

    def write(self, now: float, details: Mapping[str, Any]) -> list[str]:
        """Write the files as they shall go out now; their paths. Raises OSError."""
        self.last = now
        paths = [_replace(self.file, content(self.interval))]
        if self.status is not None:
            paths.append(_replace(self.status, json.dumps(dict(details), indent=1) + "\n"))
        return paths

    def remove(self) -> None:
        """Clear the local files away, at start and stop."""
        for path in (self.file, self.status):
            if path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def make(settings: Mapping[str, Any], folder: str, state_dir: str, owner: bool, host: Callable[[], str]) -> Heartbeat:
    """The heartbeat that the settings ask for. One child keeps its file in ``folder``, where a person finds it;
    others (``owner`` False) and all details stay in ``state_dir``."""
    name = heartbeat_name(settings["HeartbeatName"] or host())
    status = os.path.join(state_dir, name + ".json") if settings["HeartbeatStatus"] else None
    return Heartbeat(settings["HeartbeatIntervalSecs"], os.path.join(folder if owner else state_dir, name), status)


def _replace(path: str, text: str) -> str:
    # Others may write the data folder: a name that nobody can foresee, and a file that is new.
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name}.{os.urandom(8).hex()}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
    return path
