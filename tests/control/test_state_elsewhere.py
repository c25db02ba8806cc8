"""The commands where a task's state is not in its first folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pysubtask.common import own_folders, registry
from pysubtask.common.receipts import Receipt, append
from pysubtask.common.state_place import hash_of
from pysubtask.common.status import read_status
from pysubtask.control.commands import check as check_module
from pysubtask.subtask.spool.spool import Spool
from tests.support.helpers import wait_until
from tests.support.other_user import as_him, give_him, open_folder
from tests.support.run_station import HUP, TERM, Run

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a system without users and modes")


def station(folder: Path, **base: str) -> Path:
    """A config whose server is not there, and whose folder everybody may write."""
    (folder / "data").mkdir()
    (folder / "data").chmod(0o1777)
    (folder / "data" / "a.csv").write_text("1\n")
    return config(folder, **base)


def config(folder: Path, **base: str) -> Path:
    path = folder / "st.toml"
    lines = "".join(f'{key} = "{value}"\n' for key, value in base.items())
    path.write_text(
        f'[ftp]\nHost = "127.0.0.1"\nHostPort = 1\nSSHConfigFile = "none"\n[base]\nStopWaitSecs = 1\n{lines}[[watch]]\n'
        f'file = "{folder}/data/a.csv"\n'
    )
    path.chmod(0o600)
    return path


def below(base: Path, data: Path) -> Path:
    return base / hash_of(str(data)) / "main" / "ftp"


def queued(state: Path) -> bool:
    return ((read_status(str(state)) or {}).get("queue") or {}).get("waiting") == 1


@pytest.mark.slow
def test_a_run_is_found_and_moves_its_state_at_a_reload(tmp_path: Path):
    first, second = tmp_path / ".local" / "state" / "pysubtask" / "state", tmp_path / "second"
    second.mkdir(mode=0o700)
    run = Run(tmp_path, station(tmp_path))
    data = tmp_path / "data"
    try:
        wait_until(lambda: queued(below(first, data)), 60, "the file in the queue")
        assert not (data / ".pysubtask").exists()
        status = run.command("status").stdout
        assert "State kept in" in status and str(below(first, data)) in re.sub(r"\s", "", status), status
        for words in (["queue"], ["pause"], ["get", "RetryCount"], ["resume"], ["status", str(data)], ["doctor"]):
            done = run.command(*words)
            assert done.returncode == 0 or words[0] == "doctor", (words, done.stdout + done.stderr)
        assert str(below(first, data)) in run.command("doctor", "st.toml").stdout
        config(tmp_path, StateFolder=str(second))
        run.signal(HUP)
        wait_until(lambda: queued(below(second, data)), 60, "the same queue in another place")
        wait_until(lambda: not below(first, data).exists(), 60, "nothing is left in the old one")
        assert "State kept in" in run.command("status").stdout
        assert "a.csv" in run.command("queue").stdout
        run.signal(TERM)
        assert run.status() == 0
        # What a child that is dead has left is found, too.
        assert "a.csv" in run.command("queue").stdout
    finally:
        run.end()


def check(path: Path) -> tuple[str, str]:
    """What it prints, and why it is refused."""
    done = CliRunner().invoke(check_module.command, [str(path)], standalone_mode=False)
    return done.output, str(done.exception or "")


def test_check_tells_where_and_that_it_cannot_be(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with open_folder() as folder:
        path = station(folder)
        (folder / "closed").mkdir(mode=0o555)
        monkeypatch.setenv(registry.VARIABLE, str(folder / "registry"))
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        output, refused = check(path)
        assert not refused and "may be written by others" in output
        assert f"its state is kept in {below(folder / 'state' / 'pysubtask' / 'state', folder / 'data')}" in output
        assert not (folder / "state").exists(), "nothing is made"
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "closed"))
        give_him(folder)

        def try_it() -> None:
            _, refused = check(path)
            assert "StateFolder" in refused and "pysubtask service --install" in refused, refused

        if os.geteuid() == 0:
            as_him(try_it)
        else:
            try_it()


def test_deliveries_from_the_old_place_are_known_before_the_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = station(tmp_path)
    found = os.stat(tmp_path / "data" / "a.csv")
    old = tmp_path / "data" / ".pysubtask" / "main" / "ftp"
    own_folders.make_folder(str(old))
    receipt = Receipt(
        1,
        "2026-11-29T20:00:00.000Z",
        str(tmp_path / "data" / "a.csv"),
        "a.csv",
        "sftp://127.0.0.1:1/",
        found.st_size,
        found.st_mtime_ns,
        "0" * 64,
        2,
        "size",
        2,
        None,
    )
    append(str(old), [receipt])
    assert "would send 1 file" in check(path)[0], "there is no queue beside it"
    Spool(str(old / "spool.db"), "sftp://127.0.0.1:1/", 0.0).close()
    assert "delivered as they are: 1 file" in check(path)[0]
