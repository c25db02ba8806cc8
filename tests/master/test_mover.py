"""Moving old files away: through no link of another user's, and nothing that is neither ours nor the folder's owner's."""

import os

import pytest

from pysubtask.master import mover
from pysubtask.master.mover import Mover, Old
from tests.master.test_archive import Place
from tests.support.other_user import HIM, as_him, give_him, needs_root, open_folder

DAY = "202611/11"


@pytest.fixture
def tmp_path():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def one(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def roots(tmp_path):
    """A folder of root's (of this user's) that nobody else may write."""
    folder = tmp_path / "profile.d"
    folder.mkdir(mode=0o755)
    return folder


def test_by_path_the_same_is_done(one, monkeypatch):
    """As on Windows, where there are no descriptors of folders."""
    monkeypatch.setattr(mover, "BY_DESCRIPTOR", False)
    for _ in range(2):
        one.make("n.txt")
        assert one.run() == 1
    path = one.make("a.csv")
    one.receipt(path)
    one.make("a.csv.notify", days=0)
    assert one.run() == 1
    assert one.archived() == [f"{DAY}/a.csv", f"{DAY}/n.txt", f"{DAY}/n_1.txt"] and one.there() == []


def test_nothing_stays_open(one):
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for number in range(40):
        one.make(f"n{number}.txt", days=5 + number)
    assert one.run() == 40
    after = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    assert len(after) == len(before)


@needs_root
@pytest.mark.parametrize("part", ["archive", "archive/202611", "archive/202611/11"])
def test_roots_archive_goes_through_no_link_of_the_user(one, roots, tmp_path, part):
    evil = one.make("evil.sh")
    give_him(one.data)

    def prepare():
        link = one.data / part
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(roots)

    as_him(prepare)
    assert one.run() == 0
    assert os.listdir(roots) == [] and evil.exists()
    (line,) = one.lines
    assert "stay" in line and "is a link" in line


@needs_root
def test_roots_archive_takes_nothing_behind_a_link_of_the_user(one, roots, tmp_path):
    """The watched folder itself becomes a link after it was looked at, or before."""
    precious = roots / "old.conf"
    precious.write_text("x")
    os.utime(precious, (0, 0))
    home = tmp_path / "home"
    home.mkdir()
    give_him(home)
    as_him(lambda: (home / "data").symlink_to(roots))
    found = precious.stat()
    with pytest.raises(PermissionError, match="is a link"):
        Mover(str(home / "data")).move(
            Old(str(home / "data" / "old.conf"), found.st_size, found.st_mtime_ns, found.st_ino),
            str(home / "data" / "archive"),
            sure=False,
        )
    assert os.listdir(roots) == ["old.conf"]


@needs_root
def test_only_files_of_this_user_or_the_folders_owner_are_moved(one, tmp_path):
    give_him(one.data)
    names = {"roots.txt": 0, "his.txt": HIM, "third.txt": HIM + 1}
    for name, uid in names.items():
        os.chown(one.make(name), uid, uid)
    assert one.run() == 2
    assert one.archived() == [f"{DAY}/his.txt", f"{DAY}/roots.txt"] and one.there() == ["third.txt"]
    assert [line for line in one.lines if "another user" in line and "third.txt" in line]


@needs_root
def test_a_users_archive_goes_through_no_link_of_another(one, tmp_path, roots):
    """A folder that a third user may write too."""
    one.make("n.txt")
    give_him(one.data, roots)
    one.data.chmod(0o777)
    (one.data / "archive").symlink_to(roots)
    os.chown(one.data / "archive", HIM + 1, HIM + 1, follow_symlinks=False)

    def run():
        assert one.run() == 0

    as_him(run)
    assert os.listdir(roots) == [] and one.there() == ["n.txt"]


def test_the_users_own_link_is_followed(one, tmp_path):
    """An archive that was moved to another folder, with a link to it; only he may write where the link lies."""
    (tmp_path / "big").mkdir()
    one.data.chmod(0o755)
    (one.data / "archive").symlink_to("../big")
    one.make("n.txt")
    assert one.run() == 1
    assert (tmp_path / "big" / DAY / "n.txt").exists()


def test_the_users_link_is_not_followed_where_others_may_write(one, tmp_path):
    (tmp_path / "big").mkdir()
    (one.data / "archive").symlink_to(tmp_path / "big")
    one.data.chmod(0o777)
    one.make("n.txt")
    assert one.run() == 0 and os.listdir(tmp_path / "big") == []
    one.data.chmod(0o1777)
    assert one.run() == 1, "in a sticky folder nobody else may change our link"


def test_a_data_folder_behind_a_link_of_ours_has_its_archive(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    one = Place(tmp_path)
    one.make("n.txt")
    assert one.run() == 1 and one.archived() == [f"{DAY}/n.txt"]


def test_links_in_a_ring_end(one, tmp_path):
    (one.data / "archive").symlink_to("ring")
    (one.data / "ring").symlink_to("archive")
    one.make("n.txt")
    assert one.run() == 0 and one.there() == ["n.txt"]


def test_an_archive_elsewhere_is_created_the_data_folder_never(tmp_path):
    one = Place(tmp_path, archive=str(tmp_path / "x" / "old"))
    one.make("n.txt")
    assert one.run() == 1 and (tmp_path / "x" / "old" / DAY / "n.txt").exists()
    lost = Mover(str(tmp_path / "gone" / "data"))
    path = one.make("m.txt")
    found = path.stat()
    with pytest.raises(FileNotFoundError):
        lost.move(
            Old(str(path), found.st_size, found.st_mtime_ns, found.st_ino), str(tmp_path / "gone" / "data" / "archive"), sure=False
        )
    lost.close()
    assert not (tmp_path / "gone").exists() and path.exists()
