"""An item of a daemon: a value with a name, a type, a time and a quality, that clients get, set and follow."""

from __future__ import annotations

import copy
import json
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..common import own_files
from ..common.events import utc
from . import kinds
from .errors import Refused

if TYPE_CHECKING:
    from .core import Core

OK, BUSY, STALE = "ok", "busy", "stale"
"""Qualities of a value; besides these ``error: why`` and ``alarm: why``."""


class ItemSpec(NamedTuple):
    """What was declared of an item; the fields are those of :func:`item`."""

    default: Any
    """The value until the first other one."""
    kind: kinds.Kind
    """The type."""
    unit: str
    """Such as 'deg'."""
    low: float | None
    """The lowest value that a client may set."""
    high: float | None
    """The highest one."""
    read_only: bool
    """No client sets it."""
    keep: bool
    """Its value outlives the process."""
    poll: float
    """Seconds between two polls; 0: none."""
    doc: str
    """A sentence for people."""
    deadband: float
    """A number that differs by less is not published."""
    alarm_low: float | None
    """Below this the quality is an alarm."""
    alarm_high: float | None
    """Above this the quality is an alarm."""
    record: str
    """The file that each published value is a line of; its name by strftime(3), in UTC."""


class Item:
    """One item. Declared in the body of a daemon's class by :func:`item` or as an ``Item``, or added in ``setup``; each daemon has
    its own copy. What mKTL overrides is here: ``req_get``, ``req_set``, ``req_refresh``, ``req_poll`` and ``validate``; without
    an override they call ``get_x``, ``set_x`` and ``validate_x`` of the daemon.

    ``value``: the present one; ``at``: its time, seconds since the epoch; ``quality``: 'ok', 'busy' (a set runs), 'stale',
    'error: why' or 'alarm: why'.
    """

    def __init__(
        self,
        default: Any = None,
        *,
        type: Any = None,
        unit: str = "",
        low: float | None = None,
        high: float | None = None,
        choices: Sequence[Any] = (),
        read_only: bool = False,
        keep: bool = False,
        poll: float = 0,
        doc: str = "",
        deadband: float = 0,
        alarm_low: float | None = None,
        alarm_high: float | None = None,
        record: str = "",
    ) -> None:
        try:
            kind = kinds.of_annotation(type) if type is not None else kinds.of_value(default)
        except TypeError as exc:
            raise TypeError(f"item(type=...): {exc}; give one of these") from None
        kind = kind._replace(choices=tuple(choices) or kind.choices, optional=kind.optional or default is None)
        self.spec = ItemSpec(default, kind, unit, low, high, read_only, keep, poll, doc, deadband, alarm_low, alarm_high, record)
        self.name = ""
        self.value, self.at, self.quality = default, 0.0, OK
        self._core: Core | None = None
        self._one_set = threading.RLock()
        self._polled_at = 0.0

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, daemon: Any, owner: type | None = None) -> Any:
        return self if daemon is None else daemon._core.items[self.name].value

    def __set__(self, daemon: Any, value: Any) -> None:
        daemon._core.items[self.name].publish(value)

    def bound(self, core: Core, name: str) -> Item:
        """The item ``name`` of one daemon, made from this declaration."""
        own = copy.copy(self)
        own.name, own._core, own._one_set = name, core, threading.RLock()
        own.at = time.time()
        return own

    @property
    def daemon(self) -> Any:
        """The daemon that has the item."""
        assert self._core is not None
        return self._core.daemon

    # ---- what mKTL overrides

    def req_get(self, refresh: bool = False) -> Any:
        """A client asks for the value: the present one, or with ``refresh`` the one that ``req_refresh`` finds now."""
        if refresh:
            self._refresh()
        return self.value

    def req_refresh(self) -> Any:
        """Find the value out now; the present one where the daemon has no ``get_x``."""
        hook = self._hook("get")
        return self.value if hook is None else hook()

    def req_set(self, value: Any) -> None:
        """Carry out a set of a value that is valid. It may take long: the item is 'busy' meanwhile."""
        hook = self._hook("set")
        if hook is not None:
            hook(value)

    def req_poll(self) -> None:
        """A poll is due: refresh, and publish what changed."""
        self._refresh()

    def validate(self, value: Any) -> Any:
        """The value as it is to be set. Raises Refused, with a sentence for the caller, where it may not be."""
        hook = self._hook("validate")
        return value if hook is None else hook(value)

    # ---- what a daemon calls

    def publish(self, value: Any, timestamp: float | None = None, repeat: bool = False) -> bool:
        """Make a value known; whether it was published. One that is the same as before is not, unless ``repeat``. ``timestamp``:
        seconds since the epoch. TypeError for a value of another type."""
        return self._publish(value, timestamp, repeat, None)

    def poll(self, period: float | None) -> None:
        """Poll every so many seconds from now on; None or 0 ends it."""
        self.spec = self.spec._replace(poll=period or 0)
        if self._core is not None:
            self._core.polls.begin(self)

    def set(self, value: Any, by: dict[str, Any] | None = None) -> Any:
        """What a client's set does: validate, set, publish; the value that was set. Raises Refused, and what the code raises."""
        with self._one_set:
            value = self.valid(value)
            if self._has_set_code():
                before = self.quality
                self._tell_quality(BUSY, by)
                try:
                    self.req_set(value)
                except BaseException:
                    self._tell_quality(before, by)
                    raise
            self._publish(value, None, False, by)
            return value

    def check(self, value: Any) -> Any:
        """The value if its type, range and choices are right. Raises Refused with the reason."""
        return checked(value, self.spec.kind, self.spec.low, self.spec.high, self.spec.unit, self.name)

    def as_page(self) -> dict[str, Any]:
        """The row of the item on the daemon's page."""
        return {"value": self.value, "at": round(self.at, 3), "quality": self.quality}

    # ---- inside

    def _hook(self, verb: str) -> Any:
        return None if self._core is None else getattr(self._core.daemon, f"{verb}_{self.name}", None)

    def _has_set_code(self) -> bool:
        return type(self).req_set is not Item.req_set or self._hook("set") is not None

    def valid(self, value: Any) -> Any:
        """The value as a client's set would set it. Raises Refused."""
        if self.spec.read_only:
            raise Refused("it is read-only: no client sets it", part=self.name)
        try:
            valid = self.validate(self.check(value))
        except Refused as exc:
            raise Refused(exc.reason, part=exc.part or self.name) from exc
        return self.check(value if valid is None and value is not None else valid)

    def _refresh(self) -> None:
        try:
            value = self.req_refresh()
        except Exception as exc:  # the daemon's own code; the page says what it was
            self._tell_quality(f"error: {type(exc).__name__}: {exc}", None)
            raise
        self._polled_at = time.monotonic()
        self._publish(value, None, False, None)

    def _publish(self, value: Any, timestamp: float | None, repeat: bool, by: dict[str, Any] | None) -> bool:
        try:
            value = kinds.fitting(value, self.spec.kind)
        except ValueError as exc:
            raise TypeError(f"{self.name}: {exc}") from exc
        core = self._core
        if core is None:
            self.value = value
            return True
        with core.page.lock:
            quality = self._quality_of(value)
            same = quality == self.quality and self._is_same(value)
            if same and not repeat:
                return False
            if self.spec.keep:
                core.kept.save(self.name, value)
            old, self.value, self.quality = self.value, value, quality
            self.at = time.time() if timestamp is None else timestamp
            core.page.tell_item(self, old, by)
            if self.spec.record:
                self._record(core)
        return True

    def _record(self, core: Core) -> None:
        """Add the value to its file: a whole line by one write."""
        path = os.path.abspath(time.strftime(self.spec.record, time.gmtime(self.at)))
        text = (
            self.value
            if isinstance(self.value, str) and self.value.isprintable() and "," not in self.value
            else json.dumps(self.value)
        )
        try:
            own_files.append_lines(*os.path.split(path), f"{utc(self.at)},{text},{self.quality}\n".encode())
        except OSError as exc:
            core.log.error("%s cannot be recorded: %s", self.name, exc)

    def _is_same(self, value: Any) -> bool:
        band, old = self.spec.deadband, self.value
        if band and type(value) in (int, float) and type(old) in (int, float):
            return bool(abs(value - old) < band)
        return bool(value == old) and type(value) is type(old)

    def _quality_of(self, value: Any) -> str:
        if type(value) in (int, float):
            if self.spec.alarm_high is not None and value > self.spec.alarm_high:
                return f"alarm: above {self.spec.alarm_high:g}"
            if self.spec.alarm_low is not None and value < self.spec.alarm_low:
                return f"alarm: below {self.spec.alarm_low:g}"
        return OK

    def _tell_quality(self, quality: str, by: dict[str, Any] | None) -> None:
        core = self._core
        if core is None or quality == self.quality:
            return
        with core.page.lock:
            self.quality = quality
            core.page.tell_item(self, self.value, by)

    def check_stale(self, now: float) -> None:
        """Say so where the polls of the item do not come back. ``now``: monotonic seconds."""
        if self.spec.poll and self._polled_at and now - self._polled_at > 3 * self.spec.poll + 1 and self.quality == OK:
            self._tell_quality(STALE, None)


_KEYWORDS = ("type", "choices", *(field for field in ItemSpec._fields if field not in ("default", "kind")))


def item(default: Any = None, **declared: Any) -> Any:
    """Declare an item in the body of a daemon's class. ``default``: its first value, which gives the type where no annotation does.

    Keywords: ``type`` (float, int, str, bool, list, dict; default and annotation tell it otherwise), ``unit``, ``low`` and ``high``
    (of what clients may set), ``choices``, ``read_only``, ``keep`` (over restarts), ``poll`` (seconds between two calls of
    ``get_x``), ``doc``, ``deadband`` (smaller differences are not published), ``alarm_low`` and ``alarm_high`` (beyond them the
    quality is an alarm), ``record`` (a file that each value is a line of, such as ``'hum-%Y%m%d.csv'``). TypeError for any other,
    and for a type that JSON does not have.
    """
    import difflib

    for name in declared.keys() - set(_KEYWORDS):
        near = difflib.get_close_matches(name, _KEYWORDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(_KEYWORDS)}"
        raise TypeError(f"item() has no keyword {name!r}: {hint}")
    return Item(default, **declared)


def checked(value: Any, kind: kinds.Kind, low: float | None, high: float | None, unit: str, name: str) -> Any:
    """The value if type, range and choices are right, at the client and in the daemon alike. Raises Refused with the reason."""
    try:
        value = kinds.fitting(value, kind)
    except ValueError as exc:
        raise Refused(str(exc), part=name) from None
    if value is not None and type(value) in (int, float):
        unit = f" {unit}" if unit else ""
        if low is not None and value < low:
            raise Refused(f"{value:g}{unit} is below {low:g}{unit}, the lowest", part=name)
        if high is not None and value > high:
            raise Refused(f"{value:g}{unit} is above {high:g}{unit}, the highest", part=name)
    return value
