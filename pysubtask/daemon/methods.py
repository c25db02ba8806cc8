"""A method that clients may call, and an event that a daemon may tell: what is declared of them."""

from __future__ import annotations

import contextlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, overload

from . import kinds
from .errors import Refused

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "_pysubtask_method"
_LOOP = "_pysubtask_loop"


class Argument(NamedTuple):
    """One argument of a method: ``name``, ``kind`` (its type), whether it must be given (``required``), and its ``default``."""

    name: str
    kind: kinds.Kind
    required: bool
    default: Any


class MethodSpec(NamedTuple):
    """What was declared of the method ``name``: ``timeout`` (seconds that a client waits by default; None: until the answer),
    ``single`` (a second call with the same arguments joins the one that runs), ``arguments``, ``result`` (its type) and ``doc``."""

    name: str
    timeout: float | None
    single: bool
    arguments: tuple[Argument, ...]
    result: kinds.Kind
    doc: str


class EventSpec:
    """A declared event: ``fields``, each with its type, and ``doc``."""

    def __init__(self, doc: str, fields: Mapping[str, kinds.Kind]) -> None:
        self.doc, self.fields = doc, dict(fields)


@overload
def method(function: F, /) -> F: ...
@overload
def method(*, timeout: float | None = None, single: bool = False) -> Callable[[F], F]: ...
def method(function: Any = None, /, *, timeout: float | None = None, single: bool = False) -> Any:
    """Declare a method of a daemon's class as one that clients may call: ``@method`` or ``@method(timeout=120)``.

    ``timeout``: seconds that a client waits for the answer unless it says otherwise; None: as long as the daemon lives. ``single``:
    a second call with the same arguments joins the one that runs. The annotations of the arguments are their types.
    """

    def declare(function: F) -> F:
        setattr(function, _ATTRIBUTE, (timeout, single))
        return function

    return declare if function is None else declare(function)


def loop(*, every: float) -> Callable[[F], F]:
    """Declare one more loop of a daemon: the method is called every so many seconds on a thread of its own. One that raises is
    told, and ends no other."""

    def declare(function: F) -> F:
        setattr(function, _LOOP, every)
        return function

    return declare


def event(doc: str = "", **fields: Any) -> Any:
    """Declare an event that a daemon tells: ``lens_dirty = event(lens=int)``. ``fields``: a type for each. TypeError for a type
    that JSON does not have."""
    return EventSpec(doc, {name: kinds.of_annotation(kind) for name, kind in fields.items()})


def is_method(value: Any) -> bool:
    """Whether a member of a class was declared by :func:`method`."""
    return hasattr(value, _ATTRIBUTE)


def period_of(value: Any) -> float | None:
    """The seconds of a member that was declared by :func:`loop`; None of any other."""
    found = getattr(value, _LOOP, None)
    return found if isinstance(found, (int, float)) else None


def spec_of(name: str, function: Callable[..., Any]) -> MethodSpec:
    """What was declared of a method. TypeError for an argument that has no name, or a type that JSON does not have."""
    timeout, single = getattr(function, _ATTRIBUTE)
    hints = hints_of(function)
    arguments = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"method {name}: the argument {parameter.name!r} has no name of its own: give each argument one")
        required = parameter.default is parameter.empty
        try:
            kind = kinds.of_annotation(hints[parameter.name]) if parameter.name in hints else kinds.ANY
        except TypeError as exc:
            raise TypeError(f"method {name}: the argument {parameter.name!r}: {exc}") from None
        default = None if required else parameter.default
        arguments.append(
            Argument(parameter.name, kind._replace(optional=kind.optional or (not required and default is None)), required, default)
        )
    result = hints.get("return")
    try:
        kind = kinds.ANY if result is None else kinds.of_annotation(result)
    except TypeError:
        kind = kinds.ANY  # only a hint for people: what is returned is checked when it is there
    return MethodSpec(name, timeout, single, tuple(arguments), kind, inspect.getdoc(function) or "")


def hints_of(thing: Any) -> dict[str, Any]:
    """The annotations of a class or function, evaluated; those that cannot be evaluated are left out."""
    space = getattr(thing, "__globals__", None) or vars(sys.modules.get(thing.__module__, sys))
    found: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(thing).items():
        with contextlib.suppress(Exception):  # a name that exists for type checkers alone, or anything else in foreign code
            found |= typing.get_type_hints(types.SimpleNamespace(__annotations__={name: annotation}), dict(space))
    return found


def arguments_of(spec: MethodSpec, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, checked, at the client and in the daemon alike. Raises Refused with the reason."""
    known = {argument.name: argument for argument in spec.arguments}
    if len(args) > len(known):
        raise Refused(f"it takes {len(known)} arguments ({', '.join(known)}), and {len(args)} were given", part=spec.name)
    given: dict[str, Any] = dict(zip(known, args, strict=False))
    for name, value in named.items():
        if name not in known:
            raise Refused(f"it has no argument {name!r}; it has: {', '.join(known) or 'none'}", part=spec.name)
        if name in given:
            raise Refused(f"the argument {name!r} was given twice", part=spec.name)
        given[name] = value
    for argument in spec.arguments:
        if argument.name in given:
            try:
                given[argument.name] = kinds.fitting(given[argument.name], argument.kind)
            except ValueError as exc:
                raise Refused(f"argument {argument.name!r}: {exc}", part=spec.name) from None
        elif argument.required:
            raise Refused(f"the argument {argument.name!r} is missing; it has: {', '.join(known)}", part=spec.name)
    return given
