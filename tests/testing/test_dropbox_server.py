"""The stand-in for Dropbox, driven by the official SDK as it is, and by plain HTTP where the SDK has no words."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import itertools
import json
import os
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dropbox
import pytest
import requests
from dropbox import files
from dropbox.exceptions import ApiError, AuthError, BadInputError, HttpError, InternalServerError, RateLimitError
from stone.backends.python_rsrc import stone_serializers

from pysubtask.testing import DropboxServer, dropbox_server
from pysubtask.testing.servers._dropbox_hash import BLOCK_BYTES, BlockHash
from pysubtask.testing.servers._dropbox_tree import Commit, decide, path_fault, write_refusal
from tests.support.helpers import wait_until

OVER = files.WriteMode.overwrite
NOW = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
LOST = requests.exceptions.ConnectionError


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK forgives fields and tags that it does not know; here it shall not."""
    decode = stone_serializers.json_compat_obj_decode
    monkeypatch.setattr(
        stone_serializers, "json_compat_obj_decode", lambda kind, found, strict=True: decode(kind, found, strict=True)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DropboxServer]:
    with dropbox_server(tmp_path / "box") as found:
        yield found


@pytest.fixture
def box(server: DropboxServer) -> Iterator[dropbox.Dropbox]:
    with client(server) as found:
        yield found


def web(server: DropboxServer) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"https": server.proxy}
    session.verify = str(server.ca_file)
    return session


def client(server: DropboxServer, **more: Any) -> dropbox.Dropbox:
    login = {"oauth2_refresh_token": server.refresh_token, "app_key": server.app_key} | more
    return dropbox.Dropbox(session=web(server), max_retries_on_error=0, max_retries_on_rate_limit=0, timeout=20, **login)


def content_hash(data: bytes) -> str:
    blocks = [hashlib.sha256(data[at : at + 4194304]).digest() for at in range(0, len(data), 4194304)]
    return hashlib.sha256(b"".join(blocks)).hexdigest()


def cursor(session: str, offset: int) -> files.UploadSessionCursor:
    return files.UploadSessionCursor(session, offset)


def refused(act: Callable[[], Any]) -> Any:
    """The error union of an ApiError."""
    with pytest.raises(ApiError) as caught:
        act()
    assert caught.value.request_id
    return caught.value.error


def path_reason(act: Callable[[], Any]) -> files.WriteError:
    """The reason of a refused upload."""
    error = refused(act)
    assert isinstance(error, files.UploadError) and error.is_path()
    return error.get_path().reason


@contextlib.contextmanager
def tunnel(server: DropboxServer, name: str = "content.dropboxapi.com") -> Iterator[http.client.HTTPSConnection]:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    link = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=20)
    link.set_tunnel(name, 443)
    with contextlib.closing(link):
        yield link


def call(
    server: DropboxServer, route: str, arg: Any, body: Any = b"", name: str = "content.dropboxapi.com", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    with tunnel(server, name) as link:
        given = {
            "Authorization": f"Bearer {server.access_token()}",
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Arg": json.dumps(arg),
            **headers,
        }
        link.request("POST", f"/2/{route}", body, given)
        answer = link.getresponse()
        return answer.status, answer.read(), answer.headers


# -- login


def test_account_and_space(server, box):
    account = box.users_get_current_account()
    assert account.name.display_name == "Stand In" and account.account_id.startswith("dbid:")
    (server.folder / "a").write_bytes(b"12345")
    server.space(100)
    space = box.users_get_space_usage()
    assert (space.used, space.allocation.get_individual().allocated) == (5, 100)


def test_fields_of_the_account_may_differ(tmp_path):
    with dropbox_server(tmp_path, account={"email": "pi@example.org"}) as server, client(server) as box:
        assert box.users_get_current_account().email == "pi@example.org"


def test_only_the_right_tokens_are_good(server):
    for wrong in ({"oauth2_refresh_token": "another"}, {"oauth2_access_token": "sl.none", "oauth2_refresh_token": None}):
        with client(server, **wrong) as box, pytest.raises(AuthError) as caught:
            box.users_get_current_account()
        assert caught.value.error.is_invalid_access_token()
    with client(server, app_key="another") as box, pytest.raises(BadInputError):
        box.users_get_current_account()
    with client(server, oauth2_refresh_token=None, oauth2_access_token=server.access_token()) as box:
        assert box.users_get_current_account().email


def test_expired_tokens_are_refreshed(server, box):
    box.users_get_current_account()
    server.expire_tokens()
    box.users_get_current_account()
    assert [call.status for call in server.calls if call.route != "oauth2/token"] == [200, 401, 200]
    assert server.count("oauth2/token") == 2
    with client(server, oauth2_refresh_token=None, oauth2_access_token=server.access_token()) as fixed:
        server.expire_tokens()
        server.fail("oauth2/token", status=400, error="invalid_grant", times=None)
        with pytest.raises(AuthError) as caught:
            fixed.users_get_current_account()
    assert caught.value.error.is_expired_access_token()


def test_revoked_and_restored(server, box):
    box.users_get_current_account()
    server.revoke()
    with pytest.raises(AuthError) as caught:
        box.users_get_current_account()
    assert caught.value.error.is_invalid_access_token()
    with client(server) as other, pytest.raises(AuthError) as caught:
        other.users_get_current_account()
    assert server.calls[-1].route == "oauth2/token" and server.calls[-1].status == 400
    server.restore()
    box.users_get_current_account()


def test_login_with_a_code(server):
    flow = dropbox.DropboxOAuth2FlowNoRedirect(server.app_key, use_pkce=True, token_access_type="offline")
    assert f"code_challenge={flow.code_challenge}" in flow.start()
    flow.requests_session = web(server)
    server.authorize("the code", flow.code_challenge)
    found = flow.finish("the code")
    assert found.refresh_token == server.refresh_token and found.account_id.startswith("dbid:")
    with client(server, oauth2_refresh_token=None, oauth2_access_token=found.access_token) as box:
        assert box.users_get_current_account().email
    for code, challenge in (("the code", None), ("other", base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("="))):
        if challenge:
            server.authorize(code, challenge)
        with pytest.raises(requests.HTTPError, match="400"):
            flow.finish(code)


# -- files


def test_an_upload_is_whole_on_disk_and_reported(server, box):
    data = os.urandom(5_000_000)
    uploaded = box.files_upload(data, "/In/Deep/A b.CSV", client_modified=NOW.replace(tzinfo=None), mute=True)
    assert isinstance(uploaded, files.FileMetadata)
    assert (uploaded.name, uploaded.path_lower, uploaded.path_display) == ("A b.CSV", "/in/deep/a b.csv", "/In/Deep/A b.CSV")
    assert uploaded.client_modified == NOW.replace(tzinfo=None) and uploaded.size == len(data) and uploaded.is_downloadable
    assert uploaded.content_hash == content_hash(data) and len(uploaded.rev) >= 9 and uploaded.id.startswith("id:")
    on_disk = server.folder / "In" / "Deep" / "A b.CSV"
    assert on_disk.read_bytes() == data and on_disk.stat().st_mtime == NOW.timestamp()
    assert box.files_get_metadata("/in/DEEP/a B.csv") == uploaded == box.files_get_metadata(uploaded.id)
    assert abs(uploaded.server_modified.replace(tzinfo=UTC).timestamp() - time.time()) < 60
    assert [path.name for path in server.folder.iterdir()] == ["In"]
    assert not any(path.is_file() for path in (server.folder.parent / "temp").iterdir())
    again = box.files_upload(b"new", "/in/deep/a B.csv", OVER)
    assert again.path_display == uploaded.path_display and again.id == uploaded.id and again.rev > uploaded.rev
    assert [path.name for path in (server.folder / "In" / "Deep").iterdir()] == ["A b.CSV"]
    assert box.files_upload("ü".encode(), "/Größe/€.txt").path_display == "/Größe/€.txt"


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES])
def test_content_hash_by_pieces(size):
    data = os.urandom(size)
    whole, first, second = BlockHash(), BlockHash(), BlockHash()
    for at in range(0, size, 999_983):
        whole.update(data[at : at + 999_983])
    half = min(size, BLOCK_BYTES)
    first.update(data[:half])
    second.update(data[half:])
    assert whole.hexdigest() == content_hash(data) and whole.size == size
    assert first.copy().join(second) is (half % BLOCK_BYTES == 0)
    if first.join(second):
        assert first.hexdigest() == content_hash(data) and first.size == size


@pytest.mark.parametrize(
    ("mode", "rev", "strict", "there", "choice"),
    [
        ("overwrite", "", True, None, "write"),
        ("overwrite", "", True, ("r1", "same"), "write"),
        ("add", "", True, None, "write"),
        ("add", "", False, ("r1", "other"), "conflict"),
        ("add", "", False, ("r1", "same"), "keep"),
        ("add", "", True, ("r1", "same"), "conflict"),
        ("update", "r1", True, ("r1", "other"), "write"),
        ("update", "r1", True, ("r1", "same"), "write"),
        ("update", "r1", False, ("r2", "other"), "conflict"),
        ("update", "r1", False, ("r2", "same"), "keep"),
        ("update", "r1", True, ("r2", "same"), "conflict"),
        ("update", "r1", False, None, "write"),
        ("update", "r1", True, None, "conflict"),
    ],
)
def test_what_a_commit_does(mode, rev, strict, there, choice):
    assert decide(Commit("/a", mode, rev, None, strict), there, "same") == choice


def test_modes_over_the_wire(server, box):
    first = box.files_upload(b"one", "/a")
    assert box.files_upload(b"one", "/A") == first
    for act in (
        lambda: box.files_upload(b"two", "/a"),
        lambda: box.files_upload(b"one", "/a", strict_conflict=True),
        lambda: box.files_upload(b"two", "/a", files.WriteMode.update("123456789")),
    ):
        assert path_reason(act).get_conflict().is_file()
    second = box.files_upload(b"two", "/a", files.WriteMode.update(first.rev), strict_conflict=True)
    assert second.rev != first.rev and (server.folder / "a").read_bytes() == b"two"
    late = files.WriteMode.update(first.rev)
    assert path_reason(lambda: box.files_upload(b"one", "/a", late, strict_conflict=True)).get_conflict().is_file()
    assert (server.folder / "a").read_bytes() == b"two"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/a", None),
        ("/.hidden/b..c", None),
        ("/" + "x" * 255, None),
        ("//a", "malformed_path"),
        ("/a/", "malformed_path"),
        ("/a/../b", "malformed_path"),
        ("/./a", "malformed_path"),
        ("/a\\b", "malformed_path"),
        ("/" + "x" * 256, "malformed_path"),
        ("/a\0", "malformed_path"),
        ("/\udcff", "malformed_path"),
        ("/a ", "disallowed_name"),
        ("/Desktop.ini", "disallowed_name"),
        ("/a/.DS_Store", "disallowed_name"),
        ("/icon\r", "disallowed_name"),
        ("/.dropbox/a", "disallowed_name"),
    ],
)
def test_names(path, fault):
    assert path_fault(path) == fault


def test_what_may_not_be_written(server, box):
    box.files_upload(b"", "/file")
    (server.folder / "folder").mkdir()
    shut = server.folder / "shut"
    shut.mkdir(0o555)
    assert path_reason(lambda: box.files_upload(b"x", "/FILE/a")).get_conflict().is_file_ancestor()
    assert path_reason(lambda: box.files_upload(b"x", "/Folder", OVER)).get_conflict().is_folder()
    assert path_reason(lambda: box.files_upload(b"x", "/shut/new", OVER)).is_no_write_permission()
    assert path_reason(lambda: box.files_upload(b"x", "/a\\b")).is_malformed_path()
    assert path_reason(lambda: box.files_upload(b"x", "/Thumbs.db")).is_disallowed_name()
    assert path_reason(lambda: box.files_upload(b"x", "/" + "ü" * 200)).is_malformed_path()
    shut.chmod(0o755)
    box.files_upload(b"x", "/shut/new", OVER)
    status, body, _ = call(server, "files/upload", {"path": "a"})
    assert status == 400 and b"did not match pattern" in body
    assert write_refusal(OSError(13, "no")) == "no_write_permission" and write_refusal(OSError(28, "full")) == "insufficient_space"
    assert write_refusal(OSError(5, "broken")) is None


def test_what_others_do_on_disk_is_seen(server, box):
    planted = server.folder / "In" / "planted.txt"
    planted.parent.mkdir()
    planted.write_bytes(b"one")
    os.utime(planted, (NOW.timestamp(), NOW.timestamp()))
    first = box.files_get_metadata("/in/planted.txt")
    assert first.content_hash == content_hash(b"one") and first.client_modified == NOW.replace(tzinfo=None)
    assert box.files_get_metadata("/in/planted.txt").rev == first.rev
    planted.write_bytes(b"two!")
    second = box.files_get_metadata("/in/planted.txt")
    assert (second.size, second.content_hash) == (4, content_hash(b"two!")) and second.rev != first.rev
    assert path_reason(lambda: box.files_upload(b"x", "/In/planted.txt", files.WriteMode.update(first.rev))).is_conflict()
    planted.unlink()
    assert refused(lambda: box.files_get_metadata("/in/planted.txt")).get_path().is_not_found()
    assert isinstance(box.files_get_metadata("/IN"), files.FolderMetadata)


def test_folders_are_listed_by_pages(server, box):
    for name in ("/a", "/B/c", "/B/d/e"):
        box.files_upload(name.encode(), name)
    found = box.files_list_folder("", recursive=True, limit=2)
    names = [entry.path_display for entry in found.entries]
    while found.has_more:
        found = box.files_list_folder_continue(found.cursor)
        names += [entry.path_display for entry in found.entries]
    assert names == ["/B", "/B/c", "/B/d", "/B/d/e", "/a"]
    assert [type(entry) for entry in box.files_list_folder("/b").entries] == [files.FileMetadata, files.FolderMetadata]
    assert refused(lambda: box.files_list_folder("/none")).get_path().is_not_found()
    assert refused(lambda: box.files_list_folder("/a")).get_path().is_not_folder()
    assert refused(lambda: box.files_list_folder_continue("nothing")).is_reset()
    with pytest.raises(BadInputError, match="empty string"):
        box.files_list_folder("/")


def test_read_make_and_delete(server, box):
    uploaded = box.files_upload(bytes(range(100)), "/a")
    found, answer = box.files_download("/A")
    assert answer.content == bytes(range(100)) and found == uploaded
    status, body, headers = call(server, "files/download", {"path": "/a"}, Range="bytes=10-19")
    assert (status, body, headers["Content-Range"]) == (206, bytes(range(10, 20)), "bytes 10-19/100")
    assert refused(lambda: box.files_download("/none")).get_path().is_not_found()
    assert box.files_create_folder_v2("/F/g").metadata.path_display == "/F/g"
    assert refused(lambda: box.files_create_folder_v2("/f")).get_path().get_conflict().is_folder()
    assert refused(lambda: box.files_download("/f")).get_path().is_not_file()
    assert refused(lambda: box.files_delete_v2("/a", parent_rev="123456789")).get_path_write().get_conflict().is_file()
    assert box.files_delete_v2("/A", parent_rev=uploaded.rev).metadata == uploaded
    assert isinstance(box.files_delete_v2("/f").metadata, files.FolderMetadata)
    assert refused(lambda: box.files_delete_v2("/f")).get_path_lookup().is_not_found()
    assert list(server.folder.iterdir()) == []


# -- upload sessions


def test_a_file_in_pieces(server, box):
    pieces = [os.urandom(size) for size in (100, BLOCK_BYTES, 0, 3_000_000)]
    session = box.files_upload_session_start(pieces[0]).session_id
    at = len(pieces[0])
    for piece in pieces[1:]:
        assert box.files_upload_session_append_v2(piece, cursor(session, at)) is None
        at += len(piece)
    uploaded = box.files_upload_session_finish(b"end", cursor(session, at), files.CommitInfo("/In/big", client_modified=None))
    data = b"".join(pieces) + b"end"
    assert uploaded.content_hash == content_hash(data) and uploaded.size == len(data)
    assert (server.folder / "In" / "big").read_bytes() == data
    assert server.content_bytes == len(data) and server.open_sessions == 0
    again = refused(lambda: box.files_upload_session_finish(b"", cursor(session, len(data)), files.CommitInfo("/b")))
    assert again.get_lookup_failed().is_not_found()
    assert refused(lambda: box.files_upload_session_append_v2(b"x", cursor(session, at))).is_not_found()


def test_offsets_and_closing(server, box):
    session = box.files_upload_session_start(b"12345").session_id
    wrong = refused(lambda: box.files_upload_session_append_v2(b"x", cursor(session, 3)))
    assert wrong.get_incorrect_offset().correct_offset == 5
    commit = files.CommitInfo("/a")
    wrong = refused(lambda: box.files_upload_session_finish(b"x", cursor(session, 9), commit))
    assert wrong.get_lookup_failed().get_incorrect_offset().correct_offset == 5
    batch = box.files_upload_session_finish_batch_v2([files.UploadSessionFinishArg(cursor(session, 5), commit)])
    assert batch.entries[0].get_failure().get_lookup_failed().is_not_closed()
    box.files_upload_session_append_v2(b"6", cursor(session, 5), close=True)
    assert refused(lambda: box.files_upload_session_append_v2(b"7", cursor(session, 6))).is_closed()
    server.forget_sessions()
    assert refused(lambda: box.files_upload_session_append_v2(b"7", cursor(session, 6))).is_not_found()


def test_a_finish_that_was_refused_leaves_the_session(server, box):
    box.files_upload(b"there", "/a")
    session = box.files_upload_session_start(b"123").session_id
    error = refused(lambda: box.files_upload_session_finish(b"45", cursor(session, 3), files.CommitInfo("/a")))
    assert error.get_path().get_conflict().is_file()
    box.files_upload_session_finish(b"45", cursor(session, 3), files.CommitInfo("/a", OVER))
    assert (server.folder / "a").read_bytes() == b"12345"


def test_a_batch(server, box):
    starts = [box.files_upload_session_start(str(count).encode(), close=True).session_id for count in range(4)]
    commits = [files.CommitInfo(path) for path in ("/x/0", "/x/Desktop.ini", "/x/0/below", "/x/3")]
    entries = [files.UploadSessionFinishArg(cursor(start, 1), commit) for start, commit in zip(starts, commits, strict=True)]
    gone = files.UploadSessionFinishArg(cursor("none", 1), files.CommitInfo("/y"))
    done = box.files_upload_session_finish_batch_v2([*entries, gone]).entries
    assert [one.is_success() for one in done] == [True, False, False, True, False]
    assert done[0].get_success().content_hash == content_hash(b"0")
    assert done[1].get_failure().get_path().is_disallowed_name()
    assert done[2].get_failure().get_path().get_conflict().is_file_ancestor()
    assert done[4].get_failure().get_lookup_failed().is_not_found()
    assert server.open_sessions == 2 and (server.folder / "x" / "3").read_bytes() == b"3"
    entries[1].commit.path = "/x/1"
    with pytest.warns(DeprecationWarning):
        job = box.files_upload_session_finish_batch([entries[1]]).get_async_job_id()
    status = box.files_upload_session_finish_batch_check(job)
    assert status.get_complete().entries[0].get_success().path_display == "/x/1"
    assert refused(lambda: box.files_upload_session_finish_batch_check("none")).is_invalid_async_job_id()
    with pytest.raises(BadInputError):
        box.files_upload_session_finish_batch_v2([])


def test_every_body_is_checked(server, box):
    wrong = {"content_hash": content_hash(b"what was meant")}
    commit = files.CommitInfo("/a")
    session = box.files_upload_session_start(b"1").session_id
    errors = [
        refused(lambda: box.files_upload(b"x", "/a", **wrong)),
        refused(lambda: box.files_upload_session_start(b"x", **wrong)),
        refused(lambda: box.files_upload_session_append_v2(b"x", cursor(session, 1), **wrong)),
        refused(lambda: box.files_upload_session_finish(b"x", cursor(session, 1), commit, **wrong)),
    ]
    assert [type(error) for error in errors] == [
        files.UploadError,
        files.UploadSessionStartError,
        files.UploadSessionAppendError,
        files.UploadSessionFinishError,
    ]
    assert all(error.is_content_hash_mismatch() for error in errors)
    assert list(server.folder.iterdir()) == []
    box.files_upload_session_finish(b"2", cursor(session, 1), commit)
    assert (server.folder / "a").read_bytes() == b"12"


def test_space_that_is_full(server, box):
    server.space(10)
    box.files_upload(b"12345678", "/a")
    assert path_reason(lambda: box.files_upload(b"123", "/b")).is_insufficient_space()
    box.files_upload(b"123456789", "/a", OVER)
    session = box.files_upload_session_start(b"123").session_id
    error = refused(lambda: box.files_upload_session_finish(b"", cursor(session, 3), files.CommitInfo("/b")))
    assert error.get_path().is_insufficient_space()
    server.space(None)
    box.files_upload_session_finish(b"", cursor(session, 3), files.CommitInfo("/b"))


# -- faults


def test_answers_asked_for(server, box):
    box.files_upload(b"", "/a")
    server.fail("files/get_metadata", status=429, retry_after=7)
    with pytest.raises(RateLimitError) as limited:
        box.files_get_metadata("/a")
    assert limited.value.backoff == 7 and limited.value.error.reason.is_too_many_requests()
    assert (server.calls[-1].status, server.calls[-1].retry_after) == (429, 7)
    server.fail("write", status=429, error="too_many_write_operations", retry_after=8)
    status, body, headers = call(server, "files/upload", {"path": "/b"}, b"x" * 1000)
    assert (status, headers["Retry-After"], headers["Content-Type"]) == (429, "8", "application/json")
    assert json.loads(body)["error"] == {"reason": {".tag": "too_many_write_operations"}, "retry_after": 8}
    server.fail("*", status=503, retry_after=3)
    with pytest.raises(InternalServerError) as broken:
        box.files_get_metadata("/a")
    assert broken.value.status_code == 503 and server.calls[-1].retry_after == 3
    server.fail("write", error="path/insufficient_space")
    assert path_reason(lambda: box.files_upload(b"", "/b")).is_insufficient_space()
    server.fail("write", error={".tag": "lookup_failed", "lookup_failed": {".tag": "incorrect_offset", "correct_offset": 4}})
    error = refused(lambda: box.files_upload_session_finish(b"", cursor("any", 1), files.CommitInfo("/b")))
    assert error.get_lookup_failed().get_incorrect_offset().correct_offset == 4
    server.fail("files/get_metadata", status=401, error="user_suspended")
    with pytest.raises(AuthError) as held:
        box.files_get_metadata("/a")
    assert held.value.error.is_user_suspended()
    server.fail("files/get_metadata", status=400, error="what is this")
    with pytest.raises(BadInputError, match="what is this"):
        box.files_get_metadata("/a")
    server.fail("files/get_metadata", status=418)
    with pytest.raises(HttpError):
        box.files_get_metadata("/a")
    assert box.files_get_metadata("/a").size == 0
    assert not (server.folder / "b").exists()


def test_which_calls_are_hit(server, box):
    box.users_get_current_account()

    def statuses(count: int) -> list[int]:
        seen = len(server.calls)
        for _ in range(count):
            with contextlib.suppress(InternalServerError):
                box.files_upload(b"x", "/a", OVER)
        return [one.status for one in server.calls[seen:]]

    server.fail("files/upload", status=500, times=2, every=2, after=1)
    assert statuses(7) == [200, 200, 500, 200, 500, 200, 200]
    server.fail("write", status=500, times=None)
    assert statuses(3) == [500, 500, 500]
    server.heal()
    assert statuses(1) == [200]
    assert server.count("files/upload") == server.count("write") == 11 == server.content_bytes
    assert server.count() == len(server.calls) == 13
    arrivals = [one.at for one in server.calls]
    assert arrivals == sorted(arrivals) and all(one.answered >= one.at for one in server.calls)


def test_a_body_that_is_cut(server, box):
    session = box.files_upload_session_start(b"123").session_id
    server.cut("files/upload_session/append_v2", 1_000_001)
    with pytest.raises(LOST):
        box.files_upload_session_append_v2(bytes(4_000_000), cursor(session, 3))
    assert (server.calls[-1].status, server.calls[-1].content_bytes) == (0, 1_000_001)
    box.files_upload_session_append_v2(b"4", cursor(session, 3))
    server.cut("write", 10, times=2)
    for _ in range(2):
        with pytest.raises(LOST):
            box.files_upload(b"12345", "/a")
    assert not (server.folder / "a").exists()
    assert server.content_bytes == 3 + 1_000_001 + 1 + 10
    assert [path.name for path in (server.folder.parent / "temp").iterdir() if path.stat().st_size != 4] == []


def test_a_client_that_leaves_in_the_middle(server):
    with tunnel(server) as link:
        link.putrequest("POST", "/2/files/upload")
        link.putheader("Content-Length", "1000")
        link.endheaders(b"x" * 300)
        wait_until(lambda: server.content_bytes == 300, what="what it sent")
    wait_until(lambda: not list((server.folder.parent / "temp").iterdir()), what="no rest of it")
    assert server.calls[-1].status == 0 and not list(server.folder.iterdir())


def test_an_answer_that_is_lost(server, box):
    server.lose_answer("files/upload")
    with pytest.raises(LOST):
        box.files_upload(b"done", "/a")
    assert (server.folder / "a").read_bytes() == b"done"
    assert box.files_upload(b"done", "/a", strict_conflict=False).content_hash == content_hash(b"done")


def test_a_connection_that_is_cut_is_reset(server):
    server.lose_answer("files/upload")
    with tunnel(server) as link:
        link.request("POST", "/2/files/upload", b"x")
        with socket.socket(fileno=link.sock.detach()) as plain, pytest.raises(ConnectionResetError):
            plain.settimeout(20)
            while plain.recv(65536):
                continue  # what TLS has to say about itself


@pytest.mark.slow
def test_a_call_that_comes_late(server, box):
    first = box.files_upload(b"first", "/a")
    server.hold("files/upload")
    with client(server) as dying:
        for mode in (OVER, files.WriteMode.update(first.rev)):
            with pytest.raises(requests.exceptions.ReadTimeout):
                dying._timeout = 0.5
                dying.files_upload(b"late", "/late" if mode is OVER else "/a", mode, strict_conflict=True)
    wait_until(lambda: server.held == 2, what="two held calls")
    session = box.files_upload_session_start(b"newer").session_id
    box.files_upload_session_finish(b"", cursor(session, 5), files.CommitInfo("/a", OVER))
    assert not (server.folder / "late").exists()
    server.release()
    wait_until(lambda: (server.folder / "late").exists(), what="the late upload")
    wait_until(lambda: all(one.status for one in server.calls), what="the end of every call")
    assert sorted(one.status for one in server.calls if one.route == "files/upload") == [200, 200, 409]
    assert (server.folder / "a").read_bytes() == b"newer"
    box.files_upload(b"not held", "/b")


@pytest.mark.slow
@pytest.mark.parametrize("shape", [429, 409])
def test_commits_that_overlap(server, shape):
    server.lock_contention, server.commit_secs = shape, 0.5
    outcomes: list[Any] = []

    def upload(name: str) -> None:
        with client(server) as box:
            try:
                outcomes.append(box.files_upload(b"x", name))
            except (RateLimitError, ApiError) as exc:
                outcomes.append(exc)

    threads = [threading.Thread(target=upload, args=(f"/{count}",)) for count in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    refusals = [one for one in outcomes if isinstance(one, Exception)]
    assert 1 <= len(refusals) <= 2 and len(list(server.folder.iterdir())) == 3 - len(refusals)
    for one in refusals:
        if shape == 429:
            assert one.backoff == 1 and one.error.reason.is_too_many_write_operations()
        else:
            assert one.error.get_path().reason.is_too_many_write_operations()
    server.lock_contention, server.commit_secs = False, 0.0


# -- the way in


def test_the_proxy_leads_nowhere_else(server):
    for target in ("example.com:443", "api.dropboxapi.com:80", "api.dropboxapi.com.evil.example:443"):
        name, _, port = target.partition(":")
        link = http.client.HTTPConnection(server.host, server.port, timeout=20)
        link.set_tunnel(name, int(port))
        with contextlib.closing(link), pytest.raises(OSError, match="403"):
            link.connect()
    with contextlib.closing(http.client.HTTPConnection(server.host, server.port, timeout=20)) as link:
        link.request("POST", "/2/files/upload", b"x")
        assert link.getresponse().status == 405
    assert server.calls == []


def test_the_certificate_is_of_its_own_authority(server):
    session = web(server)
    session.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        session.post("https://api.dropboxapi.com/2/users/get_current_account", timeout=20)
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("api.dropboxapi.com", "content.dropboxapi.com", "notify.dropboxapi.com", "www.dropbox.com"):
        link = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=20)
        link.set_tunnel(name, 443)
        with contextlib.closing(link):
            link.connect()
    assert (server.folder.parent / "tls" / "key.pem").stat().st_mode & 0o077 == 0


def test_calls_that_are_wrong(server):
    api = "api.dropboxapi.com"
    kind = {"Content-Type": "application/json"}
    for route, arg, name, more, words in [
        ("files/upload", {"path": "/a"}, api, {}, "Incorrect host"),
        ("files/upload", {"path": "/a", "mood": 1}, "content.dropboxapi.com", {}, "unknown field 'mood'"),
        ("files/upload", {}, "content.dropboxapi.com", {}, "missing required field 'path'"),
        ("files/upload", {"path": 1}, "content.dropboxapi.com", {}, "expected str"),
        ("files/upload", {"path": "/a", "autorename": True}, "content.dropboxapi.com", {}, "models nothing but False"),
        ("files/upload", {"path": "/a", "client_modified": "today"}, "content.dropboxapi.com", {}, "does not match format"),
        ("files/upload", {"path": "/a"}, "content.dropboxapi.com", kind, "Content-Type"),
        ("files/upload", {"path": "/a"}, "content.dropboxapi.com", {"Dropbox-API-Arg": "{"}, "could not decode"),
        ("files/upload", {"path": "/a"}, "content.dropboxapi.com", {"Authorization": "Basic x"}, "Bearer"),
        ("files/get_metadata", None, api, {}, "Content-Type"),
        ("files/get_metadata", None, api, kind, "could not decode"),
    ]:
        status, body, headers = call(server, route, arg, b"{", name, **more)
        assert status == 400 and words in body.decode() and headers["Content-Type"].startswith("text/plain"), (words, body)
        assert headers["X-Dropbox-Request-Id"]
    assert call(server, "files/search_v2", {})[0] == 404


def test_bodies_in_chunks_and_after_a_hundred(server):
    status, body, _ = call(server, "files/upload", {"path": "/a"}, iter([b"one,", b"two"]))
    assert status == 200 and json.loads(body)["size"] == 7 and (server.folder / "a").read_bytes() == b"one,two"
    with tunnel(server) as link:
        link.putrequest("POST", "/2/files/upload")
        for key, value in {
            "Authorization": f"Bearer {server.access_token()}",
            "Content-Type": "application/octet-stream",
            "Dropbox-API-Arg": '{"path": "/b"}',
            "Content-Length": "3",
            "Expect": "100-continue",
        }.items():
            link.putheader(key, value)
        link.endheaders()
        assert link.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.send(b"abc")
        assert link.getresponse().status == 200
    assert (server.folder / "b").read_bytes() == b"abc"


def test_a_large_body_is_not_in_memory(server):
    piece, count = bytes(1_000_000), 40
    token = server.access_token()
    with tunnel(server) as link:
        link.connect()
        tracemalloc.start()
        try:
            link.request(
                "POST",
                "/2/files/upload",
                itertools.repeat(piece, count),
                {
                    "Authorization": f"Bearer {token}",
                    "Content-Type": "application/octet-stream",
                    "Dropbox-API-Arg": '{"path": "/a"}',
                    "Content-Length": str(count * len(piece)),
                },
            )
            assert link.getresponse().status == 200
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()
    assert (server.folder / "a").stat().st_size == 40_000_000


def test_stopped_and_started_again(tmp_path):
    with dropbox_server(tmp_path) as server:
        with client(server) as box:
            uploaded = box.files_upload(b"x", "/a")
            session = box.files_upload_session_start(b"123").session_id
            port = server.port
            server.hold("files/upload")
            with client(server) as waiting:
                waiting.users_get_current_account()
                ends: list[Exception] = []

                def upload(box: dropbox.Dropbox = waiting) -> None:
                    try:
                        box.files_upload(b"y", "/b")
                    except LOST as exc:
                        ends.append(exc)

                thread = threading.Thread(target=upload)
                thread.start()
                wait_until(lambda: server.held == 1, what="a held call")
                server.stop()
                thread.join(20)
                assert len(ends) == 1
            with pytest.raises(LOST):
                box.files_get_metadata("/a")
            server.heal()
            server.start()
            assert server.port == port
            assert box.files_get_metadata("/a") == uploaded
            box.files_upload_session_finish(b"", cursor(session, 3), files.CommitInfo("/c"))
        assert sorted(path.name for path in server.folder.iterdir()) == ["a", "c"]


def test_settings(server):
    found = server.settings(HostPath="/in", ChunkBytes=1)
    assert found["Proxy"] == f"http://127.0.0.1:{server.port}" and found["CAFile"] == str(server.ca_file)
    assert (found["AppKey"], found["RefreshToken"], found["AccessToken"]) == ("standin", server.refresh_token, None)
    assert (found["HostPath"], found["ChunkBytes"], found["Connections"]) == ("/in", 1, 4)
