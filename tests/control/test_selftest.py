"""The selftest: with a real server and a link that is really cut; and what it says where something is wrong."""

import json
import os
import subprocess
import sys

import pytest

from pysubtask.control.doctor.source import of_plan
from pysubtask.control.selftest import trouble
from pysubtask.control.selftest.feed import GROWING, Feed
from pysubtask.control.selftest.ftp_link import ports_in
from pysubtask.control.selftest.link import open_link
from pysubtask.control.selftest.reader import Reader
from pysubtask.control.selftest.run import SelfTest
from pysubtask.control.selftest.trouble import schedule
from pysubtask.master.child_config import plan
from pysubtask.testing import ftp_server
from pysubtask.testing.servers import sshd
from pysubtask.testing.servers.sshd import openssh_server

needs_sshd = pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))


def target(settings, tmp_path):
    return of_plan(plan("ftp", "pysubtask.ftp", {"ftp": settings}, str(tmp_path)), None, "python")


@pytest.mark.slow
@needs_sshd
def test_the_command_loses_nothing_over_a_link_that_is_cut(tmp_path):
    with openssh_server(tmp_path / "server") as server:
        (server.files / "kept.txt").touch()
        values = {**server.settings(HostPath="in/here"), "KeyFile": str(server.key_file), "UseSFTP": True}
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items() if value is not None)
        config = tmp_path / "station.toml"
        config.write_text(f'[ftp]\n{lines}\n[[watch]]\ndir = "data"\n')
        done = subprocess.run(
            [sys.executable, "-m", "pysubtask", "selftest", str(config), "--secs", "7", "--seed", "3", "--json"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        [report] = json.loads(done.stdout)
        assert report["lost"] == report["torn"] == report["left"] == report["not_cleaned"] == []
        assert report["troubles"] == ["cut", "drop", "stall"]
        assert report["files"] >= 3 and report["looks"] > 0 and report["on_link"] >= report["new_bytes"] > 0
        assert [path.name for path in server.files.rglob("*")] == ["kept.txt"]
        assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_data_connections_of_ftp_go_through_the_relay(tmp_path):
    with ftp_server(tmp_path / "files") as server:
        report = SelfTest(target(server.settings(), tmp_path), 5, 2, lambda words: None).run()
        assert report.passed and report.troubles == ("cut", "drop", "stall"), report
        assert report.on_link >= report.new_bytes
        assert server.names() == set() and list(server.files.iterdir()) == []


def test_what_is_lost_torn_or_left_is_found(tmp_path):
    with ftp_server(tmp_path / "files") as server:
        feed = Feed(str(tmp_path / "data"), 1)
        feed.grow()
        name, other = feed.put(), feed.put()
        reader = Reader("ftp", target(server.settings(HostPath="run"), tmp_path).settings, str(tmp_path / "work"), feed)
        try:
            reader.open()
            box = server.files / "run" / "box"
            box.mkdir(parents=True)
            right = (tmp_path / "data" / GROWING).read_bytes()
            (box.parent / GROWING).write_bytes(right[: len(right) // 2])
            (box / os.path.basename(name)).write_bytes(b"x" * feed.files[name])
            (box / ".pysubtask-0.part").touch()
            reader.check()
            assert reader.torn == [name]  # half of a growing file is no torn one
            assert set(reader.missing()) == {GROWING, other}
            assert [set(found) for found in reader.judge()] == [{GROWING, name, other}, {".pysubtask-0.part"}]
            assert reader.clean() == []
            assert list(server.files.iterdir()) == []
        finally:
            reader.close()


def test_where_no_relay_can_be_put_in_between(tmp_path):
    settings = {"Host": "127.0.0.1", "UseSFTP": False, "UseTLS": "explicit"}
    link = open_link(target(settings, tmp_path), str(tmp_path))
    assert link.relay is None and "TLS" in link.why and link.settings["Host"] == "127.0.0.1"


def test_troubles_are_drawn_from_the_seed_and_end_before_the_end():
    kinds = (trouble.CUT, trouble.DROP, trouble.STALL, trouble.REFUSE, trouble.KILL)
    for secs in (5, 60, 600):
        found = schedule(secs, 7, kinds)
        assert found == schedule(secs, 7, kinds) != schedule(secs, 8, kinds)
        assert len(found) >= 3 and found == sorted(found)
        assert all(one.at < 0.71 * secs for one in found)
    assert {one.kind for one in schedule(60, 7, kinds)} == set(kinds)


def test_ports_of_data_connections():
    assert ports_in(b"229 Entering Extended Passive Mode (|||30021|)\r\n227 Entering Passive Mode (10,0,0,1,117,70).\r\n") == [
        30021,
        30022,
    ]
    assert ports_in(b"220 (|||5|)\r\n229 (|||99999|)\r\n") == []
