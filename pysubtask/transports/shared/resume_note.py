"""The note of an upload's progress: a resume point as text, which the queue keeps over restarts. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

_Point = TypeVar("_Point", bound=tuple[Any, ...])


def to_note(point: NamedTuple) -> str:
    """The fields of a resume point by name, as JSON."""
    return json.dumps(point._asdict())


def from_note(note: str, kind: Callable[..., _Point], is_usable: Callable[[_Point], bool]) -> _Point | None:
    """The resume point of this ``kind`` in a note; None where there is none, where the note cannot be read, or where the point is
    not usable, for which a value of the wrong type counts, too."""
    if not note:
        return None
    try:
        point = kind(**json.loads(note))
        return point if is_usable(point) else None
    except (ValueError, TypeError, OverflowError):
        return None
