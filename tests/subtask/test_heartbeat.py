import json
import os

from pysubtask.common.heartbeat import content, is_past_due
from pysubtask.subtask.status.heartbeat import Heartbeat, make


def test_the_number_is_the_interval_and_ten_seconds_to_transfer():
    assert content(60) == "70\n"
    assert content(0.5) == "11\n"
    assert int(content(60.0)) == 70


def test_the_first_beat_is_due_at_once_and_the_rest_do_not_drift(tmp_path):
    beat = Heartbeat(60, str(tmp_path / "x.heartbeat"), None)
    assert beat.is_due(1000.0)
    beat.asked(1000.0)
    assert not beat.is_due(1059.9)
    assert beat.is_due(1061.5)
    beat.asked(1061.5)
    assert beat.next_at() == 1120.0
    beat.asked(5000.0)
    assert beat.next_at() == 5060.0, "after a long stop one beat, not many"


def test_an_interval_of_nought_is_none(tmp_path):
    beat = Heartbeat(0, str(tmp_path / "x.heartbeat"), None)
    assert not beat.is_due(10**9)
    assert beat.next_at() is None


def test_files_are_written_anew_at_each_beat_and_removed(tmp_path):
    beat = Heartbeat(60, str(tmp_path / "x.heartbeat"), str(tmp_path / "x.heartbeat.json"))
    assert beat.write(5.0, {"queued": 3}) == [beat.file, beat.status]
    assert (tmp_path / "x.heartbeat").read_text() == "70\n"
    assert json.loads((tmp_path / "x.heartbeat.json").read_text()) == {"queued": 3}
    os.utime(beat.file, (1, 1))
    beat.write(6.0, {"queued": 4})
    assert os.stat(beat.file).st_mtime > 1
    beat.remove()
    beat.remove()
    assert os.listdir(tmp_path) == []


def test_names_and_places(tmp_path):
    settings = {"HeartbeatName": None, "HeartbeatIntervalSecs": 60, "HeartbeatStatus": False}
    assert make(settings, "/data", "/state", True, lambda: "station7").file == "/data/station7.heartbeat"
    assert make(settings, "/data", "/state", False, lambda: "station7").file == "/state/station7.heartbeat"
    settings.update(HeartbeatName="roof", HeartbeatStatus=True)
    assert make(settings, "/data", "/state", True, lambda: "station7").status == "/state/roof.heartbeat.json"


def test_past_due_is_the_time_of_the_file_plus_its_number(tmp_path):
    file = tmp_path / "x.heartbeat"
    file.write_text("70\n")
    os.utime(file, (1000, 1000))
    assert not is_past_due(str(file), 1070)
    assert is_past_due(str(file), 1070.5)


def test_a_link_in_a_heartbeats_place_is_not_written_through(tmp_path):
    """The file lies in the data folder, where others may write, under a name that anybody can foresee."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    data = tmp_path / "data"
    data.mkdir()
    for name in (".st7.heartbeat.part", "st7.heartbeat", "st7.heartbeat.part"):
        (data / name).symlink_to(precious)
    beat = Heartbeat(60, str(data / "st7.heartbeat"), None)
    beat.write(0.0, {})
    assert precious.read_text() == "mine"
    assert (data / "st7.heartbeat").read_text() == "70\n" and not (data / "st7.heartbeat").is_symlink()
