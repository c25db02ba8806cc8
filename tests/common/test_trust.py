"""In which folders our own files are safe from others."""

import os

import pytest

from pysubtask.common import trust
from pysubtask.common.trust import doubt_about

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a system without users and modes")
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="makes folders of other users: needs root")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "a" / "data"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        each.chmod(0o755)
    return folder


def test_an_ordinary_folder_is_safe(data):
    assert doubt_about(str(data)) is None


@pytest.mark.parametrize(("mode", "problem"), [(0o777, "by others"), (0o775, "by its group"), (0o1777, "by others")])
def test_a_folder_that_others_may_write_is_not(data, mode, problem, monkeypatch):
    monkeypatch.setattr(trust, "is_own_group", lambda gid, uid: False)
    data.chmod(mode)
    found = doubt_about(str(data))
    assert found is not None and found.folder == str(data) and problem in found.problem
    assert str(data) in str(found)


def test_nor_is_one_below_a_folder_that_others_may_write(data):
    data.parent.chmod(0o777)
    found = doubt_about(str(data))
    assert found is not None and found.folder == str(data.parent)


def test_a_sticky_folder_above_a_folder_of_ours_is_safe(data):
    data.parent.chmod(0o1777)
    assert doubt_about(str(data)) is None


def test_a_link_is_looked_at_where_it_leads(data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    data.chmod(0o777)
    found = doubt_about(str(tmp_path / "link"))
    assert found is not None and found.folder == str(data)


@needs_root
def test_a_folder_of_another_user_is_not_safe_for_root_either(data):
    os.chown(data, 12345, 12345)
    found = doubt_about(str(data))
    assert found is not None and "another user" in found.problem


@needs_root
def test_a_folder_below_one_of_another_user_is_not_safe(data):
    os.chown(data.parent, 12345, 12345)
    found = doubt_about(str(data))
    assert found is not None and found.folder == str(data.parent)


def test_the_users_own_group_is_nobody_else(data, monkeypatch):
    """Homes of a distribution with a group for each user, made with a umask of 002."""
    monkeypatch.setattr(trust, "is_own_group", lambda gid, uid: True)
    data.chmod(0o775)
    assert doubt_about(str(data)) is None
    data.chmod(0o777)
    assert doubt_about(str(data)) is not None


def test_a_group_is_ones_own_by_its_name_and_members(monkeypatch):
    import grp
    import pwd

    user = pwd.struct_passwd(("pi", "x", 1000, 1000, "", "/home/pi", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: user)
    for name, members, own in (("pi", [], True), ("pi", ["pi"], True), ("pi", ["pi", "eve"], False), ("staff", [], False)):
        group = grp.struct_group((name, "x", 1000, members))
        monkeypatch.setattr(grp, "getgrgid", lambda gid, group=group: group)
        assert trust.is_own_group(1000, 1000) is own, (name, members)
    assert not trust.is_own_group(1001, 1000), "a group that is not his first one"


@pytest.mark.parametrize("path", ["/", "/home", "/srv", "/usr/lib"])
def test_folders_as_distributions_make_them_are_safe(path):
    if not os.path.isdir(path):
        pytest.skip(f"this system has no {path}")
    assert doubt_about(path) is None
