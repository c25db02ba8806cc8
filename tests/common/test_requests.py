"""Orders and their answers: what lies in the place of their folders and files is not trusted."""

import contextlib
import json
import os
import stat
import time

import pytest

from pysubtask.common import own_folders, requests
from pysubtask.common.own_folders import NotOurs
from pysubtask.common.requests import Who, answer, reply_to, send, sweep, waiting, withdraw
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder

ME = Who("me", 1, "test")


@pytest.fixture
def tmp_path():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def state(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    own_folders.make_folder(str(data / ".pysubtask" / "main" / "ftp"))
    return data / ".pysubtask" / "main" / "ftp"


def give(state):
    """The task becomes his."""
    give_him(state.parent.parent.parent)


def order(op="pause"):
    return json.dumps({"format": 1, "op": op, "args": {}, "who": ME._asdict(), "at": "2026-11-29T00:00:00.000Z"})


def test_an_order_is_private_and_answered(state):
    before = os.umask(0)
    try:
        id = send(str(state), "pause", {}, ME)
        (found,) = waiting(str(state))
        assert (found.id, found.op, found.problem) == (id, "pause", "")
        answer(str(state), id, result={"paused": "everything"})
    finally:
        os.umask(before)
    assert waiting(str(state)) == [] and reply_to(str(state), id).ok
    for folder in ("requests", "replies"):
        assert stat.S_IMODE((state / folder).stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "replies" / f"{id}.json").stat().st_mode) == 0o600


@needs_root
def test_roots_order_for_another_user_is_that_users(state):
    give(state)
    id = send(str(state), "pause", {}, ME)
    path = state / "requests" / f"{id}.json"
    for entry in (path, path.parent):
        assert (entry.stat().st_uid, stat.S_IMODE(entry.stat().st_mode) & 0o077) == (HIM, 0)
    assert os.listdir(path.parent) == [path.name]

    def child():
        assert [request.id for request in waiting(str(state))] == [id]
        answer(str(state), id, result="done")

    as_him(child)
    assert reply_to(str(state), id).result == "done"
    second = send(str(state), "resume", {}, ME)
    withdraw(str(state), second)
    assert os.listdir(path.parent) == []


@needs_root
def test_roots_order_goes_through_no_link_of_that_user(state, tmp_path):
    cron = tmp_path / "cron.d"
    cron.mkdir(mode=0o755)
    give(state)
    as_him(lambda: (state / "requests").symlink_to(cron))
    with pytest.raises(OSError, match="requests"):
        send(str(state), "pause", {}, ME)
    assert os.listdir(cron) == [] and cron.stat().st_uid == 0


@needs_root
@pytest.mark.parametrize("part", [".pysubtask", "main", "ftp"])
def test_nor_through_one_above(state, tmp_path, part):
    roots = tmp_path / "roots"
    (roots / "main" / "ftp").mkdir(parents=True)
    (roots / "ftp").mkdir()
    give(state)
    at = {".pysubtask": state.parent.parent, "main": state.parent, "ftp": state}[part]
    target = {".pysubtask": roots, "main": roots / "main", "ftp": roots / "ftp"}[part]

    def swap():
        at.rename(at.with_name("aside"))
        at.symlink_to(target)

    as_him(swap)
    with pytest.raises(OSError, match="Errno"):
        send(str(state), "pause", {}, ME)
    assert not list(roots.rglob("*.json")) and not list(roots.rglob("requests"))


@needs_root
def test_roots_order_gives_no_file_of_roots_away(state, tmp_path):
    """The temporary file's name was known before, and what it led to was given to the user."""
    shadow = tmp_path / "shadow"
    shadow.write_text("root-only")
    shadow.chmod(0o600)
    give(state)
    id = "0-1-known"

    def prepare():
        (state / "requests").mkdir()
        for name in (f"{id}.json.{os.getppid()}.part", f"{id}.json"):
            (state / "requests" / name).symlink_to(shadow)

    as_him(prepare)
    send(str(state), "pause", {}, ME, id=id)
    assert (shadow.stat().st_uid, shadow.read_text()) == (0, "root-only")
    assert not (state / "requests" / f"{id}.json").is_symlink()


@pytest.mark.parametrize("folder", ["requests", "replies"])
def test_a_link_in_the_place_of_a_folder_is_refused(state, tmp_path, folder):
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "a-1.json").write_text(order())
    (other / "old.part").write_text("x")
    os.utime(other / "old.part", (0, 0))
    (state / folder).symlink_to(other)
    if folder == "requests":
        with pytest.raises(NotOurs, match="requests"):
            send(str(state), "pause", {}, ME)
        assert waiting(str(state)) == [] and not requests.is_start_requested(str(state))
        withdraw(str(state), "a-1")
    else:
        with pytest.raises(NotOurs, match="replies"):
            answer(str(state), "a-2", result=1)
        (other / "a-1.json").write_text('{"format": 1, "ok": true, "result": 1, "error": "", "at": ""}')
        assert reply_to(str(state), "a-1") is None
    sweep(str(state), time.time())
    assert sorted(os.listdir(other)) == ["a-1.json", "old.part"]


def test_a_state_folder_elsewhere_has_no_links_either(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "state" / "requests").symlink_to(tmp_path / "other")
    with pytest.raises(NotOurs):
        send(str(tmp_path / "state"), "pause", {}, ME)
    assert os.listdir(tmp_path / "other") == []


@pytest.mark.parametrize("what", ["link", "pipe", "device", "folder", "long"])
def test_what_is_no_order_is_answered_and_not_waited_for(state, tmp_path, what):
    path = state / "requests" / "a-1.json"
    path.parent.mkdir(mode=0o700)
    if what == "link":
        (tmp_path / "order.json").write_text(order())
        path.symlink_to(tmp_path / "order.json")
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    else:
        path.write_text(order()[:-1] + " " * requests._LONGEST + "}")
    (found,) = waiting(str(state))
    assert found.op == "" and "cannot be read" in found.problem
    answer(str(state), found.id, error=found.problem)
    assert not reply_to(str(state), "a-1").ok and waiting(str(state)) == []


@needs_root
def test_an_order_of_a_third_user_is_not_obeyed(state):
    (state / "requests").mkdir(mode=0o700)
    (state / "requests" / "a-1.json").write_text(order("stop"))
    os.chown(state / "requests" / "a-1.json", 54321, 54321)
    (found,) = waiting(str(state))
    assert found.op == "" and "another user" in found.problem


@needs_root
def test_an_order_that_root_put_there_is(state):
    give(state)
    as_him(lambda: (state / "requests").mkdir())
    (state / "requests" / "a-1.json").write_text(order("stop"))
    (state / "requests" / "a-1.json").chmod(0o644)

    def child():
        (found,) = waiting(str(state))
        assert found.op == "stop"

    as_him(child)


@needs_root
def test_an_answer_that_is_a_link_is_not_read_by_root(state, tmp_path):
    give(state)
    id = send(str(state), "pause", {}, ME)
    secret = tmp_path / "secret.json"
    secret.write_text('{"format": 1, "ok": true, "result": "secret", "error": "", "at": ""}')
    secret.chmod(0o600)

    def prepare():
        (state / "replies").mkdir()
        (state / "replies" / f"{id}.json").symlink_to(secret)

    as_him(prepare)
    assert reply_to(str(state), id) is None


def test_old_answers_and_halves_go(state):
    id = send(str(state), "pause", {}, ME)
    answer(str(state), id, result=1)
    half = state / "requests" / ".x.json.0011223344556677.part"
    half.write_text("{")
    os.utime(half, (0, 0))
    sweep(str(state), time.time())
    assert reply_to(str(state), id) is not None and not half.exists()
    sweep(str(state), time.time() + 2 * requests.KEEP_SECS)
    assert reply_to(str(state), id) is None


def test_the_answer_of_a_task_that_is_gone_is_none(tmp_path):
    with contextlib.suppress(FileNotFoundError):
        send(str(tmp_path / "gone" / ".pysubtask" / "main" / "ftp"), "pause", {}, ME)
    assert not (tmp_path / "gone").exists()
    assert reply_to(str(tmp_path / "gone"), "a-1") is None and waiting(str(tmp_path / "gone")) == []
