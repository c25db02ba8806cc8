"""The programs of docs/alerts.md are run, with a mail and a curl that write down what they get."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import pages
from tests.support.task_statuses import ALERT


@pytest.fixture
def run(tmp_path: Path):
    pages.write("alerts.md", tmp_path)
    for name in ("mail", "curl"):
        (tmp_path / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/args\ncat > {tmp_path}/in\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "check-url").write_text("https://hc.example.org/abc\n")

    def call(name: str, event: str, *words: str) -> tuple[list[str], str]:
        environ = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "CHECK_URL_FILE": str(tmp_path / "check-url"),
            **ALERT._replace(event=event, why="He said \"$(touch x)\" & 'no'").environment(),
        }
        subprocess.run(
            ["sh", str(tmp_path / name), *words], env=environ, input=ALERT.as_json(), check=True, cwd=tmp_path, timeout=60
        )
        assert not (tmp_path / "x").exists()
        return (tmp_path / "args").read_text().splitlines(), (tmp_path / "in").read_text()

    return call


def test_mail(run):
    args, text = run("alert-mail", "begins", "me@example.org")
    assert args == ["-s", "pysubtask on roof7: roof/ftp: held", "me@example.org"]
    assert text.startswith("He said \"$(touch x)\" & 'no'\n") and "3 files wait, 1 are parked." in text


@pytest.mark.parametrize(("event", "priority"), [("begins", "high"), ("over", "default")])
def test_ntfy(run, event: str, priority: str):
    args, _ = run("alert-ntfy", event)
    assert f"Priority: {priority}" in args and "He said \"$(touch x)\" & 'no'" in args and not any("ntfy.sh" in arg for arg in args)


@pytest.mark.parametrize(("event", "end"), [("begins", "/fail"), ("lasts", "/fail"), ("over", ""), ("test", "")])
def test_healthchecks(run, event: str, end: str):
    args, text = run("alert-healthchecks", event)
    assert text == f'url = "https://hc.example.org/abc{end}"\n' and not any("hc.example.org" in arg for arg in args)
