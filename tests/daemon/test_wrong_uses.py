"""Thirty wrong uses: each gives one line with the name, what is wrong and the remedy. The lines are in ``wrong_uses.txt``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pysubtask
from pysubtask import Daemon, event, item, method
from pysubtask.daemon.folders import check_name
from pysubtask.daemon.proxy import set_items
from tests.support.daemons import SECS, Program, get
from tests.support.helpers import wait_until

SNAPSHOT = Path(__file__).with_name("wrong_uses.txt")

DOME = """
import sys
from pysubtask import Daemon, Failed, Item, Refused, item, method

class Dome(Daemon):
    azimuth = item(0.0, unit="deg", low=0, high=360)
    mode = item("idle", choices=["idle", "track"])
    humidity = item(None, unit="%", read_only=True)
    count: int = item(0)
    def validate_count(self, value):
        if value == 13:
            raise Refused("thirteen brings bad luck: take another number")
    def set_mode(self, value):
        raise OSError("the motor does not answer")
    @method
    def park(self, slit: int, quietly: bool = False) -> str:
        return "parked"
    @method
    def bad_result(self):
        return {1, 2}
    @method
    def raises(self):
        raise KeyError("motor")
    @method
    def slow(self):
        self.sleep(60)
    @method
    def publish_text(self):
        self.azimuth = "north"
    @method
    def late(self):
        self.add_item("channel", Item(0))
    @method
    def leave(self):
        import os
        os._exit(1)

if __name__ == "__main__":
    raise SystemExit(Dome().run(*sys.argv[1:]))
"""


def class_of(**body: Any) -> type:
    daemon_class = type(Daemon)
    space = daemon_class.__prepare__("Dome", (Daemon,))
    for name, value in body.items():
        space[name] = value
    return daemon_class("Dome", (Daemon,), space)


def two_of_one_name() -> None:
    class Dome(Daemon):
        azimuth = item(0.0)
        azimuth = item(1.0)


def typed(argument: Any) -> Callable[..., Any]:
    def park(self, slit):
        """Park."""

    park.__annotations__["slit"] = argument
    return method(park)


@method
def starred(self, *words):
    """Take any words."""


AT_THE_CLASS: dict[str, Callable[[], Any]] = {
    "misspelt hook": lambda: class_of(azimuth=item(0.0), validate_azimut=lambda self, value: value),
    "hook of nothing": lambda: class_of(set_colour=lambda self, value: value),
    "hook with wrong arguments": lambda: class_of(azimuth=item(0.0), get_azimuth=lambda self, value: value),
    "hook that is never called": lambda: class_of(azimuth=item(0.0, read_only=True), set_azimuth=lambda self, value: None),
    "two items of one name": two_of_one_name,
    "name that every daemon has": lambda: class_of(progress=item(0)),
    "name that every proxy has": lambda: class_of(follow=item(0)),
    "name with an underscore": lambda: class_of(_azimuth=item(0)),
    "default of another type": lambda: class_of(azimuth=item("north", type=float)),
    "type that JSON lacks": lambda: class_of(azimuth=item(type=set)),
    "low above high": lambda: class_of(azimuth=item(0.0, low=10, high=1)),
    "argument that JSON lacks": lambda: class_of(park=typed(bytes)),
    "argument without a name": lambda: class_of(park=starred),
    "event with a field of every event": lambda: class_of(opened=event(at=int)),
    "unknown keyword of item": lambda: class_of(azimuth=item(0.0, units="deg")),
    "reserved daemon name": lambda: check_name("_all"),
    "daemon name with a slash": lambda: check_name("a/b"),
}
AT_THE_CLIENT: dict[str, Callable[[Any], Any]] = {
    "wrong type": lambda dome: setattr(dome, "azimuth", "north"),
    "out of range": lambda dome: setattr(dome, "azimuth", 400),
    "none of the choices": lambda dome: setattr(dome, "mode", "sleep"),
    "read-only": lambda dome: setattr(dome, "humidity", 3),
    "unknown item": lambda dome: dome.azimuht,
    "unknown item, set": lambda dome: setattr(dome, "colour", 1),
    "method that is set": lambda dome: setattr(dome, "park", 1),
    "refused by the hook": lambda dome: setattr(dome, "count", 13),
    "set code that raises": lambda dome: setattr(dome, "mode", "track"),
    "several, one of them wrong": lambda dome: set_items(dome, {"azimuth": 10, "count": 13}),
    "argument missing": lambda dome: dome.park(),
    "argument too much": lambda dome: dome.park(1, True, 3),
    "argument unknown": lambda dome: dome.park(1, quiet=True),
    "argument of a wrong type": lambda dome: dome.park("one"),
    "result without JSON": lambda dome: dome.bad_result(),
    "value without JSON": lambda dome: setattr(dome, "azimuth", float("nan")),
    "method that raises": lambda dome: dome.raises(),
    "publish of another type": lambda dome: dome.publish_text(),
    "item added too late": lambda dome: dome.late(),
    "no answer in time": lambda dome: dome.slow(timeout=0.1),
    "unknown call": lambda dome: dome.call_of("01796049412963-1-ffffffff").state(),
    "unknown operation": lambda dome: dome._connection.ask("exec", {}),
    "path as a name": lambda dome: dome._connection.ask("get", {"name": "__class__.__mro__"}),
    "private method": lambda dome: dome._connection.ask("call", {"name": "_core"}),
    "daemon that never was": lambda dome: pysubtask.get("Doom"),
    "daemon of another machine": lambda dome: pysubtask.get("Dome@station7"),
    "daemon that ends meanwhile": lambda dome: dome.leave(),
    "daemon that is gone": lambda dome: dome.azimuth,
}


def line_of(act: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as info:
        act()
    text = f"{info.type.__name__}: {info.value}"
    assert "\n" not in text and len(text) < 300, text
    text = re.sub(r"process \d+", "process PID", text)
    text = text.replace("JSON compliant: nan", "JSON compliant")  # Python says the value, too, from 3.12 on
    return re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+Z", "TIME", text)


def snapshot() -> Iterator[tuple[str, str]]:
    for line in SNAPSHOT.read_text().splitlines():
        name, _, text = line.partition(" | ")
        yield name, text


@pytest.mark.parametrize("name", AT_THE_CLASS)
def test_at_the_class(name):
    assert line_of(AT_THE_CLASS[name]) == dict(snapshot())[name]


def test_at_the_client(place):
    found = {}
    with Program(place, DOME, module="dome") as program:
        dome = get("Dome")
        for name, act in AT_THE_CLIENT.items():
            if name == "daemon that ends meanwhile":
                with Program(place, DOME, module="dome") as second:
                    assert second.wait() == 1
                    text = second.text().strip().splitlines()[-1].rpartition("errors.")[2]
                found["started twice"] = line_of(lambda text=text: (_ for _ in ()).throw(RuntimeError(text)))
            if name == "daemon that is gone":
                program.wait()
            found[name] = line_of(lambda act=act: act(dome))
    known = dict(snapshot())
    assert found == {name: text for name, text in known.items() if name not in AT_THE_CLASS}
    assert len(known) >= 30 and set(known) == {*AT_THE_CLASS, *found}


def test_a_reserved_name_is_refused_at_the_start(place):
    with Program(place, DOME, "state", module="dome") as program:
        assert program.wait() == 1
        assert "'state' is reserved" in program.text()


def test_a_loop_that_raises_ends_no_other(place):
    source = DOME.replace(
        "    @method\n    def leave",
        "    @loop(every=0.01)\n    def bad(self):\n        raise OSError('x')\n    @method\n    def leave",
    )
    source = source.replace("import Daemon", "import loop, Daemon").replace(
        "    @loop(every", "    @loop(every=0.01)\n    def good(self):\n        self.count = self.count + 1\n    @loop(every", 1
    )
    with Program(place, source, module="dome"):
        dome = get("Dome")
        wait_until(lambda: dome.count >= 5, SECS)
        assert dome.last_error.startswith("bad() failed (dome.py:")
