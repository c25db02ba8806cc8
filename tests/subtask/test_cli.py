"""The command line of a child: what it does before it is one."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pysubtask.common.cores import holds_secret
from tests.support.station import SFTPStation


@pytest.mark.parametrize(
    ("settings", "holds"),
    [
        ({}, False),
        ({"Password": None, "User": "u"}, False),
        ({"Password": ""}, False),
        ({"Password": "x"}, True),
        ({"AccessToken": "x"}, True),
        ({"PasswordFile": "/f"}, False),
        ({"RefreshTokenFile": "/f"}, True),
        ({"Proxy": "http://h:1"}, False),
        ({"Proxy": "http://u:p@h:1"}, True),
        ({"AnyPassphrase": "x"}, True),
    ],
)
def test_what_is_a_secret(settings, holds):
    assert holds_secret(settings) is holds


def test_no_core_of_this_process_nor_of_what_it_starts():
    code = (
        "import resource, subprocess, sys\n"
        "from pysubtask.common.cores import forbid_cores\n"
        "forbid_cores()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "print(subprocess.run(['/bin/sh', '-c', 'ulimit -c'], capture_output=True, text=True).stdout.strip())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["(0, 0)", "0"], done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="needs /proc")
@pytest.mark.parametrize("password", ["a password", None])
def test_a_child_with_a_password_leaves_no_core(password, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("no core files are allowed here at all")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    login = {"Host": "127.0.0.1", "HostPort": 1, "User": "u", "Password": password, "UseSFTP": False}
    try:
        station = SFTPStation(tmp_path, tmp_path, login, [{"file": str(tmp_path / "data" / "a.csv")}])
        try:
            station.master.start()
            station.write("a.csv", "x")
            station.notify("a.csv")
            limits = Path(f"/proc/{station.pid()}/limits").read_text()
        finally:
            station.close()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert (line.split()[4:6] == ["0", "0"]) is (password is not None)
