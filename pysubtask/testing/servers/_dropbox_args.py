"""The arguments of routes: read strictly, so that a misspelled field is an error here as it is at Dropbox."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from ._dropbox_answers import Refused, bad_input
from ._dropbox_tree import Commit

_REQUIRED = object()
_PATH = r"(/(.|[\r\n])*)|(ns:[0-9]+(/.*)?)|(id:.*)"
_HASH = r"[0-9a-f]{64}"
_REV = r"[0-9a-f]{9,}"


class Args:
    """The fields of one struct of an argument. A field that no method asked for is an unknown field: see ``end``."""

    def __init__(self, route: str, where: str, fields: Any) -> None:
        self.route = route
        self._where = where
        if not isinstance(fields, dict):
            raise self.wrong("expected object")
        self._left = dict(fields)

    def wrong(self, words: str) -> Refused:
        """The 400 that names the fault of the argument."""
        return Refused(bad_input(self.route, f"{self._where}: {words}"))

    def take(self, name: str, kind: type, default: Any = _REQUIRED) -> Any:
        """The value of a field of this type; null is the same as absent."""
        found = self._left.pop(name, None)
        if found is None:
            if default is _REQUIRED:
                raise self.wrong(f"missing required field '{name}'")
            return default
        if not isinstance(found, kind) or (isinstance(found, int) and kind is int and (isinstance(found, bool) or found < 0)):
            raise self.wrong(f"{name}: expected {kind.__name__}, got {type(found).__name__}")
        return found

    def struct(self, name: str) -> Args:
        """A struct inside this one."""
        return Args(self.route, f"{self._where}: {name}", self.take(name, dict))

    def skip(self, *names: str) -> None:
        """Accept fields that have no effect here."""
        for name in names:
            self._left.pop(name, None)

    def beyond(self, name: str, plain: Any) -> None:
        """Accept a field of which only this one value is modelled."""
        found = self._left.pop(name, None)
        tag = found.get(".tag") if isinstance(found, dict) else found
        if tag not in (None, plain):
            raise self.wrong(f"{name}: this stand-in models nothing but {plain!r}")

    def path(self, name: str = "path", root: bool = False, ids: bool = False) -> str:
        """A path that begins with "/"; "" only with ``root``, an id only with ``ids``."""
        found: str = self.take(name, str)
        if not found and root:
            return found
        if not re.fullmatch(_PATH, found):
            raise self.wrong(f"{name}: {found!r} did not match pattern '{_PATH}'")
        if not found.startswith("/") and not (ids and re.fullmatch("id:[^/]+", found)):
            raise self.wrong(f"{name}: this stand-in does not model such a path here: {found!r}")
        if found == "/":
            words = 'Specify the root folder as an empty string rather than as "/".' if root else "The root folder is unsupported."
            raise self.wrong(f"{name}: {words}")
        return found

    def content_hash(self) -> str | None:
        """The hash of the body by the caller's account; None where the caller gives none."""
        found = self.take("content_hash", str, None)
        if found is not None and not re.fullmatch(_HASH, found):
            raise self.wrong(f"content_hash: {found!r} did not match pattern '{_HASH}'")
        return str(found) if found is not None else None

    def cursor(self) -> tuple[str, int]:
        """An UploadSessionCursor: session id and offset."""
        cursor = self.struct("cursor")
        found = cursor.take("session_id", str), cursor.take("offset", int)
        cursor.end()
        return found

    def commit(self) -> Commit:
        """A CommitInfo; the other fields of UploadArg are left."""
        path = self.path()
        mode, rev = self._mode()
        self.beyond("autorename", False)
        self.beyond("property_groups", None)
        self.skip("mute")
        modified = self.take("client_modified", str, None)
        strict = self.take("strict_conflict", bool, False)
        return Commit(path, mode, rev, None if modified is None else self._seconds(modified), strict)

    def end(self) -> None:
        """Refused where a field is left."""
        for name in self._left:
            raise self.wrong(f"unknown field '{name}'")

    def _mode(self) -> tuple[str, str]:
        found = self._left.pop("mode", None) or "add"
        fields = {".tag": found} if isinstance(found, str) else found
        tag, rev = fields.get(".tag"), fields.get("update", "")
        if tag not in ("add", "overwrite", "update"):
            raise self.wrong(f"mode: unknown tag {tag!r}")
        if tag == "update" and not re.fullmatch(_REV, rev):
            raise self.wrong(f"mode: {rev!r} did not match pattern '{_REV}'")
        return tag, rev

    def _seconds(self, words: str) -> int:
        try:
            return int(datetime.strptime(words, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise self.wrong(f"client_modified: time data {words!r} does not match format '%Y-%m-%dT%H:%M:%SZ'") from None


def read_args(route: str, where: str, words: bytes) -> Args:
    """The argument of a call. ``where``: "request body" or the header it came in.

    A header should have ASCII alone; UTF-8 is understood in its place, as Dropbox does and older clients need. Refused, with a
    400, where ``words`` are no JSON.
    """
    try:
        found = json.loads(words.decode())
    except ValueError:
        raise Refused(bad_input(route, f"{where}: could not decode input as JSON")) from None
    return Args(route, where, found)
