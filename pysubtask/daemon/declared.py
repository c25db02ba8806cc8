"""What the class of a daemon declares, read and checked when the class is made: a mistake is an error there, not at night."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from . import kinds
from .items import Item
from .methods import EventSpec, MethodSpec, hints_of, is_method, period_of, spec_of

HOOK_VERBS = ("validate", "set", "get")
OF_PROXIES = ("follow", "refresh", "page", "begin", "call_of", "describe")
"""What a proxy has of its own, so that no item or method may have the name."""
OF_EVENTS = ("item", "call", "epoch", "n", "at", "kind")


class Declared(NamedTuple):
    """What a class declares, with what its bases do: ``items``, ``methods``, ``events`` and ``loops`` (seconds), each by name."""

    items: dict[str, Item]
    methods: dict[str, MethodSpec]
    events: dict[str, EventSpec]
    loops: dict[str, float]


class _Body(dict[str, Any]):
    """The body of a class while it is read: two declarations of one name are an error."""

    def __setitem__(self, name: str, value: Any) -> None:
        old = self.get(name)
        if (_is_declared(old) or _is_declared(value)) and name in self:
            raise TypeError(f"{name!r} is declared twice in one class: give one of the two another name")
        super().__setitem__(name, value)


class DaemonType(type):
    """The type of all classes of daemons."""

    declared: Declared

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **keywords: Any) -> dict[str, Any]:
        return _Body()

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **keywords: Any) -> DaemonType:
        new = super().__new__(cls, name, bases, dict(body), **keywords)
        new.declared = declared_of(new)
        return new


def _is_declared(value: Any) -> bool:
    return isinstance(value, (Item, EventSpec)) or (inspect.isfunction(value) and is_method(value))


def declared_of(kind: type) -> Declared:
    """What a class declares. TypeError, with the class, the name and the remedy, where a declaration is wrong."""
    found = Declared({}, {}, {}, {})
    root = kind.__mro__[-2] if len(kind.__mro__) > 1 else kind
    for base in reversed(kind.__mro__[:-1]):
        hints = hints_of(base)
        for name, value in vars(base).items():
            try:
                _take(found, name, value, hints, base)
            except TypeError as exc:
                raise TypeError(f"{kind.__name__}: {exc}") from None
    for name in [*found.items, *found.methods]:
        if hasattr(root, name) and name in found.items:
            raise TypeError(f"{kind.__name__}: {name!r} is a name that every daemon has: call the item something else")
    _check_hooks(kind, found, root)
    return found


def _take(found: Declared, name: str, value: Any, hints: dict[str, Any], base: type) -> None:
    if isinstance(value, Item):
        check_name("item", name)
        if name in hints:
            of_hint = kinds.of_annotation(hints[name])
            value.spec = value.spec._replace(kind=of_hint._replace(choices=value.spec.kind.choices or of_hint.choices))
        check_item(name, value)
        found.items[name] = value
    elif isinstance(value, EventSpec):
        check_name("event", name)
        if name in OF_EVENTS or set(value.fields) & {"epoch", "n", "at", "kind"}:
            raise TypeError(f"event {name}: item, call, epoch, n, at and kind are names of every event: take another one")
        found.events[name] = value
    elif inspect.isfunction(value) and is_method(value):
        check_name("method", name)
        found.methods[name] = spec_of(name, value)
    elif inspect.isfunction(value) and (period := period_of(value)) is not None:
        found.loops[name] = period
    elif name in found.methods:
        del found.methods[name]
    elif name in found.items and not inspect.isfunction(value):
        raise TypeError(f"{name!r} is an item of a base class: declare it with item() again")


def check_name(what: str, name: str) -> None:
    """TypeError where an item, a method or an event cannot have this name."""
    if name.startswith("_") or not name.isidentifier() or len(name) > 63:
        raise TypeError(f"{what} {name!r}: a name is one of Python's, of 63 signs at most, without '_' in front")
    if name in OF_PROXIES:
        raise TypeError(f"{what} {name!r}: every client's object has this name for itself ({', '.join(OF_PROXIES)})")


def check_item(name: str, item: Item) -> None:
    """TypeError where the default of an item does not fit its own declaration."""
    spec = item.spec
    try:
        item.value = kinds.fitting(spec.default, spec.kind._replace(optional=spec.kind.optional or spec.default is None))
    except ValueError as exc:
        raise TypeError(f"item {name!r}: the default: {exc}: give another one, or another type") from None
    if spec.low is not None and spec.high is not None and spec.low > spec.high:
        raise TypeError(f"item {name!r}: low is {spec.low:g}, and high is {spec.high:g}: exchange them")


def _check_hooks(kind: type, found: Declared, root: type) -> None:
    for name, value in inspect.getmembers(kind, inspect.isfunction):
        verb, _, item = name.partition("_")
        if verb not in HOOK_VERBS or is_method(value) or hasattr(root, name):
            continue
        if item in found.items:
            _check_hook(kind, name, value, verb)
            if verb != "get" and found.items[item].spec.read_only:
                raise TypeError(
                    f"{kind.__name__}: {name} is never called, as the item {item!r} is read_only: take one of the two away"
                )
            continue
        near = difflib.get_close_matches(item, found.items, 1)
        hint = f"did you mean {verb}_{near[0]!s}?" if near else f"declare the item, or call the function _{name}."
        raise TypeError(f"{kind.__name__}: {name} is the hook of an item {item!r}, which it has not: {hint}")


def _check_hook(kind: type, name: str, hook: Callable[..., Any], verb: str) -> None:
    count = 1 if verb == "get" else 2
    try:
        inspect.signature(hook).bind(*range(count))
    except TypeError:
        words = "self" if verb == "get" else "self, value"
        raise TypeError(f"{kind.__name__}: {name} is called as {name}({words}): give it these arguments") from None
