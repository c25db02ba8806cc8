"""The list of files of earlier runs, from a master to a running child."""

import pytest

from pysubtask.common import residual


def test_a_list_is_taken_once_and_a_newer_one_replaces_it(tmp_path):
    assert residual.take(str(tmp_path)) == []
    residual.offer(str(tmp_path), ["/d/a"])
    residual.offer(str(tmp_path), ["/d/b", "/d/\udcff é\n"])
    assert residual.take(str(tmp_path)) == ["/d/b", "/d/\udcff é\n"]
    assert residual.take(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[1, null]", "\0"])
def test_garbage_is_no_list(tmp_path, text):
    (tmp_path / residual.FILE).write_text(text)
    assert residual.take(str(tmp_path)) == []
    residual.offer(str(tmp_path), ["/d/a"])
    assert residual.take(str(tmp_path)) == ["/d/a"]


def test_a_folder_that_is_gone_is_an_error_for_who_offers(tmp_path):
    with pytest.raises(OSError):
        residual.offer(str(tmp_path / "none"), [])
    assert residual.take(str(tmp_path / "none")) == []
