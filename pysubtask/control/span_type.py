"""A length of time on the command line: ``90``, ``90s``, ``15m``, ``1h``, ``2d``."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.I)


class _Span(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Converts the text to seconds; click reports text that is no length of time."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = _FORM.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no length of time: write 90s, 15m, 1h or 2d.", param, ctx)
        return float(found[1]) * _UNITS[found[2].lower()]


SPAN = _Span()
