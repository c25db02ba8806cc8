"""The benchmarks run, name what is missing, and leave nothing behind. Their figures are not judged here."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.all import NAMES, as_section, command, replaced
from benchmarks.day import outages, plan
from benchmarks.station import Journal
from pysubtask.testing.link.bad_link import missing as link_missing
from pysubtask.testing.servers.sshd import descendants, find_program, missing
from tests.support.helpers import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=missing() or "")]

_ROOT = Path(__file__).parent.parent


def _start(name, tmp_path, *options, **environment):
    (tmp_path / "made").mkdir()
    argv = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", str(tmp_path / "figures.json"), *options]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path / "made")} | environment,
    )


def _run(name, tmp_path, *options, **environment):
    """The rows by their names, and the table as it is printed."""
    process = _start(name, tmp_path, *options, **environment)
    try:
        output, errors = process.communicate(timeout=110)
    finally:
        process.kill()
    assert process.returncode == 0, output + errors
    assert os.listdir(tmp_path / "made") == []
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["machine"] and figures["date"] and f"python -m benchmarks.{name} --quick" in figures["command"]
    rows = {row["name"]: row for row in figures["rows"]}
    assert all(f"| {row}" in output for row in rows)
    assert not [row["problem"] for row in rows.values() if row["problem"] and row["problem"].startswith("failed")]
    return rows, output


def test_bulk(tmp_path):
    rows, _ = _run("bulk", tmp_path, "--only", "pysubtask", "--only", "OpenSSH sftp")
    ours = rows["pysubtask SFTPTransport"]
    assert 0.1 < ours["mb_per_sec"] < 10_000
    assert 10 < ours["rss_mb"] < 300
    assert 0.01 < ours["cpu_secs"] < 20
    assert ours["mb_per_sec"] > rows["pysubtask SFTPTransport, with Python's start"]["mb_per_sec"]
    if not rows["OpenSSH sftp"]["problem"]:
        assert ours["ratio"] == pytest.approx(ours["mb_per_sec"] / rows["OpenSSH sftp"]["mb_per_sec"])


def test_child(tmp_path):
    """Beside another checkout, which is this one again."""
    rows, _ = _run(
        "child",
        tmp_path,
        "--other",
        str(_ROOT),
        "--dir",
        str(tmp_path / "made"),
        "--files",
        "60",
        "--notifies",
        "20",
        "--watched",
        "50",
    )
    works = ("a small file", "a notify", "64 KB more of 20 MB", "a second at rest")
    assert list(rows) == [f"{work}: {which}" for work in works for which in ("this", "other")]
    for name, row in rows.items():
        assert (row["cpu"] > 0 or "rest" in name) and row["cpu"] < 1000 and 5 < row["resident"] < 500
        assert (row["seen"] is not None) == ("notify" in name or "more" in name)
        assert row["cpu"] == pytest.approx(row["user"] + row["system"])
        if find_program("strace"):
            assert 10 < row["calls"] < 10_000


def test_small(tmp_path):
    rows, _ = _run("small", tmp_path, "--only", "64 in flight", "--only", "end to end", "--only", "mirror -R -P")
    alone, whole = rows["pysubtask SFTPTransport, 64 in flight"], rows["pysubtask end to end"]
    assert 0.5 < alone["files_per_sec"] < 100_000
    assert 0.5 < whole["files_per_sec"] < 100_000
    assert alone["alone"] == whole["whole"] == 1


@pytest.mark.skipif(link_missing() is not None, reason=f"no bad link: {link_missing()}")
def test_small_with_a_server_far_away(tmp_path):
    rows, output = _run("small", tmp_path, "--rtt", "100", "--only", "256 in flight")
    # A login and three more round trips at the least.
    assert 0.5 < rows["pysubtask SFTPTransport, 256 in flight"]["secs"] < 60 and "100 ms round trip" in output


def test_latency(tmp_path):
    rows, _ = _run("latency", tmp_path, "--only", "pysubtask", "--only", "rclone")
    ours = rows["pysubtask append + notify"]
    assert 0.1 < ours["best_ms"] <= ours["p50_ms"] <= ours["p99_ms"] < 30_000
    assert ours["changes"] == 10


def test_append(tmp_path):
    rows, _ = _run("append", tmp_path, "--only", "'append': True, cold", "--only", "rsync --append")
    ours = rows["64 KB appended: pysubtask, 'append': True, cold"]
    # At the least what is new has gone over the wire.
    assert 64 <= ours["up_kb"] < 5000 and ours["per_new"] >= 1
    assert 0.001 < ours["secs"] < 60


def test_flash(tmp_path):
    rows, _ = _run("flash", tmp_path, "--only", "pysubtask", "--only", "tail -F", "--notifies", "4")
    for name in ("pysubtask", "pysubtask, 'append': True"):
        # A file of 1 MB: what is written is what is new, and the pages of the queue.
        assert 0 <= rows[name]["kb"] < 512 and rows[name]["idle"] == 0
    assert rows["tail -F | ssh cat"]["kb"] < 512


def test_idle(tmp_path):
    rows, _ = _run("idle", tmp_path, "--only", "one 'dir'", "--only", "polling")
    child, scan = rows["pysubtask, one 'dir', 50 files"], rows["pysubtask, one look by polling alone, 200 files"]
    assert all(0 <= child[key] < 200 for key in ("percent", "open", "close")) and 10 < child["rss_mb"] < 300
    assert 0 < scan["again_ms"] < 20_000 and 0 <= scan["part"] <= 100


def test_master(tmp_path):
    rows, _ = _run("master", tmp_path, "--only", "pysubtask")
    child = rows["pysubtask uploads (child)"]
    assert 0 <= child["p50"] <= child["p99"] <= child["worst"] and 0 <= child["share"] <= 100
    assert child["mb_per_sec"] > 0.1 and 0.1 < child["notify_us"] <= child["notify_p99"]
    assert rows["import pysubtask.ftp"]["import_ms"] > 0


@pytest.mark.skipif(link_missing() is not None, reason=f"no bad link: {link_missing()}")
def test_station(tmp_path):
    rows, _ = _run("station", tmp_path, "--only", "pysubtask, default", "--secs", "3")
    ours = rows["pysubtask, default"]
    assert ours["drained"] is not None
    # Whole IP packets: the new bytes and their headers at the least.
    assert 1.03 < ours["per_new"] < 10 and 0 < ours["back"] < ours["per_new"]
    assert 0 <= ours["p50"] <= ours["p95"] <= ours["worst"]
    assert 10 < ours["child_mb"] <= ours["rss_mb"] + 5 and ours["cpu"] > 0


def test_control(tmp_path):
    rows, _ = _run("control", tmp_path, "--only", "pysubtask get", "--only", "ten followers", "--only", "idle", "--only", "Pyro5")
    assert 0.01 < rows["pysubtask get"]["p50"] <= rows["pysubtask get"]["p99"] < 10_000
    assert rows["changes to ten followers, 2,000 a second"]["lost"] == 0
    assert rows["idle for 1 s"]["writes"] == 0
    assert rows["Pyro5 call"]["problem"] is None or "pip install Pyro5" in rows["Pyro5 call"]["problem"]


def test_days_are_the_same_and_the_link_is_down_as_long_as_given():
    assert plan(120, 20, 1) == plan(120, 20, 1) != plan(120, 20, 2)
    names = {write.name for write in plan(120, 20, 1)}
    assert len([name for name in names if name.startswith("data/")]) == 20 and "pictures/0010.jpg" in names
    down = outages(120, 0.3, 1)
    assert sum(end - begin for begin, end in down) == pytest.approx(36) and down[0][0] >= 0 and down[-1][1] <= 120
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(down))
    assert outages(120, 0, 1) == []


def test_what_is_behind(tmp_path):
    (tmp_path / "journal").write_text("100.0 a 10\n110.0 a 20\n120.0 a 30\n")
    journal = Journal(tmp_path / "journal")
    assert journal.behind("a", 0, 99.0) is None
    assert [journal.behind("a", there, 121.0) for there in (0, 9, 10, 19, 20, 30, 40)] == [21, 21, 11, 11, 1, 0, 0]
    assert journal.behind("a", 10, 105.0) == 0


def test_the_page_has_a_place_for_each_table():
    page = (_ROOT / "docs" / "benchmarks.md").read_text()
    for name in NAMES:
        new = replaced(page, name, f"| figures of {name} |")
        assert replaced(new, name, "") != new and f"<!-- table: {name} -->\n\n| figures of {name} |\n\n<!-- end -->" in new
        assert f"`python -m benchmarks.{' '.join(command(name))}`" in page.replace("\n", " ")
    with pytest.raises(ValueError, match="nothing"):
        replaced(page, "nothing", "")


def test_what_was_printed_becomes_a_section():
    printed = "\n## bulk\n\n| a |\n| - |\n\n- a note: of it\n\ndate: today\ncommand: python -m benchmarks.bulk\n"
    assert as_section(printed) == "| a |\n| - |\n\n- a note: of it\n- date: today\n- command: python -m benchmarks.bulk"


def test_a_program_that_is_not_installed_is_named(tmp_path):
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("ssh", "ssh-keygen", "sh"):
        os.symlink(find_program(name), place / name)
    rows, output = _run("small", tmp_path, "--only", "rsync", PATH=str(place))
    assert rows["rsync -rt"]["problem"] == "missing: apt-get install rsync"
    assert "missing: apt-get install rsync" in output


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    process = _start("small", tmp_path, "--only", "end to end", "--files", "1000")
    try:
        # Master, child, sshd: all that it starts, at its busiest.
        wait_until(lambda: list((tmp_path / "made").glob("*/sshd/files/in-*/f*.dat")), 60, "the first file on the server")
        below = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert below
    assert not [pid for pid in below if _lives(pid)]
    assert os.listdir(tmp_path / "made") == []


def _lives(pid):
    """A process that ended and that nobody has waited for is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
