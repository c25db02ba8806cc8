"""docs/first-upload.md and the README's first lines, walked: what is typed there works, and prints what the page has.

ssh-keygen and ssh-copy-id are not typed here: they would change the keys of whoever runs the tests.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pysubtask.testing.servers.ftp import ftp_server
from pysubtask.testing.servers.sshd import missing, openssh_server
from tests.support import pages
from tests.support.helpers import wait_until
from tests.support.run_station import INT, Run, command, receipts
from tests.support.terminal import Terminal

PAGE = "first-upload.md"
FTP, SFTP = "FTP with a password", "SFTP with a key"


def screens(heading: str) -> dict[str, str]:
    """What was typed -> what was printed, of one heading of the page."""
    part = re.split(rf"^## {heading}$", pages.read(PAGE), flags=re.MULTILINE)[1]
    part = re.split(r"^## ", part, maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^```text\n\$ ([^\n]+)\n(.*?)^```$", part, re.DOTALL | re.MULTILINE))


def readme_lines(heading: str) -> list[str]:
    """The lines to type below one heading of the README."""
    text = (pages.ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^    (.+)$", text.split(f"**{heading}**", 1)[1].split("\n\n", 2)[1], re.MULTILINE)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "camera").mkdir(parents=True)
    for name in ("roof-0801.jpg", "roof-0802.jpg"):
        (folder / "camera" / name).write_bytes(name.encode() * 1000)
    (folder / "weather.csv").write_text("time,temp\n06:00,4.1\n")
    return folder


def config_of(screen: str) -> list[str]:
    """The lines of the config that init shows: from its comment to what the doctor says."""
    return screen.split("# pysubtask: ")[1].split("\nthis machine")[0].splitlines()


def walk(
    home: Path, heading: str, host: str, here: str, answers: list[tuple[str, str, bool]], more: list[str], **environ: str
) -> None:
    """Type what the page says, with ``here`` in the place of ``host``, and compare the output with the page."""
    screen_of = screens(heading)
    typed = [line for line in screen_of if line.startswith("pysubtask init ")]
    [run_line] = [line for line in screen_of if line.startswith("pysubtask run")]
    assert len(typed) == 1 and [line for line in readme_lines(heading) if line.startswith("pysubtask")] == [*typed, run_line]
    assert readme_lines(heading)[0].split()[0] == "cd", "the README left its reader in the clone"
    config = next((word for word in typed[0].split() if word.endswith(".toml")), None)
    assert run_line == " ".join(["pysubtask run", *([config] if config else [])])
    to_the_first_file = [line for line in screen_of if line not in ("pysubtask status", "pysubtask receipts")]
    assert len(readme_lines(heading)) <= 5 and len(to_the_first_file) <= 5
    with Terminal(home, *typed[0].replace(host, here).split()[1:], *more, **environ) as terminal:
        for question, answer, echo in answers:
            terminal.answer(question.replace(host, here), answer, echo=echo)
        status, seen = terminal.end()
    assert status == 0, seen
    for question, _, _ in answers:
        assert question in screen_of[typed[0]], "the page shows what is asked"
    expected = [line.replace("/home/pi", str(home)).replace(host, here) for line in config_of(screen_of[typed[0]])]
    assert [line for line in config_of(seen) if not line.startswith("KeyFile")] == expected
    end = screen_of[typed[0]].split("All is well.")[1].splitlines()
    seen_end = seen.split("All is well.")[1].replace(str(home), "/home/pi").splitlines()
    assert [line.split() for line in end] == [line.split() for line in seen_end[: len(end)]]  # the column depends on the home

    name = re.findall(r"Running: (\S+)", screen_of[run_line])[0]
    run = Run(home, None if config is None else home / config, **environ)
    try:
        names = re.findall(r"Uploaded \[(.*?)\]", screen_of[run_line])
        wait_until(lambda: sorted(one.name for one in receipts(home / "camera", name)) == sorted(names), 60, f"receipts of {names}")
        wait_until(lambda: sorted(re.findall(r"Uploaded \[(.*?)\]", run.text())) == sorted(names), 60, "the lines of the log")
        status_output = command(home, "status", COLUMNS="200").stdout
        assert status_output.splitlines()[0].split() == screen_of["pysubtask status"].splitlines()[0].split()
        receipts_output = command(home, "receipts").stdout
        for path in re.findall(r"^\d\d:\d\d:\d\d  /home/pi/(\S+)", screen_of["pysubtask receipts"], re.MULTILINE):
            assert str(home / path) in receipts_output
        run.signal(INT)
        assert run.status() == 130, run.text()
    finally:
        run.end()


@pytest.mark.slow
def test_ftp_with_a_password(home: Path, tmp_path: Path):
    with ftp_server(tmp_path / "server") as server:
        (tmp_path / "server" / "public_html").mkdir()
        here = f"{server.user}@{server.host}:{server.port}"
        answers = [("Password for ", server.password, False), ("Install that service now?", "n", True)]
        walk(home, FTP, "web1234@files.example.org", here, answers, [])
        assert (tmp_path / "server" / "public_html" / "weather.csv").read_text() == "time,temp\n06:00,4.1\n"


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_sftp_with_a_key(home: Path, tmp_path: Path):
    with openssh_server(tmp_path / "sshd") as server:
        # What ssh has from its own folder at home: the key and the known hosts.
        at_home = {
            f"PYSUBTASK_STATION7__FTP__{key}": str(value)
            for key, value in {"KEYFILE": server.key_file, "KNOWNHOSTSFILE": server.known_hosts, "SSHCONFIGFILE": "none"}.items()
        }
        answers = [("(Enter: log in by key)", "", False), ("Install that service now?", "n", True)]
        walk(home, SFTP, "station7@files.example.org", f"{server.user}@{server.host}:{server.port}", answers, [], **at_home)
        assert (server.files / "incoming" / "roof-0801.jpg").read_bytes() == b"roof-0801.jpg" * 1000


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_one_after_the_other_in_the_same_home(home: Path, tmp_path: Path):
    """Whoever has tried FTP types the lines of SFTP, and both go on."""
    typed = {
        heading: next(line for line in readme_lines(heading) if line.startswith("pysubtask init")).split()[1:]
        for heading in (FTP, SFTP)
    }
    with ftp_server(tmp_path / "server") as ftp, openssh_server(tmp_path / "sshd") as server:
        places = {FTP: f"{ftp.user}@{ftp.host}:{ftp.port}", SFTP: f"{server.user}@{server.host}:{server.port}"}
        at_home = {
            f"PYSUBTASK_STATION7__FTP__{key}": str(value)
            for key, value in {"KEYFILE": server.key_file, "KNOWNHOSTSFILE": server.known_hosts, "SSHCONFIGFILE": "none"}.items()
        }
        runs = []
        try:
            for heading, secret, config in (
                (FTP, {"PYSUBTASK_PASSWORD": ftp.password}, None),
                (SFTP, at_home, home / "station7.toml"),
            ):
                words = [re.sub(r"\w+@files\.example\.org", places[heading], word) for word in typed[heading]]
                done = command(home, *words, **secret)
                assert done.returncode == 0 and "All is well." in done.stdout, done.stdout + done.stderr
                runs.append(Run(home, config, **secret))
            for task, number in (("main", 3), ("station7", 2)):
                wait_until(lambda task=task, number=number: len(receipts(home / "camera", task)) == number, 60, f"files of {task}")
            output = command(home, "status", COLUMNS="200").stdout
            assert "camera/ftp " in output and "station7/ftp " in output and "destination changed" not in runs[-1].text(), output
        finally:
            for run in runs:
                run.end()
