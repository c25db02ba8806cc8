import pytest

from pysubtask.common.label import label_of


@pytest.mark.parametrize(
    ("task", "config_file", "folder", "label"),
    [
        ("roof", "/etc/pysubtask/pysubtask.toml", "/data/cam", "roof"),
        ("main", "/home/pi/station.toml", "/data/cam", "station"),
        ("main", "/etc/pysubtask/pysubtask.toml", "/data/cam", "cam"),
        ("main", "", "/data/cam", "cam"),
        ("main", "", "/data/cam/", "cam"),
        ("main", "/app/my_config.py", "/data/cam", "cam"),
        ("main", "/home/pi/.toml", "/data/cam", "cam"),
        ("main", "", "/", "main"),
    ],
)
def test_a_label_is_the_name_the_config_or_the_folder(task, config_file, folder, label):
    assert label_of(task, config_file, folder) == label
