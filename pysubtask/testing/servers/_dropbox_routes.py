"""The routes: what each does to the files and sessions of the account."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ._dropbox_answers import Answer, Refused, RouteError, bad_input, rate_limited, result, route_error, text, union
from ._dropbox_args import Args, read_args
from ._dropbox_sessions import Body, Sessions
from ._dropbox_tokens import Tokens
from ._dropbox_tree import Commit, Tree

MAX_BODY_BYTES = 150 * 1024 * 1024
_BATCH = 1000
_PAGE = 2000
_OCTETS = ("application/octet-stream", "text/plain; charset=dropbox-cors-hack")

Method = Callable[[Args, Body], Answer]


class Routes:
    """One account. ``commit_secs``: how long a commit holds the namespace; see ``dropbox_server``."""

    def __init__(self, tree: Tree, tokens: Tokens, account: dict[str, Any]) -> None:
        self.tree = tree
        self.tokens = tokens
        self.account = account
        self.sessions = Sessions()
        self.lock_contention: bool | int = False
        self.commit_secs = 0.0
        self.ended = threading.Event()
        self._namespace = threading.Lock()
        self._cursors: dict[str, list[dict[str, Any]]] = {}
        self._jobs: dict[str, list[dict[str, Any]]] = {}
        self._number = itertools.count(1)
        self.uploads: dict[str, Any] = {
            "files/upload": self._upload,
            "files/upload_session/start": self._start,
            "files/upload_session/append_v2": self._append,
            "files/upload_session/finish": self._finish,
        }
        self._calls: dict[str, Method] = {
            "users/get_current_account": lambda args, body: result(self.account),
            "users/get_space_usage": self._space,
            "files/get_metadata": self._metadata,
            "files/list_folder": self._list,
            "files/list_folder/continue": self._list_on,
            "files/delete_v2": self._delete,
            "files/create_folder_v2": self._create_folder,
            "files/upload_session/finish_batch_v2": self._batch,
            "files/upload_session/finish_batch": self._launch,
            "files/upload_session/finish_batch/check": self._check,
        }

    def answer(self, route: str, host: str, headers: Mapping[str, str], body: Body, words: bytes) -> Answer:
        """Carry out a call. ``words``: the body of a call that carries no file content; ``headers``: names in lower case."""
        if route == "oauth2/token":
            return self.tokens.exchange(words, headers.get("authorization"))
        download = route == "files/download"
        method: Method | None = self.uploads.get(route) or self._calls.get(route)
        if method is None and not download:
            return text(404, f"this stand-in does not know {route}")
        right = "content.dropboxapi.com" if download or route in self.uploads else "api.dropboxapi.com"
        if host != right:
            return bad_input(route, f'Incorrect host for API function "{route}". You must issue the request to "{right}".')
        try:
            self.tokens.check(route, headers.get("authorization"))
            args = self._args(route, headers, words)
            if method is None:
                return self._download(args, headers.get("range"))
            return method(args, body)
        except Refused as exc:
            return exc.answer
        except RouteError as exc:
            return route_error(route, exc)

    def _args(self, route: str, headers: Mapping[str, str], words: bytes) -> Args:
        kind = headers.get("content-type", "")
        if route in self.uploads or route == "files/download":
            if route in self.uploads and kind not in _OCTETS:
                raise Refused(bad_input(route, f'Bad HTTP "Content-Type" header: "{kind}". Expecting one of {_OCTETS}.'))
            where = 'HTTP header "Dropbox-API-Arg"'
            found = headers.get("dropbox-api-arg")
            if found is None:
                raise Refused(bad_input(route, f'Must provide {where} or URL parameter "arg".'))
            return read_args(route, where, found.encode("latin-1"))
        if words in (b"", b"null") and route.startswith("users/"):
            return Args(route, "request body", {})
        if kind.partition(";")[0] != "application/json":
            raise Refused(bad_input(route, f'Bad HTTP "Content-Type" header: "{kind}". Expecting one of "application/json".'))
        return read_args(route, "request body", words)

    # -- content

    def _upload(self, args: Args, body: Body) -> Answer:
        info = args.commit()
        _check_body(args, body)
        args.end()
        try:
            with self._committing("path/too_many_write_operations"):
                return result(_untagged(self.tree.commit(info, body.file, body.hash)))
        except RouteError as exc:
            raise exc if exc.tags.startswith("path/") else exc.under("path") from None

    def _start(self, args: Args, body: Body) -> Answer:
        close = args.take("close", bool, False)
        args.beyond("session_type", "sequential")
        _check_body(args, body)
        args.end()
        return result({"session_id": self.sessions.start(body, close)})

    def _append(self, args: Args, body: Body) -> Answer:
        name, offset = args.cursor()
        close = args.take("close", bool, False)
        self._session_first(name, offset)
        _check_body(args, body)
        args.end()
        self.sessions.append(name, offset, body, close)
        return result(None)

    def _session_first(self, name: str, offset: int) -> None:
        """A session that is gone or has another offset is reported before a body that is wrong."""
        with self.sessions.using(name) as session:
            if not session.closed:
                session.check(offset)

    def _finish(self, args: Args, body: Body) -> Answer:
        cursor = args.cursor()
        commit = args.struct("commit")
        info = commit.commit()
        commit.end()
        _check_body(args, body)
        args.end()
        with self._committing("too_many_write_operations"):
            return result(self._finished(*cursor, info, body))

    def _finished(self, name: str, offset: int, info: Commit, body: Body | None) -> dict[str, Any]:
        """Turn a session into the file it is for; without a body the session must be closed. RouteError
        (UploadSessionFinishError)."""
        try:
            with self.sessions.using(name) as session:
                if body is None and not session.closed:
                    raise RouteError("not_closed")
                if body is not None and body.hash.size and session.closed:
                    raise RouteError("closed")
                session.check(offset)
                with session.joined(body):
                    try:
                        metadata = self.tree.commit(info, session.file, session.hash)
                    except RouteError as exc:
                        raise _PathError(exc) from None
                self.sessions.consume(session)
                return _untagged(metadata)
        except RouteError as exc:
            raise exc.under("lookup_failed") from None
        except _PathError as exc:
            raise exc.error.under("path") from None

    def _batch(self, args: Args, body: Body) -> Answer:
        return result({"entries": self._finish_all(args)})

    def _launch(self, args: Args, body: Body) -> Answer:
        job = f"dbjid:stand-in-{next(self._number)}"
        self._jobs[job] = self._finish_all(args)
        return result({".tag": "async_job_id", "async_job_id": job})

    def _check(self, args: Args, body: Body) -> Answer:
        job = args.take("async_job_id", str)
        args.end()
        if job not in self._jobs:
            raise RouteError("invalid_async_job_id")
        return result({".tag": "complete", "entries": self._jobs[job]})

    def _finish_all(self, args: Args) -> list[dict[str, Any]]:
        found = args.take("entries", list)
        args.end()
        if not 0 < len(found) <= _BATCH:
            raise args.wrong(f"entries: {len(found)} entries, expected 1 to {_BATCH}")
        commits = []
        for count, fields in enumerate(found):
            entry = Args(args.route, f"request body: entries[{count}]", fields)
            cursor, commit = entry.cursor(), entry.struct("commit")
            commits.append((*cursor, commit.commit()))
            entry.beyond("content_hash", None)
            commit.end()
            entry.end()
        try:
            with self._committing("too_many_write_operations"):
                return [self._one_of_batch(*one) for one in commits]
        except RouteError as exc:
            return [{".tag": "failure", "failure": union(exc.tags)} for _ in commits]

    def _one_of_batch(self, name: str, offset: int, info: Commit) -> dict[str, Any]:
        try:
            return {".tag": "success", **self._finished(name, offset, info, None)}
        except RouteError as exc:
            return {".tag": "failure", "failure": union(exc.tags, exc.leaf)}

    @contextmanager
    def _committing(self, busy: str) -> Iterator[None]:
        """One commit at a time. With contention the second is refused: by a 429, or by ``busy`` where 409 is asked for."""
        contention = self.lock_contention
        if not self._namespace.acquire(blocking=not contention):
            raise RouteError(busy) if contention == 409 else Refused(rate_limited("too_many_write_operations", 1))
        try:
            if self.commit_secs:
                self.ended.wait(self.commit_secs)
            yield
        finally:
            self._namespace.release()

    # -- the rest

    def _space(self, args: Args, body: Body) -> Answer:
        total = self.tree.total if self.tree.total is not None else 2 * 1024**4
        return result({"used": self.tree.used(), "allocation": {".tag": "individual", "allocated": total}})

    def _metadata(self, args: Args, body: Body) -> Answer:
        path = args.path(ids=True)
        args.skip("include_media_info", "include_deleted", "include_has_explicit_shared_members", "include_property_groups")
        args.end()
        with _named("path"):
            return result(self.tree.metadata(path))

    def _list(self, args: Args, body: Body) -> Answer:
        path = args.path(root=True, ids=True)
        recursive, limit = args.take("recursive", bool, False), args.take("limit", int, _PAGE)
        args.skip(
            "include_media_info",
            "include_deleted",
            "include_has_explicit_shared_members",
            "include_property_groups",
            "include_mounted_folders",
            "include_non_downloadable_files",
            "include_restorable_info",
        )
        args.beyond("shared_link", None)
        args.end()
        with _named("path"):
            return self._page(self.tree.listing(path, recursive), limit)

    def _list_on(self, args: Args, body: Body) -> Answer:
        cursor = args.take("cursor", str)
        args.end()
        if cursor not in self._cursors:
            raise RouteError("reset")
        return self._page(self._cursors[cursor], int(cursor.rpartition(":")[2]))

    def _page(self, entries: list[dict[str, Any]], limit: int) -> Answer:
        limit = min(max(limit, 1), _PAGE)
        cursor = f"stand-in:{next(self._number)}:{limit}"
        self._cursors[cursor] = entries[limit:]
        return result({"entries": entries[:limit], "cursor": cursor, "has_more": bool(entries[limit:])})

    def _delete(self, args: Args, body: Body) -> Answer:
        path, rev = args.path(), args.take("parent_rev", str, None)
        args.end()
        with self._committing("too_many_write_operations"):
            return result({"metadata": self.tree.remove(path, rev)})

    def _create_folder(self, args: Args, body: Body) -> Answer:
        path = args.path()
        args.beyond("autorename", False)
        args.end()
        with _named("path"), self._committing("too_many_write_operations"):
            return result({"metadata": _untagged(self.tree.make_folder(path))})

    def _download(self, args: Args, range_header: str | None) -> Answer:
        path = args.path(ids=True)
        args.beyond("rev", None)
        args.end()
        with _named("path"):
            found, file = self.tree.open(path)
        size = found["size"]
        first, last = _byte_range(range_header, size)
        file.seek(first)
        headers = {"Content-Type": "application/octet-stream", "Dropbox-API-Result": _header(_untagged(found))}
        if range_header:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Answer(206 if range_header else 200, headers, file=file, length=last - first + 1)


class _PathError(Exception):
    """The commit of a finish was refused, not its session."""

    def __init__(self, error: RouteError) -> None:
        self.error = error


@contextmanager
def _named(tag: str) -> Iterator[None]:
    try:
        yield
    except RouteError as exc:
        raise exc.under(tag) from None


def _check_body(args: Args, body: Body) -> None:
    """RouteError where the body is too large, or is not the one that the caller has hashed."""
    if body.hash.size > MAX_BODY_BYTES:
        raise RouteError("payload_too_large")
    expected = args.content_hash()
    if expected is not None and expected != body.hash.hexdigest():
        raise RouteError("content_hash_mismatch")


def _untagged(found: dict[str, Any]) -> dict[str, Any]:
    """A struct without its tag, as Dropbox sends it where only one kind is possible."""
    return {key: value for key, value in found.items() if key != ".tag"}


def _header(found: dict[str, Any]) -> str:
    return result(found).body.decode()


def _byte_range(range_header: str | None, size: int) -> tuple[int, int]:
    """First and last byte of a Range header (RFC 9110, section 14.1.2); the whole file where the header is absent or not
    understood."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", range_header or "")
    if found is None or not any(found.groups()):
        return 0, size - 1
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size - 1
    return min(int(first), size), min(int(last), size - 1) if last else size - 1
