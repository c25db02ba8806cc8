"""A password file or a config that was mended is no use to a child that read it before: status and log name the remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pysubtask.common import read_from, registry
from pysubtask.testing import ftp_server
from tests.support.helpers import wait_until
from tests.support.run_station import TERM, Run, command, receipts, state_dir
from tests.support.station import SFTPStation


def plain(text: str) -> str:
    """Without the line breaks of a narrow terminal."""
    return " ".join(text.split())


def status(run: Run) -> str:
    return plain(command(run.folder, "status", **{**run.environ, "COLUMNS": "400"}).stdout)


@pytest.mark.slow
def test_a_mended_password_file_is_reported_to_need_a_reload(tmp_path: Path):
    with ftp_server(tmp_path / "ftp") as server:
        settings = server.settings()
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "a.csv").write_text("1\n")
        secret, config = tmp_path / "st.password", tmp_path / "st.toml"
        secret.write_text("wrong\n")
        secret.chmod(0o600)
        config.write_text(
            f'[base]\nRetryWaitSecs = 3\n[ftp]\nHost = "127.0.0.1"\nHostPort = {settings["HostPort"]}\n'
            f'UseSFTP = false\nUser = "{settings["User"]}"\nPasswordFile = "st.password"\nTimerIntervalSecs = 0.3\n'
            '[[watch]]\ndir = "data"\nsettle_secs = 0.1\n'
        )
        config.chmod(0o600)
        run = Run(tmp_path, config)
        try:
            run.says("LOGIN REFUSED!")
            assert "changed after the start" not in run.text() + status(run)
            secret.write_text(f"{settings['Password']}\n")
            message = f"PasswordFile ({secret}) was changed after the start; 'pysubtask reload' takes it up"
            # Between two pages it may be connecting.
            wait_until(lambda: message in status(run), 40, "the words of status")
            wait_until(lambda: message in run.command("retry").stdout, 40, "the words of retry")
            run.says(message)  # at the next refused login
            assert run.command("reload").returncode == 0
            wait_until(lambda: receipts(tmp_path / "data"), 60, "the receipt")
            wait_until(lambda: "changed after" not in status(run), 30, "it is taken up")
            # A comment in the config asks for no other child; read again it is not new any more.
            with config.open("a") as file:
                file.write("# mended\n")
            assert [what for what, _ in read_from.changed(str(state_dir(tmp_path / "data", "main")))] == ["the config"]
            assert "nothing changed" in run.command("reload").stdout
            assert read_from.changed(str(state_dir(tmp_path / "data", "main"))) == []
            run.signal(TERM)
            assert run.status() == 0
        finally:
            run.end()


@pytest.mark.slow
def test_an_app_is_advised_to_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    module = tmp_path / "mended_config.py"
    module.write_text("ftp = None\n")
    with ftp_server(tmp_path / "ftp") as server:
        ftp = {**server.settings(), "Password": "wrong", "Subtask_Log_FileName": str(tmp_path / "logs" / "child.txt")}
        for key in ("StallSecs", "ConnectTimeoutSecs", "Concurrency"):
            ftp.pop(key, None)
        station = SFTPStation(tmp_path, tmp_path / "served", ftp, RetryWaitSecs=2)
        try:
            station.master._supervisor._launcher.read_from = read_from.stamps_of({str(module): "the config"})
            module.write_text("ftp = 'another'\n")
            station.write("a.csv", "1\n")
            station.master.start()
            station.notify("a.csv")
            message = f"the config ({module}) was changed after the start; a restart of the app takes it up"
            wait_until(lambda: message in station.log(), 40, "the words")

            def status_output() -> str:
                return plain(command(tmp_path, "status", PYSUBTASK_REGISTRY=str(tmp_path / "registry"), COLUMNS="400").stdout)

            wait_until(lambda: message[1:] in status_output(), 40, "the words of status")
        finally:
            station.close()


def test_a_list_that_is_missing_or_odd_says_nothing(tmp_path: Path):
    assert read_from.change_text(str(tmp_path), "") == ""
    for text in ("", "[]", "{}", '{"files": {"/a": 1}}', '{"files": 3}'):
        (tmp_path / read_from.FILE).write_text(text)
        assert read_from.change_text(str(tmp_path), "x.toml") == ""


def test_what_is_gone_or_the_same_is_not_reported(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_text("x")
    read_from.write(str(tmp_path), read_from.stamps_of({str(one): "PasswordFile", str(other): "the config"}))
    assert read_from.changed(str(tmp_path)) == []
    one.unlink()
    os.utime(other, ns=(1, 1))
    assert read_from.changed(str(tmp_path)) == [("the config", str(other))]
    one.write_text("yy")
    assert "were changed" in read_from.change_text(str(tmp_path), "x.toml")
