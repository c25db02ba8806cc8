"""The programs that docs/daemons.md shows are run, and what it says of names is so."""

from __future__ import annotations

import re
from pathlib import Path

import pysubtask
from pysubtask import compat
from tests.support import pages
from tests.support.daemons import Program, get

TEXT = pages.read("daemons.md")


def file_of(name: str) -> str:
    """The source below ``<!-- file: name -->``."""
    found = re.search(rf"<!-- file: {re.escape(name)} -->\n```python\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_does_what_the_page_says(place):
    Path(place / "dome.py").write_text(file_of("dome.py"))
    with Program(place, file_of("dome.py"), module="dome", wrapper=("-m", "pysubtask", "run", "dome:Dome")) as daemon:
        get("Dome")
        with Program(place, file_of("client.py"), module="client") as client:
            assert client.wait() == 0, client.text()
            lines = client.text().splitlines()
        assert lines[:3] == ["180.0", "parked", "page  None"]
        assert lines[-2:] == ["item door_open True", "Dome.azimuth: the door is open: close it first"]
        assert daemon.stop() == 0


def test_names_of_the_page_exist():
    for name in re.findall(r"`(?:pysubtask\.)?compat\.(\w+)", TEXT):
        assert hasattr(compat, name), name
    for name in re.findall(r"`pysubtask\.(\w+)", TEXT):
        assert hasattr(pysubtask, name) or name in ("daemon", "compat", "client"), name
    for name in re.findall(r"`self\.(\w+)[(`.]", TEXT):
        assert hasattr(pysubtask.Daemon, name) or name in ("azimuth", "pst_counter"), name
