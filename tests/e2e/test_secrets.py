"""A password goes from the app to the server and is seen nowhere else."""

import pytest

from pysubtask.testing import sftp_server
from tests.support.helpers import command_lines, wait_until
from tests.support.station import SFTPStation

PASSWORD = "s3cret-Grüße-%@ 'quoted'"


@pytest.mark.slow
def test_the_password_is_in_no_argv_no_log_no_file_and_no_repr(tmp_path):
    with sftp_server(tmp_path / "files", password=PASSWORD) as server:
        settings = {**server.settings(), "KeyFile": None, "Password": PASSWORD}
        one = SFTPStation(tmp_path, tmp_path / "files", settings)
        try:
            with command_lines() as seen:
                one.write("a.csv", "1\n")
                one.master.start()
                one.notify("a.csv")
                one.arrived("a.csv")
                one.kill()
                one.write("a.csv", "2\n", "a")
                one.notify("a.csv")
                one.arrived("a.csv")
                wait_until(lambda: one.page().get("delivered"), what="a page that tells of it")
                reprs = repr(one.master) + repr(one.master.status()) + repr(one.master.__dict__)
        finally:
            one.master.stop(forcekill=False)
    assert server.logins >= 2
    assert any(b"sftp" in line for line in seen), "the look saw ssh"
    spellings = [PASSWORD, PASSWORD.encode().hex(), "s3cret"]
    assert [line for line in seen if any(word.encode() in line for word in spellings)] == []
    assert not any(word in reprs for word in spellings)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if any(word.encode() in path.read_bytes() for word in spellings)] == []


@pytest.mark.slow
def test_a_wrong_password_is_reported_without_being_repeated(tmp_path):
    with sftp_server(tmp_path / "files", password=PASSWORD) as server:
        settings = {**server.settings(), "KeyFile": None, "Password": "wr0ng-password"}
        one = SFTPStation(tmp_path, tmp_path / "files", settings)
        try:
            one.write("a.csv", "1\n")
            one.master.start()
            one.notify("a.csv")
            one.wait_kind("login_refused")
            wait_until(lambda: server.failed_logins >= 1, 60, what="the server saw it")
            wait_until(lambda: one.page().get("state") == "held", what="held")
            assert "LOGIN REFUSED!" in one.log()
            assert "wr0ng" not in one.log() + repr(one.page())
        finally:
            one.close()
