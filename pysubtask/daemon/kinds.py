"""The types of values that travel: those of JSON, by a declaration's default or annotation."""

from __future__ import annotations

import json
import types
import typing
from typing import Any, NamedTuple

LONGEST = 1024 * 1024
"""Bytes of JSON that one value may have."""
_PLAIN: dict[Any, str] = {float: "float", int: "int", str: "str", bool: "bool", list: "list", dict: "dict", Any: "any"}


class Kind(NamedTuple):
    """A type: its ``name`` ('float', 'int', 'str', 'bool', 'list', 'dict' or 'any'), whether it may be None (``optional``), and the
    ``choices`` there are (empty: any)."""

    name: str
    optional: bool = False
    choices: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} | None" if self.optional and self.name != "any" else self.name


ANY = Kind("any", True)


def of_annotation(annotation: Any) -> Kind:
    """The type that an annotation means. TypeError for one that JSON does not have."""
    if annotation is None or annotation is type(None):
        return ANY
    if annotation in (Any, object):
        return ANY
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        others = [arg for arg in args if arg is not type(None)]
        if len(others) != 1:
            raise TypeError(f"{annotation} is no single type")
        return of_annotation(others[0])._replace(optional=len(others) < len(args))
    if origin is typing.Literal:
        return of_value(args[0])._replace(choices=args)
    name = _PLAIN.get(origin or annotation)
    if name is None:
        words = ", ".join(sorted(_PLAIN.values()))
        raise TypeError(f"{getattr(annotation, '__name__', annotation)} is none of the types of JSON: {words}")
    return Kind(name)


def of_value(value: Any) -> Kind:
    """The type of a default; of None any."""
    return ANY if value is None else Kind(_PLAIN.get(type(value), "any"))


def fitting(value: Any, kind: Kind) -> Any:
    """The value as one of this type, a whole number as a float where one is meant. ValueError, with the reason, where it is
    none."""
    if value is None:
        if kind.optional or kind.name == "any":
            return None
        raise ValueError(f"None is no {kind.name}")
    name = kind.name
    if name == "float" and type(value) is int:
        value = float(value)
    if name != "any" and type(value).__name__ != name:
        raise ValueError(f"{_short(value)} is a {type(value).__name__}, and no {name}")
    if kind.choices and value not in kind.choices:
        raise ValueError(f"{_short(value)} is none of {', '.join(map(repr, kind.choices))}")
    return as_json(value)


def as_json(value: Any) -> Any:
    """The value, as what a reader of its JSON gets. ValueError where it has no JSON, or more than a megabyte of it."""
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is str and len(value) < LONGEST // 6:
        return value
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ValueError(f"{_short(value)} has no JSON ({exc})") from exc
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text)} bytes of JSON, and {LONGEST} is the most")
    return value if type(value) is float else json.loads(text)


def of_text(text: str, kind: Kind) -> Any:
    """What a word of a command line means. ValueError where it is none of this type."""
    if kind.name == "str":
        return text
    if text in ("None", "null", "") and (kind.optional or kind.name == "any"):
        return None
    if kind.name == "bool":
        words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
        if text.lower() not in words:
            raise ValueError(f"{text!r} is no bool: write true or false")
        return words[text.lower()]
    try:
        found = json.loads(text)
    except ValueError:
        if kind.name == "any":
            return text
        raise ValueError(f"{text!r} is no {kind.name}") from None
    return fitting(found, kind)


def schema(kind: Kind) -> dict[str, Any]:
    """The type, as a description has it."""
    found: dict[str, Any] = {"type": kind.name}
    if kind.optional:
        found["optional"] = True
    if kind.choices:
        found["choices"] = list(kind.choices)
    return found


def of_schema(found: dict[str, Any]) -> Kind:
    """The type that a description has."""
    return Kind(str(found.get("type", "any")), bool(found.get("optional")), tuple(found.get("choices", ())))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
