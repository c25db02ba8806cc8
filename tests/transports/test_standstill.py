"""A link that drops large packets silently: reported as such, by the transports and by the doctor, over real TCP."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pysubtask.common.errors import TransportLost
from pysubtask.control.doctor.causes import login_finding
from pysubtask.control.doctor.file_causes import file_finding
from pysubtask.testing.link.bad_link import BadLink, bad_link
from pysubtask.testing.link.bad_link import missing as no_link
from pysubtask.testing.servers.sshd import missing, openssh_server
from pysubtask.transports.ftp.replies import Standstill, error_text
from pysubtask.transports.shared import standstill
from pysubtask.transports.shared.standstill import MTU, PROBE, TCPState

needs_link = pytest.mark.skipif(no_link() is not None, reason=f"no bad link: {no_link()}")
needs_sshd = pytest.mark.skipif(missing() is not None, reason=str(missing()))
HOLE = 1200


def info(repeats: int = 4, unacked: int = 2, acked: int = 1, received: int = 41, full: int = 1448) -> bytes:
    raw = bytearray(256)
    raw[2] = repeats
    for at, form, value in ((16, "=I", full), (24, "=I", unacked), (120, "=Q", acked), (128, "=Q", received)):
        struct.pack_into(form, raw, at, value)
    return bytes(raw)


@pytest.mark.parametrize(
    ("counts", "swallowed"),
    [
        ({}, True),
        ({"repeats": 2}, True),
        ({"acked": 1447}, True),
        ({"repeats": 1}, False),  # a packet is lost now and then
        ({"unacked": 0}, False),  # the other side has all of it: it is the server that is silent
        ({"acked": 1448}, False),  # a full packet has come through
        ({"full": 536}, False),  # no packet of this machine is large
    ],
)
def test_when_large_packets_are_swallowed(counts: dict[str, int], swallowed: bool):
    seen = standstill.read(info(**counts))
    assert seen is not None and seen.swallows() == swallowed


def test_what_came_through_before_the_hole_does_not_count():
    seen = TCPState(4, 2, 50_000, 9_000, 1448)
    assert not seen.swallows() and seen.swallows(49_000) and not seen.swallows(40_000)
    assert standstill.read(b"short") is None


def test_the_words_of_a_time_limit():
    assert error_text(TimeoutError(), 5) == "no answer for 5 s"
    assert error_text(Standstill(MTU), 5) == f"no answer for 5 s: {MTU}" and "MTU" in MTU


@pytest.mark.parametrize("sftp", [True, False])
def test_the_doctor_blames_the_path_and_not_the_server(sftp: bool):
    settings = {"Host": "h.example", "UseSFTP": sftp}
    for found in (
        login_finding(TransportLost(f"no login: {MTU}", "x"), settings),
        file_finding("write", TransportLost(f"no answer for 5 s: {MTU}"), settings, ""),
    ):
        assert found.cause == "mtu" and found.remedy.commands == (PROBE, "ip route get h.example")
        assert "restarted" not in found.remedy.words and "1280" in found.remedy.words


# --- real TCP

NEAR = """
import asyncio, json, os, sys, tempfile, time
from pysubtask.common.errors import TransportError
from pysubtask.control.doctor.examine import Times, examine
from pysubtask.control.doctor.source import of_plan
from pysubtask.master.child_config import plan
from pysubtask.transports import transport_class
from pysubtask.transports.base import Job

settings, large = json.loads(sys.argv[1]), int(sys.argv[2])
task_plan = plan("ftp", "pysubtask.ftp", {"ftp": settings}, os.getcwd())
name = "sftp" if settings.get("UseSFTP", True) else "ftp"


async def upload(transport, size):
    with open("data", "wb") as file:
        file.write(os.urandom(size))
    await transport.upload(Job("data", size, None, f"f{size}", f".pysubtask-{os.urandom(4).hex()}.part"), lambda done: None)


async def main():
    answers = {}
    transport = transport_class(name)(task_plan.settings, os.path.join(os.getcwd(), "work"))
    for size in (300, large):
        try:
            if size == 300:
                await transport.connect()
            await upload(transport, size)
            answers[size] = "arrived"
        except TransportError as exc:
            answers[size] = str(exc)
    await transport.close()
    target = of_plan(task_plan, None, "toml")
    answers["doctor"] = [finding.cause async for finding in examine(target, Times(login=6)) if finding.state == "fail"]
    print(json.dumps(answers))

asyncio.run(main())
"""
FTPD = """
import json, sys, time
from pathlib import Path
from pysubtask.testing.servers.ftp import FTPServer, Oddities
server = FTPServer(Path(sys.argv[1]), sys.argv[2], None, None, Oddities())
server.start()
print(json.dumps(server.settings()), flush=True)
time.sleep(600)
"""


@pytest.fixture
def link() -> Iterator[BadLink]:
    with bad_link() as link:
        yield link


def driven(link: BadLink, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What a transport and the doctor on the near side say."""
    folder.mkdir()
    fast = {"ConnectTimeoutSecs": 6, "StallSecs": 5, **settings}
    words = [sys.executable, "-c", NEAR, json.dumps(fast), "300000"]
    done = link.run_near(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


@needs_link
@needs_sshd
@pytest.mark.slow
@pytest.mark.parametrize("largest", [None, HOLE])
def test_sftp_through_a_black_hole(link: BadLink, tmp_path: Path, largest: int | None):
    with openssh_server(tmp_path / "sshd", host=link.far_address, within=link.far) as server:
        link.set(largest=largest)
        outcome = driven(link, tmp_path / "near", server.settings())
    if largest is None:
        assert outcome == {"300": "arrived", "300000": "arrived", "doctor": []}
    else:  # the keys that ssh exchanges are the first large packet
        assert (
            MTU in outcome["300"] and "says its name" in outcome["300"] and PROBE in outcome["300"] and outcome["doctor"] == ["mtu"]
        ), outcome


@needs_link
@pytest.mark.slow
@pytest.mark.parametrize("largest", [None, HOLE])
def test_ftp_through_a_black_hole(link: BadLink, tmp_path: Path, largest: int | None):
    """What is small arrives, and what is large says why it does not."""
    words = [sys.executable, "-c", textwrap.dedent(FTPD), str(tmp_path / "files"), link.far_address]
    with link.start_far(
        words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ) as server:
        assert server.stdout is not None
        settings = json.loads(server.stdout.readline())
        link.set(largest=largest)
        outcome = driven(link, tmp_path / "near", settings)
        server.kill()
    assert outcome["300"] == "arrived", outcome
    assert outcome["300000"] == "arrived" if largest is None else MTU in outcome["300000"], outcome
    assert outcome["doctor"] == ([] if largest is None else ["mtu"]), outcome


@needs_link
@needs_sshd
@pytest.mark.slow
def test_a_link_that_is_down_is_not_called_that(link: BadLink, tmp_path: Path):
    with openssh_server(tmp_path / "sshd", host=link.far_address, within=link.far) as server:
        settings = server.settings()
        link.outages([(1.5, 600.0)])
        outcome = driven(link, tmp_path / "near", {**settings, "StallSecs": 5, "RateLimit": 50_000})
    assert "MTU" not in json.dumps(outcome), outcome
