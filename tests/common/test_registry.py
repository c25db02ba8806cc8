"""The records of tasks: private, whole, and obeyed only where they are this user's own."""

import json
import os
import stat

import pytest

from pysubtask.common import registry
from pysubtask.common.own_folders import NotOurs
from pysubtask.common.registry import Record, announce, known, records
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder


@pytest.fixture
def tmp_path():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    folder = tmp_path / "home" / ".local" / "state" / "pysubtask" / "tasks"
    monkeypatch.setenv(registry.VARIABLE, str(folder))
    return folder


@pytest.fixture
def record(tmp_path):
    state = tmp_path / "data" / ".pysubtask" / "main" / "ftp"
    state.mkdir(parents=True)
    return Record("main", "ftp", "sftp://h/", str(state), "main", str(tmp_path / "data"), "")


def test_a_record_is_private(place, record):
    before = os.umask(0)
    try:
        announce(record)
    finally:
        os.umask(before)
    (name,) = os.listdir(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700 and stat.S_IMODE((place / name).stat().st_mode) == 0o600
    assert records() == [record] and known(record.state_dir) == record


def test_a_record_of_the_version_before_is_read(place, record):
    announce(record)
    (name,) = os.listdir(place)
    (place / name).write_text(json.dumps({key: getattr(record, key) for key in ("task", "extension", "destination", "state_dir")}))
    (found,) = records()
    assert (found.state_dir, found.folder) == (record.state_dir, record.folder)


def test_no_link_in_its_place_is_written_through_or_read(place, record, tmp_path):
    precious = tmp_path / "precious"
    announce(record)
    (name,) = os.listdir(place)
    (place / name).rename(precious)
    before = precious.read_bytes()
    for link in (name, f"{name}.{os.getpid()}.part"):
        (place / link).symlink_to(precious)
    assert known(record.state_dir) is None
    announce(record._replace(label="another"))
    assert precious.read_bytes() == before and not (place / name).is_symlink()
    assert known(record.state_dir).label == "another"


def test_a_pipe_in_its_place_is_not_waited_for(place, record):
    announce(record)
    (name,) = os.listdir(place)
    (place / name).unlink()
    os.mkfifo(place / name)
    assert known(record.state_dir) is None and records() == []


def test_the_folder_itself_may_be_behind_the_users_own_link(place, record, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    announce(record)
    assert records() == [record] and len(os.listdir(tmp_path / "elsewhere")) == 1


@needs_root
def test_the_folder_above_need_not_be_readable(place, record, tmp_path):
    place.mkdir(parents=True)
    give_him(place, tmp_path / "data")
    place.parent.chmod(0o711)

    def announces():
        announce(record)
        assert known(record.state_dir) == record

    as_him(announces)


@needs_root
def test_what_another_user_put_there_is_not_obeyed(place, record):
    announce(record)
    (name,) = os.listdir(place)
    os.chown(place / name, HIM, HIM)
    assert known(record.state_dir) is None and records() == []


@needs_root
def test_a_folder_of_another_user_is_neither_obeyed_nor_written(place, record):
    announce(record)
    os.chown(place, HIM, HIM)
    assert known(record.state_dir) is None and records() == []
    with pytest.raises(NotOurs, match="another user"):
        announce(record._replace(label="another"))
    assert len(os.listdir(place)) == 1, "and nothing of his is removed"
