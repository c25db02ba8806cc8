"""Named daemons on the command line: list, describe, get, set, call, run."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.cli import command
from tests.support.daemons import SECS, Program, get, place_for_daemons
from tests.support.helpers import wait_until
from tests.support.terminal import Terminal

DOME = '''
from pysubtask import Daemon, event, item, method

class Dome(Daemon):
    """Turns the dome of the roof station."""
    azimuth = item(0.0, unit="deg", low=0, high=360, keep=True)
    open: bool = item(False, doc="Whether the slit is open.")
    opened = event(by=str)

    @method(timeout=120)
    def park(self, quietly: bool = False, turns: int = 1) -> str:
        """Turn it to its place."""
        self.progress(0.5, "half way")
        self.sleep(0.05)
        if turns > 10:
            raise OSError("the motor is hot")
        return f"parked {quietly} {turns}"

    @method
    def wait(self) -> None:
        while True:
            self.progress(0.1, "waiting\\x1b[2J")
            self.sleep(0.05)
'''


@pytest.fixture(scope="module")
def place():
    with place_for_daemons() as folder:
        yield folder


@pytest.fixture
def dome(place):
    words = ("-m", "pysubtask", "run", "dome:Dome", "--set", "azimuth=90")
    with Program(place, DOME, module="dome", wrapper=words) as program:
        yield get("Dome"), program


def test_what_is_there_is_listed_and_described(dome):
    _, program = dome
    done = command("list")
    assert done.returncode == 0
    assert "Dome  running since 20" in done.stdout and f"PID {program.process.pid}" in done.stdout
    assert [row["name"] for row in json.loads(command("list", "--json", "--type", "Dome").stdout)] == ["Dome"]
    screen = command("describe", "Dome").stdout
    assert "Dome (Dome): Turns the dome of the roof station." in screen
    assert "  item    azimuth: float deg, low 0, high 360, keep" in screen
    assert "  item    open: bool. Whether the slit is open." in screen
    assert "  method  park(quietly: bool = False, turns: int = 1) -> str. Turn it to its place." in screen
    assert "  event   opened(by: str)" in screen
    assert json.loads(command("describe", "--json").stdout)[0]["items"]["azimuth"]["unit"] == "deg"


def test_items_are_printed_and_set(dome):
    proxy, _ = dome
    assert command("get", "-t", "Dome", "azimuth").stdout == "Dome\n  azimuth  90.0 deg\n"
    done = command("set", "-t", "Dome", "azimuth=180", "open=yes")
    assert (done.returncode, done.stdout) == (0, "Dome: azimuth = 180.0, open = True\n")
    assert (proxy.azimuth, proxy.open) == (180.0, True)
    assert json.loads(command("get", "-t", "Dome", "--json", "open").stdout)["Dome"]["open"]["value"] is True
    for words, text in {
        ("set", "-t", "Dome", "azimuth=400"): "Dome.azimuth: 400 deg is above 360 deg, the highest",
        ("set", "-t", "Dome", "azimuth=north"): "Dome.azimuth: 'north' is no float",
        ("set", "-t", "Dome", "pid=1"): "it is read-only",
        ("set", "-t", "Dome", "colour=1"): "there is no item 'colour'",
        ("get", "-t", "Dome", "azimuht"): "azimuth",
        ("set", "-t", "Dome", "-t", "roof", "azimuth=1"): "name them in two commands",
    }.items():
        done = command(*words)
        assert done.returncode in (1, 2) and text in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.slow
def test_methods_are_called(dome):
    assert command("call", "Dome", "park", "quietly=true").stdout == "parked True 1\n"
    assert command("call", "Dome", "park", "true", "3").stdout == "parked True 3\n"
    for words, status, text in [
        (("call", "Dome", "park", "turns=11"), 1, "Dome.park: OSError: the motor is hot"),
        (("call", "Dome", "park", "turns=x"), 1, "argument 'turns': 'x' is no int"),
        (("call", "Dome", "park", "1", "2", "3"), 1, "'3' is too much"),
        (("call", "Dome", "fly"), 1, "there is no method 'fly'"),
        (("call", "-t", "0.2", "Dome", "wait"), 4, "no answer within 0.2 s"),
        (("call", "Doom", "park"), 3, "did you mean 'Dome'?"),
        (("describe", "Doom"), 3, "no daemon of this name"),
    ]:
        done = command(*words)
        assert (done.returncode, text in done.stderr, done.stderr.count("\n")) == (status, True, 1), done.stderr


def test_a_call_is_begun_asked_about_and_cancelled(dome):
    id = command("call", "--no-wait", "Dome", "wait").stdout.strip()
    wait_until(lambda: command("call", "--result", id, "Dome").stdout == "taken: 10% waiting\\x1b[2J\n", SECS)
    assert command("call", "--cancel", id, "Dome").stdout == "cancelled\n"
    wait_until(lambda: command("call", "--result", id, "Dome").stdout.startswith("cancelled: "), SECS)
    assert command("call", "--cancel", id, "Dome").stdout == "it is over already\n"


def test_the_result_of_a_call_outlives_the_daemon(dome):
    _, program = dome
    id = command("call", "--no-wait", "Dome", "park").stdout.strip()
    wait_until(lambda: command("call", "--result", id, "Dome").stdout == "done: parked False 1\n", SECS)
    program.kill()
    assert command("call", "--result", id, "Dome").stdout == "done: parked False 1\n"
    done = command("list", "--all")
    assert "Dome  dead, started 20" in done.stdout
    assert "Dome" not in command("list").stdout


@pytest.mark.slow
def test_a_second_run_is_refused(dome, place):
    _, first = dome
    with Program(place, DOME, module="dome", wrapper=("-m", "pysubtask", "run", "dome:Dome")) as second:
        assert second.wait() == 5
        assert f"'Dome' is run already, by process {first.process.pid} since 20" in second.text()
    with Program(place, DOME, module="dome", wrapper=("-m", "pysubtask", "run", "dome:Dome", "--name", "North")) as north:
        get("North")
        assert north.stop() == 0


def test_a_wrong_first_value_is_one_line(place):
    with Program(place, DOME, module="dome", wrapper=("-m", "pysubtask", "run", "dome:Dome", "--set", "azimuth=400")) as program:
        assert program.wait() == 1
        assert "pysubtask: Dome.azimuth: 400 deg is above" in program.text() and "Traceback" not in program.text()


def test_changes_are_watched(dome, place):
    proxy, _ = dome
    words = ("-m", "pysubtask", "watch", "Dome", "--item", "azimuth")
    with (
        Program(place, "", module="none", wrapper=words) as plain,
        Program(place, "", module="none", wrapper=(*words, "--json")) as rows,
    ):
        wait_until(lambda: plain.text().endswith("azimuth  90.0\n") and rows.text().count("\n") == 1, SECS)
        proxy.azimuth = 91
        proxy.open = True
        proxy.azimuth = 92
        wait_until(lambda: "azimuth  92.0" in plain.text() and rows.text().count("\n") == 3, SECS)
        lines = plain.text().splitlines()
        assert [line.split()[1:3] for line in lines] == [["azimuth", value] for value in ("90.0", "91.0", "92.0")]
        assert "  by " in lines[1]
        found = [json.loads(line) for line in rows.text().splitlines()]
        assert [row["kind"] for row in found] == ["page", "item", "item"] and found[2]["fields"]["value"] == 92.0
    assert command("watch", "--item", "azimuth").returncode == 2


@pytest.mark.slow
def test_a_bar_on_a_terminal_and_ctrl_c_cancels(dome, place):
    proxy, _ = dome
    same = {key: os.environ[key] for key in ("PYSUBTASK_REGISTRY", "XDG_RUNTIME_DIR")}
    with Terminal(place, "call", "Dome", "wait", **same) as terminal:
        wait_until(lambda: terminal._read(0.05) and b"[###   " in terminal.raw and b"waiting" in terminal.raw, SECS)
        assert b"\x1b[2J" not in terminal.raw  # what the daemon says steers no terminal
        (running,) = proxy.page()["calls"]
        os.write(terminal._main, b"\x03")
        assert terminal.end()[0] == 130
        wait_until(lambda: proxy.call_of(running["id"]).state()["state"] == "cancelled", SECS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_names_items_and_methods(dome, shell):
    from click.shell_completion import get_completion_class

    from pysubtask.control.cli import cli

    complete = get_completion_class(shell)(cli, {}, "pysubtask", "_PYSUBTASK_COMPLETE")

    def values(args: list[str], incomplete: str) -> list[str]:
        return [one.value for one in complete.get_completions(args, incomplete)]

    assert values(["call"], "D") == ["Dome"]
    assert values(["call", "Dome"], "p") == ["park"]
    assert values(["call", "Dome", "park"], "") == ["quietly=", "turns="]
    assert values(["set", "-t", "Dome"], "az") == ["azimuth="]
    assert values(["get", "-t", "Dome"], "o") == ["open"]
    assert values(["watch"], "Do") == ["Dome"] and values(["call", "Doom"], "") == []
    assert "pysubtask" in complete.source()


def test_help_has_six_groups():
    text = command("--help").stdout
    titles = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options:", "Begin:", "Run:", "See:", "Change:", "Hold back and take up:", "Look after:"]
    assert all(f"\n  {name} " in text for name in ("call", "describe", "list", "purge", "status"))
