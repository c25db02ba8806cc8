"""The password of a push: whether one is missing, where it comes from, and the error text where nobody can be asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ...common.errors import LoginRefused
from .. import ask

VARIABLE = "PYSUBTASK_PASSWORD"
_ASKED_AT_MOST = 3
_WORDS = {"ftp.User and ftp.Password": "user and password", "User, KeyFile or Password": "user, key or password"}
_ACCOUNT = "the login was refused"
"""The beginning of each transport's error where the account was refused, and not the host key, a key file or a capability."""
_BY_KEY_ALONE = re.compile(r"Permission denied \(publickey\)")


class Password:
    """Asks for the password of one destination, on a terminal and at most three times. ``section`` and ``settings`` are the
    destination's; ``destination`` is its name in the question; ``pause`` runs before a question and clears the terminal for
    it."""

    def __init__(
        self, section: str, settings: Mapping[str, Any], destination: str, pause: Callable[[], None] = lambda: None
    ) -> None:
        self._section, self._settings, self._destination = section, settings, destination
        self.pause = pause
        self._asked = 0

    def is_missing(self) -> bool:
        """Whether a login without a password cannot work: FTP with a user name needs one."""
        user = self._settings.get("User") or ""
        by_ftp = self._section == "ftp" and not self._settings.get("UseSFTP")
        return by_ftp and bool(user) and user != "anonymous" and not self._settings.get("Password")

    def ask(self) -> str | None:
        """The typed password; None where there is no terminal, nothing was typed, or three questions were asked."""
        if self._asked >= _ASKED_AT_MOST or not ask.is_interactive():
            return None
        self._asked += 1
        self.pause()
        return ask.for_secret(f"Password for {self._with_user()}") or None

    def _with_user(self) -> str:
        """The destination with the login's user name, which ssh's configuration may choose."""
        scheme, sign, place = self._destination.partition("://")
        if not sign or "@" in place.partition("/")[0] or not self._settings.get("UseSFTP"):
            return self._destination
        from ..doctor.prepare import endpoint

        user = self._settings.get("User") or endpoint(self._settings).user
        return f"{scheme}://{user}@{place}" if user else self._destination

    def instead_of(self, error: LoginRefused) -> str | None:
        """Another password after a refused login; None where a password cannot help, or the refused one was not typed here."""
        if not self._can_help(error) or (self._settings.get("Password") and not self._asked):
            return None
        return self.ask()

    def words(self, error: LoginRefused) -> str:
        """The text of a refused login for a push, which has no settings Password and User but a URL and an environment
        variable."""
        text = str(error)
        if self._section != "ftp" or not text.startswith(_ACCOUNT):
            return text
        for ours, theirs in _WORDS.items():
            text = text.replace(ours, theirs)
        if self._can_help(error):
            how = "Another password is" if self._settings.get("Password") else "A password is"
            text += f". {how} given by {VARIABLE} or --password-file, or typed on a terminal"
        return text

    def _can_help(self, error: LoginRefused) -> bool:
        text = str(error)
        by_name = bool(self._settings.get("User") or self._settings.get("UseSFTP"))
        return by_name and text.startswith(_ACCOUNT) and _BY_KEY_ALONE.search(text) is None
