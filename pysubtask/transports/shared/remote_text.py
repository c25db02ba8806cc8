"""Text that a server sent, fit for a log line. Pure."""

from __future__ import annotations

import re

LONGEST = 160
"""Characters of a server's text that are kept: more than any useful reason has."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")


def remote_text(raw: bytes | str, longest: int = LONGEST) -> str:
    """A server's text (bytes: UTF-8) without control characters and without characters that change the direction of writing, at
    most ``longest`` characters."""
    start = raw[: longest * 4]  # cut first: a server may send megabytes
    words = _UNSAFE.sub(" ", start if isinstance(start, str) else start.decode("utf-8", "replace")).strip()
    return words if len(words) <= longest else words[: longest - 3] + "..."
