"""What Dropbox answers, results and errors, in the JSON of its HTTP API v2."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, NamedTuple

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """One HTTP answer: ``status``, ``headers`` and ``body``. Where ``file`` is given its next ``length`` bytes are the body,
    and it is closed afterwards. ``retry_after``: the seconds of the header of that name (RFC 9110, section 10.2.3), None for no
    such header."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    file: BinaryIO | None = None
    length: int = 0
    retry_after: int | None = None


class RouteError(Exception):
    """An error of a route's own union. ``tags``: the way down to its leaf, "path/conflict/file"; ``leaf``: fields of it."""

    def __init__(self, tags: str, **leaf: Any) -> None:
        super().__init__(tags)
        self.tags = tags
        self.leaf = leaf

    def under(self, tag: str) -> RouteError:
        """The same error one level further down in the union."""
        return RouteError(f"{tag}/{self.tags}", **self.leaf)


class Refused(Exception):
    """The call ends with this answer, whatever its route would do."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def union(tags: str, leaf: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON of nested unions: {".tag": "path", "path": {".tag": ...}}."""
    first, _, rest = tags.partition("/")
    return {".tag": first, first: union(rest, leaf)} if rest else {".tag": first, **(leaf or {})}


def result(value: Any, status: int = 200) -> Answer:
    """A result of an RPC or upload route."""
    return Answer(status, {"Content-Type": _JSON}, json.dumps(value).encode())


def route_error(route: str, error: RouteError) -> Answer:
    """409 with the union of the route; the "path" of files/upload is a struct with the reason inside."""
    tree = union(error.tags, error.leaf)
    if route == "files/upload" and tree[".tag"] == "path":
        tree = {".tag": "path", "reason": tree.get("path", {".tag": "other"}), "upload_session_id": "stand-in-no-session"}
    return error_json(409, error.tags, tree)


def error_json(status: int, tags: str, tree: dict[str, Any]) -> Answer:
    """An error with its summary, as every route sends it. The dots at the end vary, so that nobody compares the whole."""
    return result({"error_summary": f"{tags}/..", "error": tree}, status)


def rate_limited(reason: str = "too_many_requests", retry_after: int | None = None) -> Answer:
    """429: header and JSON say the same number of seconds; both are silent where it is None."""
    tree: dict[str, Any] = {"reason": {".tag": reason}}
    headers = {"Content-Type": _JSON}
    if retry_after is not None:
        tree["retry_after"] = retry_after
        headers["Retry-After"] = str(retry_after)
    body = json.dumps({"error_summary": f"{reason}/.", "error": tree}).encode()
    return Answer(429, headers, body, retry_after=retry_after)


def auth_error(tag: str) -> Answer:
    """401: expired_access_token, invalid_access_token..."""
    return error_json(401, tag, {".tag": tag})


def text(status: int, words: str, retry_after: int | None = None) -> Answer:
    """A plain text, the form of Dropbox's 5xx and 400 answers."""
    headers = {"Content-Type": _TEXT}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Answer(status, headers, words.encode(), retry_after=retry_after)


def bad_input(route: str, words: str) -> Answer:
    """400: the call itself is wrong, not what it asks for."""
    return text(400, f'Error in call to API function "{route}": {words}')


def oauth_error(error: str, description: str) -> Answer:
    """400 of oauth2/token (RFC 6749, section 5.2)."""
    return result({"error": error, "error_description": description}, 400)


def injected_answer(route: str, status: int | None, error: str | dict[str, Any] | None, retry_after: int | None) -> Answer:
    """The answer of a fault that a test asked for. Without a status an error is a 409 and everything else a 503."""
    if status is None:
        status = 409 if error is not None else 429 if retry_after is not None else 503
    words = error if isinstance(error, str) else ""
    if isinstance(error, dict):
        answer = error_json(status, str(error.get(".tag", "other")), error)
    elif status == 429:
        answer = rate_limited(words or "too_many_requests", retry_after)
    elif status == 401:
        answer = auth_error(words or "expired_access_token")
    elif status == 400 and route == "oauth2/token":
        answer = oauth_error(words or "invalid_grant", "asked for by the test")
    elif status == 400:
        answer = bad_input(route, words or "asked for by the test")
    elif status in (403, 404, 409):
        answer = route_error(route, RouteError(words or "other"))._replace(status=status)
    else:
        answer = text(status, words or "asked for by the test")
    if retry_after is not None and answer.retry_after is None:
        answer = answer._replace(headers={**answer.headers, "Retry-After": str(retry_after)}, retry_after=retry_after)
    return answer
