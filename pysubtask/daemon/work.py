"""What is done for one request of a client: the operations that a daemon knows, and no others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..common.requests import new_id
from . import errors, kinds, methods
from .calls import Call
from .errors import Refused
from .items import Item
from .methods import MethodSpec

if TYPE_CHECKING:
    from .core import Core

Send = Callable[[dict[str, Any]], None]
LAST_SECS = 1.0
"""Seconds that a daemon which ends gives its last answers."""


class Work:
    """The operations of one daemon. Only what its class declares has a name here; nothing is looked up along a path."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._busy = 0
        self._idle = threading.Condition()

    def handle(self, op: str, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        """Carry out one request and send what comes of it: any number of lines with 'state', and a last one with 'ok'. Whatever is
        raised, such as Refused, is sent."""
        with self._idle:
            self._busy += 1
        try:
            handler = _HANDLERS.get(op)
            if handler is None:
                raise Refused(f"there is no operation {op!r}; there is: {', '.join(_HANDLERS)}")
            handler(self, id or new_id(time.time()), args, by, send)
        except Exception as exc:  # noqa: BLE001 - whatever goes wrong is the answer to this one request
            send({"ok": False, **errors.to_json(exc, "")})
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def wait_for_answers(self) -> None:
        """Wait for the answers that are on their way, for a moment."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, LAST_SECS)

    # ---- operations

    def _get(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        found = self._item(args.get("name"))
        value = found.req_get(bool(args.get("refresh")))
        send({"ok": True, "result": {**found.as_page(), "value": kinds.as_json(value)}})

    def _page(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        send({"ok": True, "result": self._core.page.as_dict()})

    def _describe(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        send({"ok": True, "result": self._core.describe()})

    def _set(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        values = args.get("values")
        if not isinstance(values, dict) or not values:
            raise Refused("no value was given: {'values': {item: value}}")
        items = {name: self._item(name) for name in values}

        def work() -> dict[str, Any]:
            if len(items) > 1:  # all or none: each is checked before the first is set
                for name, one in items.items():
                    one.valid(values[name])
            return {name: one.set(values[name], by) for name, one in items.items()}

        self._order(Call(id, "set", ", ".join(values), dict(values), by), work, bool(args.get("wait", True)), False, send)

    def _call(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        spec = self._method(args.get("name"))
        given = methods.arguments_of(spec, (), dict(args.get("args") or {}))
        function = getattr(self._core.daemon, spec.name)

        def work() -> Any:
            result = function(**given)
            try:
                return kinds.as_json(result)
            except ValueError as exc:
                raise errors.Failed(f"its result: {exc}", part=spec.name, kind="TypeError") from None

        self._order(Call(id, "call", spec.name, given, by), work, bool(args.get("wait", True)), spec.single, send)

    def _order(self, call: Call, work: Callable[[], Any], wait: bool, single: bool, send: Send) -> None:
        ended = threading.Event()

        def listener(found: Call) -> None:
            if found.ended.is_set():
                if not ended.is_set():
                    ended.set()
                    if wait:
                        send(_last(found))
            elif wait:
                fraction, text = found.progress
                send({"state": "progress", "fraction": fraction, "text": text})

        known, run = self._core.calls.take(call, work, listener, single)
        if wait:
            if call.op == "call":
                send({"state": "taken", "id": known.id})
        else:
            # The connection is free for its client's next request.
            threading.Thread(target=run, name=known.name, daemon=True).start()
            send({"ok": True, "result": {"id": known.id, "state": known.state}})
            return
        run()
        if known.ended.wait():
            listener(known)

    def _join(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        known = str(args.get("id"))
        call = next((call for call in self._core.calls.running() if call.id == known), None)
        if call is None:
            row = self._core.calls.state_of(known)
            send({"ok": False, **row["error"]} if "error" in row else {"ok": True, "result": row.get("result")})
            return
        call.ended.wait()
        send(_last(call))

    def _result(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        send({"ok": True, "result": self._core.calls.state_of(str(args.get("id")))})

    def _cancel(self, id: str, args: Mapping[str, Any], by: dict[str, Any], send: Send) -> None:
        send({"ok": True, "result": self._core.calls.cancel(str(args.get("id")))})

    # ---- names

    def _item(self, name: Any) -> Item:
        found = self._core.items.get(name) if isinstance(name, str) else None
        if found is None:
            raise Refused(f"there is no item {name!r}{_near(str(name), self._core.items)}", part=str(name)[:63])
        return found

    def _method(self, name: Any) -> MethodSpec:
        found = self._core.declared.methods.get(name) if isinstance(name, str) else None
        if found is None:
            raise Refused(f"there is no method {name!r}{_near(str(name), self._core.declared.methods)}", part=str(name)[:63])
        return found


_HANDLERS: dict[str, Callable[[Work, str, Mapping[str, Any], dict[str, Any], Send], None]] = {
    "get": Work._get,
    "set": Work._set,
    "call": Work._call,
    "page": Work._page,
    "describe": Work._describe,
    "join": Work._join,
    "result": Work._result,
    "cancel": Work._cancel,
}


def _last(call: Call) -> dict[str, Any]:
    if "error" in call.outcome:
        return {"ok": False, **call.outcome["error"]}
    return {"ok": True, "result": call.outcome.get("result")}


def _near(name: str, known: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f": did you mean {near[0]!r}?" if near else f"; there is: {', '.join(known) or 'none'}"
