"""Foreign text made harmless: file names and replies of servers may hold anything. Pure.

Characters that would control a terminal, turn the writing direction, begin a new line or cannot be shown become escapes.
"""

from __future__ import annotations

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_LINE_ENDS = {"\n": "\\n", "\r": "\\r"}


def plain(text: str) -> str:
    """The text with whatever must not reach a terminal written as an escape; bytes that are no UTF-8 as ``\\xff``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if _is_hidden(character) else character for character in text)


def one_line(text: str) -> str:
    """The same for a line of a log: a line feed as ``\\n``, a carriage return as ``\\r``; what is no UTF-8 is left to the
    encoder."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if "\ud800" <= character <= "\udfff" or not _is_hidden(character)
        else _LINE_ENDS.get(character) or _escaped(character)
        for character in text
    )


def _is_hidden(character: str) -> bool:
    import unicodedata  # only where there is more than ASCII letters, as every app that imports this package would load it

    return unicodedata.category(character) in _HIDDEN


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00  # a byte that is no UTF-8, as Python keeps it
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
