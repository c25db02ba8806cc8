"""The values that a daemon keeps over its restarts, in one small file that is replaced whole."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any, Protocol

from ..common import own_files
from .folders import kept_folder


class Store(Protocol):
    """What a daemon's ``kept_store`` has: an object that loads all kept values, and saves them."""

    def load(self) -> dict[str, Any]:
        """The values by item; empty where there are none."""

    def save(self, values: dict[str, Any]) -> None:
        """Keep these values, all or none."""


class FileStore:
    """The default: a file in the registry's folder ``kept``, synced to disk and replaced in one step."""

    def __init__(self, name: str) -> None:
        self._name = name + ".json"

    def load(self) -> dict[str, Any]:
        """The values by item. Raises OSError and ValueError where the file cannot be read."""
        try:
            found = json.loads(own_files.read(kept_folder(), self._name))
        except FileNotFoundError:
            return {}
        if not isinstance(found, dict):
            raise ValueError("it holds no values by name")
        return found

    def save(self, values: dict[str, Any]) -> None:
        """Replace the file. Raises OSError."""
        own_files.replace(kept_folder(), self._name, json.dumps(values).encode("ascii"), sync=True)


class Kept:
    """The kept values of one daemon. A store that fails is logged, and never ends a set."""

    def __init__(self, store: Store | None, log: logging.Logger) -> None:
        self._store, self._log = store, log
        self._values: dict[str, Any] = {}
        self._lock = threading.Lock()

    def load(self) -> dict[str, Any]:
        """What was kept; empty where nothing was or it cannot be read."""
        if self._store is None:
            return {}
        try:
            self._values = dict(self._store.load())
        except Exception as exc:  # noqa: BLE001 - a store may be the user's own
            self._log.warning("The kept values cannot be read, so the defaults stand: %s", exc)
        return dict(self._values)

    def save(self, name: str, value: Any) -> None:
        """Keep one value, before anybody sees it."""
        with self._lock:
            self._values[name] = value
            self._write()

    def save_all(self, values: dict[str, Any]) -> None:
        """Keep these, at the end."""
        with self._lock:
            if values and values != self._values:
                self._values = {**self._values, **values}
                self._write()

    def _write(self) -> None:
        if self._store is None:
            return
        try:
            self._store.save(dict(self._values))
        except Exception as exc:  # noqa: BLE001 - a full disk, or a store of the user's own
            self._log.warning("The kept values cannot be saved: %s", exc)
