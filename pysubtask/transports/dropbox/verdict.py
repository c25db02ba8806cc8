"""The meaning of the SDK's errors, in plain words. Pure."""

from __future__ import annotations

import ssl
import time
from typing import TypeVar

from ...common.errors import AttemptFailed, FileRefused, LoginRefused, PysubtaskError, ServerBusy, ServerNotTrusted, TransportLost
from ..shared.dial import NoAddressAnswers
from ..shared.reach import no_address_answers, not_valid_now
from ..shared.remote_text import remote_text

_Error = TypeVar("_Error", bound=BaseException)
_LONGEST_LINE = 200  # the errors of requests and urllib3 name host and cause behind 100 characters of class names
_FULL = "the Dropbox account has no room for it: free some space, or raise the quota"
_WRITE_ERRORS = {
    "malformed_path": "Dropbox does not take this name",
    "disallowed_name": "Dropbox does not take this name",
    "no_write_permission": "the account may not write in this folder",
    "access_restricted": "the account may not write in this folder",
    "team_folder": "the name is that of a team folder",
    "operation_suppressed": "Dropbox suppressed the write",
    "insufficient_space": _FULL,
    "team_folder_insufficient_space": _FULL,
    "member_folder_insufficient_space": _FULL,
    "upload_traffic_limit_reached": "the account has used up its upload traffic",
}
_TOKEN_ERRORS = {
    "invalid_access_token": "the token is revoked or wrong: run 'python -m pysubtask.dropbox --login' and put in the new one",
    "expired_access_token": "the access token has expired, and there is no RefreshToken to get a new one with: run "
    "'python -m pysubtask.dropbox --login'",
    "user_suspended": "the account is suspended",
}


def verdict(exc: Exception, retry_after: float) -> Exception:
    """The error to raise for an exception of a call. An ApiError concerns the request itself and is returned unchanged.

    ``retry_after``: seconds that the reply asked to wait, or 0.
    """
    from dropbox import exceptions
    from requests.exceptions import ProxyError, RequestException, TooManyRedirects
    from stone.backends.python_rsrc.stone_validators import ValidationError

    if isinstance(exc, (exceptions.ApiError, PysubtaskError)):
        return exc
    if isinstance(exc, exceptions.AuthError):
        return LoginRefused(_token_words(exc))
    if isinstance(exc, exceptions.RateLimitError):
        return ServerBusy("Dropbox asks for a pause (too many requests)", float(exc.backoff or retry_after or 0))
    if isinstance(exc, exceptions.InternalServerError):
        text = f"Dropbox has a problem of its own (status {exc.status_code})"
        return ServerBusy(text, retry_after) if retry_after > 0 else TransportLost(text)
    if isinstance(exc, (exceptions.BadInputError, ValidationError)):
        return FileRefused(f"Dropbox does not take the request: {one_line(getattr(exc, 'message', exc))}")
    dead = _within(exc, NoAddressAnswers)
    if dead is not None:
        unreachable = no_address_answers("Dropbox", [(one.address, one.error) for one in dead.failures])
        return TransportLost(unreachable.cause, "Has this machine a way to the internet, or needs it a Proxy?")
    bad = _within(exc, ssl.SSLCertVerificationError)
    if bad is not None:
        early = not_valid_now(bad.verify_code, time.time())
        return early or ServerNotTrusted(
            "certificate not trusted",
            f"the server's certificate is not trusted, so nothing was sent: {one_line(exc)}",
            "Is there a proxy in between? Then set CAFile to its authority",
        )
    if isinstance(exc, ProxyError):
        # A connection that was lost behind a proxy raises ProxyError as well.
        return TransportLost(f"the way through the proxy is lost or closed: {one_line(exc)}")
    if isinstance(exc, TooManyRedirects):
        return TransportLost("what answers for Dropbox sends us elsewhere: is there a portal in between that asks for a login?")
    if isinstance(exc, (RequestException, OSError)):
        return TransportLost(f"Dropbox cannot be reached: {one_line(exc)}")
    # A reply that is not Dropbox's (a portal that asks for a login) fails anywhere in the SDK.
    return TransportLost(f"no answer that makes sense: {type(exc).__name__}: {one_line(exc)}")


def write_verdict(error: object, name: str) -> PysubtaskError | None:
    """The error in a refused write of the file ``name``; None where another file is under the name already.

    ``error``: the whole union of upload, start, append or finish.
    """
    tag, inner = _tag(error), error
    while tag in ("path", "lookup_failed"):
        inner = getattr(inner, f"get_{tag}")()
        # UploadError keeps the reason one level deeper.
        inner = getattr(inner, "reason", inner)
        tag = _tag(inner)
    if tag == "conflict":
        conflict = _tag(getattr(inner, "get_conflict", lambda: None)())
        if conflict == "folder":
            return FileRefused(f"{name!r} is a folder in Dropbox")
        return FileRefused(f"a folder of {name!r} is a file in Dropbox") if conflict == "file_ancestor" else None
    if tag in _WRITE_ERRORS:
        return FileRefused(f"{_WRITE_ERRORS[tag]}: {name!r} ({tag})", file=name, server_text=tag)
    if tag == "too_many_write_operations":
        return ServerBusy("Dropbox asks for a pause (too many write operations)")
    if tag == "content_hash_mismatch":
        words = "the bytes were damaged on the way (content_hash_mismatch)"
        return AttemptFailed(words, step="sending its bytes", file=name, server_text=tag)
    return FileRefused(f"Dropbox refuses {name!r} ({tag or 'no reason given'})", file=name, server_text=tag)


def session_trouble(error: object) -> tuple[str, int]:
    """What is wrong with an upload session: ``('offset', n)``: the session holds n bytes; ``('closed', 0)``: it takes no more;
    ``('gone', 0)``: it is of no use any more; ``('', 0)``: the error is not about the session."""
    if _tag(error) == "lookup_failed":
        error = error.get_lookup_failed()  # type: ignore[attr-defined]
    tag = _tag(error)
    if tag == "incorrect_offset":
        return "offset", int(error.get_incorrect_offset().correct_offset)  # type: ignore[attr-defined]
    if tag == "closed":
        return "closed", 0
    return ("gone", 0) if tag in ("not_found", "not_closed", "too_large") else ("", 0)


def _tag(union: object) -> str:
    return str(getattr(union, "_tag", "") or "")


def _token_words(exc: BaseException) -> str:
    error = getattr(exc, "error", None)
    tag = _tag(error)
    if tag == "missing_scope":
        scope = getattr(error.get_missing_scope(), "required_scope", "")  # type: ignore[union-attr]
        return f"the app may not do this: give it the permission {scope!r} and log in anew"
    return _TOKEN_ERRORS.get(tag, f"Dropbox refuses the login ({tag or 'no reason given'})")


def _within(exc: BaseException | None, kind: type[_Error]) -> _Error | None:
    """The first error of this kind among the causes of an error."""
    seen: list[BaseException] = []
    while exc is not None and exc not in seen:
        seen.append(exc)
        inner = [part for part in exc.args if isinstance(part, BaseException)] + [getattr(exc, "reason", None)]
        for part in (exc, *inner):
            if isinstance(part, kind):
                return part
        exc = next((part for part in inner if isinstance(part, BaseException)), None) or exc.__cause__ or exc.__context__
    return None


def one_line(words: object) -> str:
    """Text that came from elsewhere, such as an exception's, on one short line that is fit for a log and a terminal."""
    return remote_text(" ".join(str(words).split()), _LONGEST_LINE)
