"""Who may call: OAuth 2 as Dropbox has it, for one app and one account."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import threading
import urllib.parse
from typing import Any

from ._dropbox_answers import Answer, Refused, auth_error, bad_input, oauth_error, result

TOKEN_SECS = 14400
_SCOPE = "account_info.read files.content.read files.content.write files.metadata.read files.metadata.write"


class Tokens:
    """The tokens of one account. Safe for threads."""

    def __init__(self, app_key: str, refresh_token: str, account_id: str) -> None:
        self.app_key = app_key
        self.refresh_token = refresh_token
        self.revoked = False
        self._account_id = account_id
        self._lock = threading.Lock()
        self._good: set[str] = set()
        self._expired: set[str] = set()
        self._codes: dict[str, str] = {}

    def new(self) -> str:
        """A new access token."""
        token = "sl." + secrets.token_urlsafe(40)
        with self._lock:
            self._good.add(token)
        return token

    def expire(self) -> None:
        """End the validity of every access token given so far."""
        with self._lock:
            self._expired |= self._good
            self._good.clear()

    def authorize(self, code: str, code_challenge: str) -> None:
        """A person has agreed in the browser: this code may be exchanged once, with the verifier of this challenge."""
        with self._lock:
            self._codes[code] = code_challenge

    def check(self, route: str, header: str | None) -> None:
        """Refused where the Authorization header of a call is not valid."""
        if header is None:
            raise Refused(bad_input(route, 'Must provide HTTP header "Authorization" or URL parameter "authorization".'))
        kind, _, token = header.partition(" ")
        if kind != "Bearer" or not token:
            raise Refused(bad_input(route, 'Invalid authorization value in HTTP header "Authorization": expecting "Bearer".'))
        with self._lock:
            if self.revoked or token not in self._good | self._expired:
                raise Refused(auth_error("invalid_access_token"))
            if token in self._expired:
                raise Refused(auth_error("expired_access_token"))

    def exchange(self, body: bytes, header: str | None) -> Answer:
        """oauth2/token: a refresh token (RFC 6749, section 6) or a code with its verifier (RFC 7636) for an access token."""
        form = {key: values[0] for key, values in urllib.parse.parse_qs(body.decode("ascii", "replace")).items()}
        if (form.get("client_id") or _basic_user(header)) != self.app_key:
            return oauth_error("invalid_client_id", "Invalid client_id or client_secret")
        kind = form.get("grant_type")
        if kind == "refresh_token":
            if self.revoked or form.get("refresh_token") != self.refresh_token:
                return oauth_error("invalid_grant", "refresh token is invalid or revoked")
            return result(self._given())
        if kind == "authorization_code":
            return self._first(form.get("code", ""), form.get("code_verifier", ""))
        return oauth_error("unsupported_grant_type", f"grant type {kind} is not supported")

    def _first(self, code: str, verifier: str) -> Answer:
        with self._lock:
            challenge = self._codes.pop(code, None)
        if challenge is None:
            return oauth_error("invalid_grant", "code doesn't exist or has expired")
        found = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if found != challenge:
            return oauth_error("invalid_grant", "invalid code verifier")
        return result(
            {**self._given(), "refresh_token": self.refresh_token, "scope": _SCOPE, "uid": "12345", "account_id": self._account_id}
        )

    def _given(self) -> dict[str, Any]:
        return {"access_token": self.new(), "token_type": "bearer", "expires_in": TOKEN_SECS}


def _basic_user(header: str | None) -> str | None:
    kind, _, words = (header or "").partition(" ")
    if kind != "Basic":
        return None
    try:
        user = base64.b64decode(words, validate=True).decode("utf-8", "replace").partition(":")[0]
    except binascii.Error:
        return None
    return urllib.parse.unquote_plus(user)
