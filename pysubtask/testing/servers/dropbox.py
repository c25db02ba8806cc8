"""A stand-in for Dropbox on loopback, that speaks its HTTP API v2 to the official SDK and to others. Extra ``testing``.

::

    with dropbox_server(tmp_path) as server:
        transport = DropboxTransport(server.settings(HostPath="/in"), workdir)
        server.fail("files/upload", status=429, retry_after=1)   # the next one

It is a stand-in, written from Dropbox's public reference, its SDK and what people report of it; it is not Dropbox and
has none of its code. What it does not model: more than one account, app and namespace (shared and team folders,
"ns:" paths, path roots; "id:" only where one reads), scopes, the login page, ``autorename``, old revisions, restore and deleted
entries, sharing, properties, thumbnails, search, copying and moving, batches of anything but finish, changes by
``list_folder/continue`` and longpoll, concurrent upload sessions, the end of a session after seven days, the limits of
rate and size of the real one except 150 MiB for a body, Unicode normalization of names, and time: commits are instant
unless ``commit_secs`` says otherwise. What it is asked beyond that it refuses with a 400 or 404 that says so.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ._certificate import make_authority
from ._dropbox_faults import WRITE_ROUTES, Faults, Rule, matches
from ._dropbox_routes import Routes
from ._dropbox_tokens import Tokens
from ._dropbox_tree import Tree
from ._dropbox_wire import HOSTS, Call, HttpServer
from ._extra import needs_libraries

__all__ = ["WRITE_ROUTES", "Call", "DropboxServer", "dropbox_server"]

_ACCOUNT_ID = "dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"


class DropboxServer:
    """A running stand-in. Its faults may be set at any time, from any thread.

    ``folder``: the files of the account, a real directory tree, which a test may also write into.
    ``proxy``: the proxy that clients need as setting; ``ca_file``: PEM of the authority that they must trust.
    ``refresh_token``, ``app_key``: what to log in with. ``calls``: every ``Call`` in the order of arrival.
    ``lock_contention``: True (or 429) refuses a commit that overlaps with another by a 429 too_many_write_operations with
    Retry-After 1, 409 by the route's own error of this name. ``commit_secs``: seconds that each commit takes.
    """

    def __init__(self, root: Path, host: str, app_key: str, refresh_token: str, account: Mapping[str, Any]) -> None:
        self.folder = root / "files"
        self.app_key = app_key
        self.refresh_token = refresh_token
        temp = root / "temp"
        for place in (self.folder, temp):
            place.mkdir(parents=True, exist_ok=True)
        with needs_libraries("dropbox_server"):
            authority = make_authority(root / "tls", HOSTS)
        self.ca_file = authority.file
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.whole)
        merged_account = {**_account(), **account}
        self._tree = Tree(self.folder)
        self._tokens = Tokens(app_key, refresh_token, merged_account["account_id"])
        self._routes = Routes(self._tree, self._tokens, merged_account)
        self._faults = Faults()
        self._wire = HttpServer(host, self._routes, self._faults, temp, context)

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._wire.host

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._wire.port

    @property
    def proxy(self) -> str:
        """The URL of the proxy through which it is Dropbox."""
        return f"http://{self.host}:{self.port}"

    @property
    def calls(self) -> list[Call]:
        """Every call so far; the list is the server's own."""
        return self._wire.calls

    @property
    def content_bytes(self) -> int:
        """Bytes of file content that arrived, with those of calls that were cut or refused."""
        return sum(call.content_bytes for call in list(self.calls))

    @property
    def held(self) -> int:
        """How many calls are held now."""
        return self._faults.held

    @property
    def lock_contention(self) -> bool | int:
        """Whether commits fight over the namespace; see the class."""
        return self._routes.lock_contention

    @lock_contention.setter
    def lock_contention(self, value: bool | int) -> None:
        self._routes.lock_contention = value

    @property
    def commit_secs(self) -> float:
        """Seconds that each commit takes, once its body is there."""
        return self._routes.commit_secs

    @commit_secs.setter
    def commit_secs(self, value: float) -> None:
        self._routes.commit_secs = value

    def settings(self, **overrides: Any) -> dict[str, Any]:
        """Settings of a DropboxTransport that logs in here."""
        return {
            "AppKey": self.app_key,
            "RefreshToken": self.refresh_token,
            "RefreshTokenFile": None,
            "AccessToken": None,
            "Proxy": self.proxy,
            "CAFile": str(self.ca_file),
            "HostPath": "",
            "Connections": 4,
            "ChunkBytes": 4 * 1024 * 1024,
            "ConnectTimeoutSecs": 5,
            "StallSecs": 10,
            "Concurrency": 256,
            **overrides,
        }

    def count(self, *routes: str) -> int:
        """How many calls of these routes came ("write": those that write content; none given: all)."""
        return sum(any(matches(pattern, call.route) for pattern in routes or ("*",)) for call in list(self.calls))

    def fail(
        self,
        route: str,
        *,
        status: int | None = None,
        error: str | dict[str, Any] | None = None,
        retry_after: int | None = None,
        times: int | None = 1,
        every: int = 1,
        after: int = 0,
    ) -> None:
        """Calls of a route ("*": all, oauth2/token too; "write": those that write content) get an error; nothing is done.

        ``error``: the way down in the route's union, "path/insufficient_space"; of a 401, 429 or 400 of oauth2/token its
        name; of others the text; or the whole union as JSON. Without ``status`` it is a 409, without either a 429 where
        ``retry_after`` (seconds) is given, else a 503. It strikes each ``every``-th call after the first ``after``,
        ``times`` times (None: until ``heal``). The body is read first, so that the connection stays good.
        """
        answer = {"status": status, "error": error, "retry_after": retry_after}
        self._faults.add_fail(Rule(route, times, every, after, answer))

    def cut(self, route: str, after_bytes: int, times: int = 1) -> None:
        """The connection of the next such call is reset when ``after_bytes`` of its body were read (or all, if it has
        less); nothing is done."""
        self._faults.add_cut(Rule(route, times, after_bytes=after_bytes))

    def lose_answer(self, route: str, times: int = 1) -> None:
        """The next such call is carried out, and the connection is reset in place of the answer."""
        self._faults.add_loss(Rule(route, times))

    def hold(self, route: str) -> None:
        """Such calls wait, their bodies read and nothing done, until ``release``; then they are carried out even if the
        client is dead."""
        self._faults.add_hold(route)

    def drip(self, route: str, how: str) -> None:
        """The answers of such calls come in a way that means harm, until ``heal``: "slow" (a byte of the answer each 0.2 s), "head"
        ("100 Continue" each 0.2 s, for ever), "endless" (a body without end), "packed" (a body that is large when it is unpacked),
        "elsewhere" (it sends the client on, to the same place)."""
        self._faults.add_drip(route, how)

    def release(self) -> None:
        """End every hold: the calls that were held are carried out, and no further call is held."""
        self._faults.release()

    def heal(self) -> None:
        """Take every fault of ``fail``, ``cut``, ``lose_answer``, ``drip`` and ``hold`` off."""
        self._faults.heal()

    def access_token(self) -> str:
        """A new access token, as one has it from Dropbox's App Console."""
        return self._tokens.new()

    def authorize(self, code: str, code_challenge: str) -> None:
        """What the login page does: ``code`` may be exchanged once, with the verifier of this challenge (S256)."""
        self._tokens.authorize(code, code_challenge)

    def expire_tokens(self) -> None:
        """From now on every access token given so far is answered by 401 expired_access_token."""
        self._tokens.expire()

    def revoke(self) -> None:
        """The app is no longer allowed: the refresh token is an invalid_grant, each access token invalid."""
        self._tokens.revoked = True

    def restore(self) -> None:
        """End ``revoke``: the same tokens are valid again."""
        self._tokens.revoked = False

    def forget_sessions(self) -> None:
        """Drop every upload session."""
        self._routes.sessions.forget()

    @property
    def open_sessions(self) -> int:
        """How many upload sessions are there that have not become a file."""
        return len(self._routes.sessions)

    def space(self, total: int | None) -> None:
        """The bytes that the account has room for; None for no limit."""
        self._tree.total = total

    def start(self) -> None:
        """Start it; the second time on the port it had, with the account as it was."""
        self._routes.ended.clear()
        self._wire.start()

    def stop(self) -> None:
        """End it and every connection; what is held is dropped. ``start`` works again."""
        self._routes.ended.set()
        self._wire.stop()


@contextlib.contextmanager
def dropbox_server(
    root: str | os.PathLike[str],
    *,
    account: Mapping[str, Any] | None = None,
    app_key: str = "standin",
    refresh_token: str = "stand-in-refresh-token",
    host: str = "127.0.0.1",
) -> Iterator[DropboxServer]:
    """A running stand-in for Dropbox, whose files are in ``root``/files; ended at the end.

    It is an HTTPS proxy: a client that asks it for api.dropboxapi.com (or content, notify, www.dropbox.com) finds the
    stand-in there, with a certificate of an authority of its own. So clients need a proxy and a CA file, and no change.
    ``account``: fields of users/get_current_account that shall differ. See the module for what it does not model.
    """
    server = DropboxServer(Path(root).absolute(), host, app_key, refresh_token, account or {})
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _account() -> dict[str, Any]:
    return {
        "account_id": _ACCOUNT_ID,
        "name": {
            "given_name": "Stand",
            "surname": "In",
            "familiar_name": "Stand",
            "display_name": "Stand In",
            "abbreviated_name": "SI",
        },
        "email": "stand-in@example.com",
        "email_verified": True,
        "disabled": False,
        "locale": "en",
        "country": "CH",
        "referral_link": "https://www.dropbox.com/referrals/stand-in",
        "is_paired": False,
        "account_type": {".tag": "basic"},
        "root_info": {".tag": "user", "root_namespace_id": "1", "home_namespace_id": "1"},
    }
