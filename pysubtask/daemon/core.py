"""The parts of one daemon object: what its class declared, bound to it, and what makes them known."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import platform
import threading
import time
from collections.abc import Mapping
from typing import Any

from .. import _version
from . import kinds, methods
from .calls import Calls
from .declared import Declared, check_item, check_name
from .errors import Refused
from .items import Item
from .kept import FileStore, Kept
from .page import Page
from .polls import Polls, own_values


class Core:
    """The parts of the daemon object ``daemon``. ``stopping`` is set when it shall end."""

    def __init__(self, daemon: Any) -> None:
        self.daemon = daemon
        self.name = ""
        self.log = logging.getLogger("pysubtask.daemon")
        self.stopping = threading.Event()
        self.page = Page(self)
        self.calls = Calls(self)
        self.polls = Polls(self)
        self.kept = Kept(None, self.log)
        self.settings: Any = None
        self._begun = time.monotonic()
        self.declared: Declared = type(daemon).declared
        self.items: dict[str, Item] = {name: item.bound(self, name) for name, item in self.declared.items.items()}

    def identity(self) -> dict[str, Any]:
        """Who the daemon is."""
        return {"name": self.name, "type": type(self.daemon).__name__, "pid": os.getpid(), "state": self.state}

    @property
    def state(self) -> str:
        """'starting', 'running' or 'stopping'."""
        return "stopping" if self.stopping.is_set() else "running" if self.page.is_open else "starting"

    # ---- before it is visible

    def begin(self, name: str, log: logging.Logger, kept_store: Any) -> None:
        """Take the name, and the items that every daemon has."""
        self.name, self.log = name, log
        self.kept = Kept(FileStore(name) if kept_store is ... else kept_store, log)
        known = {
            "uptime": (0.0, "s", "Since its start."),
            "memory": (0.0, "MB", "The most that it has used."),
            "cpu": (0.0, "s", "Computing time that it has used."),
            "pid": (os.getpid(), "", "Process id."),
            "host": (platform.node(), "", "The machine."),
            "user": (_user(), "", "Whose process it is."),
            "version": (_version.__version__, "", "Of pysubtask."),
            "last_error": ("", "", "What failed last."),
            "requested": (0, "", "Calls and sets that were taken."),
            "handled": (0, "", "Calls and sets that came to their end."),
            "followers": ([], "", "Who follows."),
        }
        for word, (value, unit, doc) in known.items():
            if word not in self.items:  # a daemon may have one of its own
                self.items[word] = _Own(value, unit=unit, doc=doc, read_only=True).bound(self, word)

    def add_item(self, name: str, item: Item) -> Item:
        """Add an item to this object; the one that it has now. TypeError where that is too late, or the name is taken."""
        if self.page.is_open:
            raise TypeError(f"item {name!r}: the daemon is visible already: add it in setup()")
        check_name("item", name)
        if name in self.items or name in self.declared.methods or hasattr(type(self.daemon), name):
            raise TypeError(f"item {name!r}: there is one of this name: take another one")
        check_item(name, item)
        self.items[name] = item.bound(self, name)
        return self.items[name]

    def load_kept(self) -> None:
        """Put the kept values over the defaults; one that does not fit its item any more is logged and left."""
        for name, value in self.kept.load().items():
            item = self.items.get(name)
            if item is None or not item.spec.keep:
                continue
            try:
                item.value = item.check(value)
            except Refused as exc:
                self.log.warning("The kept value is not taken: %s", exc)

    def set_initial(self, values: Mapping[str, Any]) -> None:
        """Put values that the command line gives over the others. Refused where one is none of its item's."""
        for name, value in values.items():
            item = self.items.get(name)
            if item is None:
                raise Refused(f"there is no item {name!r}; there is: {', '.join(self.items)}", daemon=self.name)
            try:
                item.value = item.check(kinds.of_text(value, item.spec.kind) if isinstance(value, str) else value)
            except (ValueError, Refused) as exc:
                raise Refused(getattr(exc, "reason", str(exc)), daemon=self.name, part=name) from None

    def save_kept(self) -> None:
        """Save the kept values once more, at the end."""
        self.kept.save_all({name: item.value for name, item in self.items.items() if item.spec.keep})

    # ---- what clients see

    def describe(self) -> dict[str, Any]:
        """Items, methods and events, with types, units and texts."""
        kind = type(self.daemon)
        return {
            **self.identity(),
            "doc": inspect.getdoc(kind) or "",
            "items": {name: _item_row(item) for name, item in self.items.items()},
            "methods": {name: _method_row(spec) for name, spec in self.declared.methods.items()},
            "events": {
                name: {"doc": spec.doc, "fields": {key: kinds.schema(field) for key, field in spec.fields.items()}}
                for name, spec in self.declared.events.items()
            },
        }

    def publish_own(self) -> None:
        """Say how long it runs and what it has used."""
        for name, value in own_values(self._begun).items():
            item = self.items.get(name)
            if isinstance(item, _Own):
                item.publish(value)

    def note_error(self, text: str) -> None:
        """Remember what failed last, where people see it."""
        self.log.error("%s", text)
        item = self.items.get("last_error")
        if isinstance(item, _Own):
            with contextlib.suppress(TypeError):
                item.publish(text[:1000])

    def tell(self, kind: str, fields: dict[str, Any]) -> None:
        """Write an event of the daemon's own. TypeError where it is not as it was declared."""
        spec = self.declared.events.get(kind)
        if not kind.isidentifier() or kind in ("item", "call") or set(fields) & {"epoch", "n", "at", "kind"}:
            raise TypeError(f"event {kind!r}: item, call, epoch, n, at and kind are names of every event: take another one")
        for name, value in fields.items():
            try:
                if spec is not None and name not in spec.fields:
                    raise TypeError(f"event {kind!r} has no field {name!r}; it has: {', '.join(spec.fields) or 'none'}")
                fields[name] = kinds.fitting(value, spec.fields[name]) if spec is not None else kinds.as_json(value)
            except ValueError as exc:
                raise TypeError(f"event {kind!r}: {name}: {exc}") from None
        self.page.tell(kind, **fields)


class _Own(Item):
    """An item about the daemon itself, found out when a client asks for it."""

    def req_get(self, refresh: bool = False) -> Any:
        core = self._core
        assert core is not None
        if self.name in ("uptime", "memory", "cpu"):
            return own_values(core._begun)[self.name]
        if self.name == "followers":
            return core.page.followers.known()
        if self.name in ("requested", "handled"):
            return getattr(core.calls, self.name)
        return self.value

    def as_page(self) -> dict[str, Any]:
        return {**super().as_page(), "value": self.req_get()}


def _item_row(item: Item) -> dict[str, Any]:
    spec = item.spec
    row = {**kinds.schema(spec.kind), "default": spec.default, "unit": spec.unit, "low": spec.low, "high": spec.high}
    row |= {"read_only": spec.read_only, "keep": spec.keep, "poll": spec.poll or None, "doc": spec.doc}
    return {key: value for key, value in row.items() if key == "default" or (value not in (None, "") and value is not False)}


def _method_row(spec: methods.MethodSpec) -> dict[str, Any]:
    arguments = {}
    for argument in spec.arguments:
        row = kinds.schema(argument.kind)
        if not argument.required:
            row["default"] = argument.default
        arguments[argument.name] = row
    return {"doc": spec.doc, "timeout": spec.timeout, "arguments": arguments, "result": kinds.schema(spec.result)}


def method_of(name: str, row: dict[str, Any]) -> methods.MethodSpec:
    """What a description says of a method."""
    arguments = tuple(
        methods.Argument(key, kinds.of_schema(found), "default" not in found, found.get("default"))
        for key, found in row["arguments"].items()
    )
    return methods.MethodSpec(name, row.get("timeout"), False, arguments, kinds.of_schema(row["result"]), row["doc"])


def _user() -> str:
    from ..common.trust import user_name

    return user_name(os.geteuid()) if hasattr(os, "geteuid") else os.environ.get("USERNAME", "")
