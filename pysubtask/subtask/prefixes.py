"""The hash states at which versions of growing files go on: with one of them, the tail shows whether it is what was copied."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

_MOST = 1000


class Prefixes:
    """By the digest of a version. They live as long as the process: half a hash cannot be written down. For any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._states: dict[str, Mapping[int, Any]] = {}

    def keep(self, digest: str, states: Mapping[int, Any]) -> None:
        """The SHA-256 objects of the first so many bytes of a version."""
        with self._guard:
            self._states.pop(digest, None)
            if states:
                self._states[digest] = dict(states)
            while len(self._states) > _MOST:
                del self._states[next(iter(self._states))]

    def before(self, digest: str, at: int, base: int) -> tuple[int, Any] | None:
        """The state of the most bytes, from ``base`` up to ``at``: how many, and itself; None where there is none."""
        with self._guard:
            states = self._states.get(digest, {})
            best = max((mark for mark in states if base <= mark <= at), default=None)
            return None if best is None else (best, states[best])
