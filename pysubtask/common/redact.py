"""The one filter for secrets: what this process knows to be one is taken out of any text of an error.

Errors quote what they met, and what they met may be a URL with a password in it, a header, a command. Code that reads a
secret registers it here (``know``); every error of this package, every warning in a log and every line on stderr passes
``redacted``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from .config import MASK as MASK
from .config import is_secret

_LEAST = 4
"""Characters; a shorter secret is masked only as a whole word, or half of all words would be masked."""
_MOST = 1000  # secrets that are known at once; the oldest are forgotten
_OUR_WORDS = frozenset(("password", "passphrase", "token", "secret", "user", "login", "proxy", "key"))
"""Secrets that are no secret: a mask in the place of these words would reveal more than it hides."""

_guard = threading.Lock()  # threads of a child register and search at the same time
_known: dict[str, None] = {}
_search: re.Pattern[str] | None = None  # made of what is known when it is needed: an app that meets no error pays nothing


def know(secrets: Iterable[str]) -> None:
    """Take these out of every text from now on, as they are and as a URL, a quotation or a header writes them."""
    global _search
    with _guard:
        for secret in secrets:
            if secret and secret not in _known:
                _known[secret] = None
                _search = None
        while len(_known) > _MOST:
            del _known[next(iter(_known))]


def forget_all() -> None:
    """Forget every secret, as a process that restarts."""
    global _search
    with _guard:
        _known.clear()
        _search = None


def know_settings(settings: Mapping[str, Any]) -> None:
    """The same for what a section's settings hold: passwords, tokens, and the login inside a URL."""
    for key, value in settings.items():
        if isinstance(value, str) and is_secret(key):
            know([value])
        elif isinstance(value, str) and ("://" in value or key.lower().endswith("proxy")):
            know(secrets_of_url(value))


def secrets_of_url(url: str) -> list[str]:
    """The password of a URL, whatever signs are in it, and the user with it; none where it has no password."""
    login, at, _ = url.partition("//")[2].rpartition("@") if "//" in url else url.rpartition("@")
    user, colon, password = login.partition(":")
    return [password, f"{user}:{password}"] if at and colon and password else []


def redacted(text: str) -> str:
    """The text with a mask in the place of each known secret."""
    if not _known or not text:
        return text
    return (_search or _compiled()).sub(MASK, text)


def _compiled() -> re.Pattern[str]:
    global _search
    with _guard:
        forms = {form for secret in _known for form in _forms(secret)}
        _search = found = re.compile("|".join(map(_pattern, sorted(forms, key=len, reverse=True))) or r"(?!)")
    return found


def _pattern(form: str) -> str:
    found = re.escape(form)
    return found if len(form) >= _LEAST else rf"(?<![\w/.-]){found}(?![\w/.-])"


def _forms(secret: str) -> set[str]:
    import base64
    from urllib.parse import quote, quote_plus, unquote

    clear = unquote(secret)
    forms = {secret, clear}
    for one in (secret, clear):
        raw = one.encode("utf-8", "surrogateescape")
        forms |= {quote(raw, safe=""), quote(raw), quote_plus(raw), repr(one)[1:-1]}
        if ":" in one:  # as Basic authentication writes a user and his password
            forms.add(base64.b64encode(raw).decode("ascii"))
    return {form for form in forms if form and form not in _OUR_WORDS}
