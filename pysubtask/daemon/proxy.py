"""A daemon as its clients have it: an object with its items as attributes and its methods to be called."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Callable
from typing import Any

from ..common.requests import new_id
from . import core, errors, kinds, methods, records
from .connection import ANSWER_SECS, Connection, OnProgress
from .errors import NoSuchDaemon, Refused
from .following import Follower
from .items import checked
from .journal import read_rows

_UNSET: Any = object()


class Proxy:
    """What :func:`get` returns: the items of a daemon as attributes (``dome.azimuth``, ``dome.azimuth = 180``) and its methods
    (``dome.park(timeout=2)``). AttributeError for any other name. The object outlives a restart of the daemon.

    Setting waits for the answer, and raises Refused with the daemon's reason; a get afterwards has the value. A method waits
    ``timeout`` seconds, by default those that the daemon declares for it; None: as long as the daemon lives.
    """

    __slots__ = ("_connection", "_description")
    _connection: Connection
    _description: dict[str, Any]

    def __init__(self, connection: Connection) -> None:
        object.__setattr__(self, "_connection", connection)
        object.__setattr__(self, "_description", connection.ask("describe", {}))

    def __repr__(self) -> str:
        return f"<daemon {self._connection.name}: {self._description['type']}, PID {self._description['pid']}>"

    def __dir__(self) -> list[str]:
        own = ("begin", "call_of", "describe", "follow", "page", "refresh")
        return sorted([*own, *self._description["items"], *self._description["methods"]])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        kind, row = self._known(name)
        if kind == "items":
            return self._connection.ask("get", {"name": name}, part=name)["value"]
        return _callable(self, name, row)

    def __setattr__(self, name: str, value: Any) -> None:
        kind, _ = self._known(name)
        if kind != "items":
            raise AttributeError(f"{self._connection.name}.{name} is a method, and cannot be set")
        _set(self, {name: value}, None)

    def follow(self, after: tuple[int, int] | None = None) -> Follower:
        """Follow the daemon: the page first, then each change behind it. ``after``: the ``position`` of an earlier follower.
        NoSuchDaemon where it does not run."""
        return Follower(self._connection, after)

    def page(self) -> dict[str, Any]:
        """All items with value, time and quality, and the calls that run, as of one event."""
        found: dict[str, Any] = self._connection.ask("page", {})
        return found

    def describe(self) -> dict[str, Any]:
        """Items, methods and events with types, units and texts, as the daemon has them now."""
        object.__setattr__(self, "_description", self._connection.ask("describe", {}))
        return self._description

    def refresh(self, item: str, timeout: float | None = ANSWER_SECS) -> Any:
        """The value that the daemon's code finds out now. Raises what the code raises, as Failed."""
        return self._connection.ask("get", {"name": item, "refresh": True}, part=item, timeout=timeout)["value"]

    def begin(self, name: str, /, *args: Any, **named: Any) -> CallHandle:
        """Begin a method and do not wait: its handle. Refused where the arguments are wrong."""
        spec = _spec(self, name)
        given = _arguments(self, spec, args, named)
        id = new_id(time.time())
        self._connection.ask("call", {"name": name, "args": given, "wait": False}, part=name, id=id)
        return CallHandle(self._connection, id, name)

    def call_of(self, id: str) -> CallHandle:
        """The handle of a call by its id, whoever has begun it."""
        return CallHandle(self._connection, id, "")

    def _known(self, name: str) -> tuple[str, dict[str, Any]]:
        for again in (False, True):
            for kind in ("items", "methods"):
                row = self._description[kind].get(name)
                if row is not None:
                    return kind, row
            if not again:
                self.describe()  # the daemon may have been started anew meanwhile, with more
        known = [*self._description["items"], *self._description["methods"]]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known)}"
        raise AttributeError(f"{self._connection.name} has no item or method {name!r}: {hint}")


class CallHandle:
    """A call that was begun: ``id``."""

    def __init__(self, connection: Connection, id: str, name: str) -> None:
        self._connection, self.id, self._name = connection, id, name

    def state(self) -> dict[str, Any]:
        """The last known state: 'state' is taken, done, failed or cancelled; 'fraction' and 'text' its progress. Of a daemon that
        is gone what it has written. Refused where the id is not known."""
        try:
            found: dict[str, Any] = self._connection.ask("result", {"id": self.id}, part=self._name)
        except NoSuchDaemon:
            found = _row_of_dead(self._connection, self.id)
        return found

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end, and return the result; raises what the call has raised, NoAnswer after ``timeout`` seconds."""
        return wait_for(self._connection, self.id, self._name, timeout)

    def cancel(self) -> bool:
        """Cancel it at its next ``progress`` or ``sleep``; False where it is over."""
        return bool(self._connection.ask("cancel", {"id": self.id}, part=self._name))


def wait_for(connection: Connection, id: str, name: str, timeout: float | None) -> Any:
    """The result of a call that was taken before, by its id, also of a daemon that is gone. Raises as the call does."""
    try:
        return connection.ask("join", {"id": id}, part=name, timeout=timeout)
    except NoSuchDaemon:
        row = _row_of_dead(connection, id)
        if "error" in row:
            raise errors.of_json(row["error"], connection.name) from None
        if "result" not in row:
            raise
        return row["result"]


def _row_of_dead(connection: Connection, id: str) -> dict[str, Any]:
    """What a daemon that is gone has written of a call. Refused where it is not known."""
    record = records.read(connection.name)
    row = read_rows(record.folder).get(id) if record is not None else None
    if row is None:
        raise Refused(f"no call {id!r} is known here", daemon=connection.name, part="result")
    return row


def call(
    proxy: Proxy,
    name: str,
    args: tuple[Any, ...] = (),
    named: dict[str, Any] | None = None,
    *,
    timeout: Any = _UNSET,
    id: str = "",
    on_progress: OnProgress | None = None,
) -> Any:
    """Call a method of a daemon. ``id``: one that was used before, to repeat the very call; ``on_progress``: is given each line of
    progress. Raises as :class:`Proxy` says."""
    spec = _spec(proxy, name)
    given = _arguments(proxy, spec, args, named or {})
    limit = spec.timeout if timeout is _UNSET else timeout
    asked = {"name": name, "args": given}
    return proxy._connection.ask("call", asked, part=name, timeout=limit, id=id, on_progress=on_progress)


def set_items(proxy: Proxy, values: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
    """Set several items, all or none; the values as they were set. Raises Refused."""
    return _set(proxy, values, timeout)


def _set(proxy: Proxy, values: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    daemon, checked_values = proxy._connection.name, {}
    for name, value in values.items():
        _, row = proxy._known(name)
        try:
            if row.get("read_only"):
                raise Refused("it is read-only: no client sets it", part=name)
            checked_values[name] = checked(value, kinds.of_schema(row), row.get("low"), row.get("high"), row.get("unit", ""), name)
        except Refused as exc:
            raise Refused(exc.reason, daemon=daemon, part=name) from None
    part = ", ".join(values)
    found: dict[str, Any] = proxy._connection.ask("set", {"values": checked_values}, part=part, timeout=timeout)
    return found


def _spec(proxy: Proxy, name: str) -> methods.MethodSpec:
    kind, row = proxy._known(name)
    if kind != "methods":
        raise AttributeError(f"{proxy._connection.name}.{name} is an item, and cannot be called")
    return core.method_of(name, row)


def _arguments(proxy: Proxy, spec: methods.MethodSpec, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    try:
        return methods.arguments_of(spec, args, named)
    except Refused as exc:
        raise Refused(exc.reason, daemon=proxy._connection.name, part=spec.name) from None


def _callable(proxy: Proxy, name: str, row: dict[str, Any]) -> Callable[..., Any]:
    spec = core.method_of(name, row)

    def remote(*args: Any, timeout: Any = _UNSET, **named: Any) -> Any:
        return call(proxy, name, args, named, timeout=timeout)

    remote.__name__ = remote.__qualname__ = name
    remote.__doc__ = spec.doc
    remote.__module__ = proxy._connection.name
    remote.__signature__ = _signature(spec)  # type: ignore[attr-defined]
    return remote


_TYPES: dict[str, Any] = {"float": float, "int": int, "str": str, "bool": bool, "list": list, "dict": dict, "any": Any}


def _signature(spec: methods.MethodSpec) -> inspect.Signature:
    parameters = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if one.required else one.default,
            annotation=_TYPES[one.kind.name] | None if one.kind.optional and one.kind.name != "any" else _TYPES[one.kind.name],
        )
        for one in spec.arguments
    ]
    parameters.append(inspect.Parameter("timeout", inspect.Parameter.KEYWORD_ONLY, default=spec.timeout, annotation=float | None))
    return inspect.Signature(parameters, return_annotation=_TYPES[spec.result.name])
