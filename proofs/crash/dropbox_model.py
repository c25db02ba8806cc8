"""The stand-in for Dropbox inside the process of its client: each call is answered where it is made, and what the account
holds is kept in a file, so that it outlives the client."""

from __future__ import annotations

import io
import os
import pickle
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests
from requests.adapters import BaseAdapter

from pysubtask.testing.servers._dropbox_hash import BlockHash
from pysubtask.testing.servers._dropbox_routes import Routes
from pysubtask.testing.servers._dropbox_sessions import Body, Session
from pysubtask.testing.servers._dropbox_tokens import Tokens
from pysubtask.testing.servers._dropbox_tree import Tree, _stamp
from pysubtask.transports.dropbox.http_session import HttpSession

from .steps import Steps

TOKEN = "sl.model-of-dropbox"
CHUNK_BYTES = 64 * 1024
_ACCOUNT = "dbid:" + "m" * 35


class ModelDropbox:
    """One account whose files are in ``root``; the rest of it is in ``memory``. ``changed`` is called after each call."""

    def __init__(self, root: str, memory: str, steps: Steps, changed: Callable[[], None]) -> None:
        self._memory = memory
        self._steps = steps
        self._changed = changed
        os.makedirs(memory, exist_ok=True)
        tokens = Tokens("key", "refresh", _ACCOUNT)
        tokens._good.add(TOKEN)
        self._tree = Tree(Path(root))
        self._routes = Routes(
            self._tree,
            tokens,
            {
                "account_id": _ACCOUNT,
                "name": {"given_name": "a", "surname": "b", "familiar_name": "a", "display_name": "a b", "abbreviated_name": "ab"},
                "email": "a@example.org",
                "email_verified": True,
                "disabled": False,
                "locale": "en",
                "referral_link": "https://example.org",
                "is_paired": False,
                "account_type": {".tag": "basic"},
                "country": "NL",
                "root_info": {".tag": "user", "root_namespace_id": "1", "home_namespace_id": "1"},
            },
        )
        self._load()

    def http_session(
        self, proxy: Any, ca_file: Any, connections: int, stall: float, pace: Any, meter: Any, connect_secs: float
    ) -> HttpSession:
        """In the place of the HttpSession that would go out into the world."""
        model = self

        class Inside(HttpSession):
            def _adapter(self, connections: int) -> Any:
                return _Adapter(model)

            def cut(self) -> None:
                self._ended.set()

        return Inside("", None, connections, stall, pace, meter, connect_secs)

    def call(self, request: requests.PreparedRequest) -> requests.Response:
        """Answer one call; the packet there and the answer back are steps of the client."""
        host, _, path = str(request.url).removeprefix("https://").partition("/")
        route = path.removeprefix("2/")
        self._steps.step(f"send {route}")
        with self._steps.elsewhere():
            given: Any = request.body or b""
            words = given.encode() if isinstance(given, str) else bytes(given)
            body = Body(Path(self._memory) / f"body-{secrets.token_hex(6)}")
            if route in self._routes.uploads:
                body.file.write_bytes(words)
                body.hash.update(words)
                words = b""
            headers = {name.lower(): _text(value) for name, value in request.headers.items()}
            answer = self._routes.answer(route, host, headers, body, words)
            body.drop()
            self._save()
            self._changed()
        self._steps.step(f"answer to {route}")
        response = requests.Response()
        response.status_code, response.request, response.url = answer.status, request, str(request.url)
        response.headers.update({**answer.headers, "X-Dropbox-Request-Id": "model"})
        response.raw = io.BytesIO(answer.body)
        return response

    # -- what outlives the client -------------------------------------------------------------------------

    def _save(self) -> None:
        sessions = {name: (str(session.file), session.closed) for name, session in self._routes.sessions._all.items()}
        entries = self._tree._known.items()
        known = {path: (entry.id, entry.rev, entry.hash, entry.modified, entry.changed) for path, entry in entries}
        number = next(self._tree._revs)
        path = os.path.join(self._memory, "account")
        with open(path + ".new", "wb") as file:
            pickle.dump((sessions, known, number + 1), file)
        os.replace(path + ".new", path)

    def _load(self) -> None:
        try:
            with open(os.path.join(self._memory, "account"), "rb") as file:
                sessions, known, number = pickle.load(file)
        except FileNotFoundError:
            return
        for name, (path, closed) in sessions.items():
            place = Path(self._memory) / os.path.basename(path)
            if place.exists():
                body = Body(place)
                body.hash = BlockHash()
                body.hash.update(place.read_bytes())
                self._routes.sessions._all[name] = Session(name, body, closed)
        for path, (id, rev, content_hash, modified, changed) in known.items():
            place = self._tree.folder / path
            entry = self._tree._entry_of(place)
            entry.id, entry.rev, entry.hash, entry.modified, entry.changed = id, rev, content_hash, modified, changed
            if place.is_file():
                entry.stamp = _stamp(place)  # a copy of the station is still the same account
        self._tree._revs = iter(range(number, number + 10**9))  # type: ignore[assignment]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class _Adapter(BaseAdapter):
    def __init__(self, model: ModelDropbox) -> None:
        super().__init__()
        self._model = model

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        return self._model.call(request)

    def close(self) -> None:
        return None
