"""Items in detail: deadband, alarms, records, stores of one's own, values set together, and daemons that ask each other."""

from __future__ import annotations

import os
import random
import socket
import threading
from pathlib import Path

import pytest

from pysubtask import Failed, NoAnswer, NoSuchDaemon, Refused
from pysubtask.daemon.proxy import call
from tests.support.daemons import SECS, Program, get
from tests.support.helpers import wait_until

WEATHER = """
import threading, time
from pysubtask import Daemon, Refused, get, item, method

class Weather(Daemon):
    humidity = item(50.0, unit="%", deadband=0.5, alarm_high=90, alarm_low=5, record="hum-%Y.csv")
    wind = item(0.0, poll=0.02, read_only=True)
    folder = item("/data", keep=True)
    depth = item(1, low=1, high=9, keep=True)
    hung = False

    def get_wind(self):
        if self.hung:
            threading.Event().wait()
        return 3.0

    def validate_folder(self, value):
        if not value.startswith("/"):
            raise Refused("write it as an absolute path")

    @method
    def hang(self):
        self.hung = True

    @method
    def rescan(self, settings: dict) -> list:
        self.apply(settings)
        return [self.folder, self.depth]

    @method
    def publish_all(self, values: list) -> None:
        for value in values:
            self.humidity = value

if __name__ == "__main__":
    raise SystemExit(Weather().run())
"""


def test_small_differences_are_not_published(place):
    with Program(place, WEATHER, module="weather"):
        weather = get("Weather")
        with weather.follow() as follower:
            follower.next(SECS)
            weather.publish_all([50.1, 50.4, 50.6, 50.7, 51.2])
            found = []
            while (change := follower.next(SECS)).kind != "call" or change.fields["state"] != "done":
                if change.key == "humidity":
                    found.append(change.value)
            assert found == [50.6, 51.2]


def test_an_alarm_is_a_quality(place):
    with Program(place, WEATHER, module="weather"):
        weather = get("Weather")
        for value, quality in ((95.0, "alarm: above 90"), (50.0, "ok"), (1.0, "alarm: below 5")):
            weather.humidity = value
            assert weather.page()["items"]["humidity"]["quality"] == quality


@pytest.mark.slow
def test_a_poll_that_hangs_is_stale_and_others_go_on(place):
    with Program(place, WEATHER, module="weather"):
        weather = get("Weather")
        wait_until(lambda: weather.wind == 3.0, SECS)
        weather.hang()
        wait_until(lambda: weather.page()["items"]["wind"]["quality"] == "stale", SECS)
        weather.depth = 2
        assert weather.depth == 2


def test_settings_of_a_method_are_applied_all_or_none(place):
    with Program(place, WEATHER, module="weather"):
        weather = get("Weather")
        assert weather.rescan({"folder": "/new", "depth": 3}) == ["/new", 3]
        for wrong in ({"folder": "/other", "depth": 99}, {"depth": 5, "folder": "other"}, {"depth": 5, "nothing": 1}):
            with pytest.raises(Refused):
                weather.rescan(wrong)
            assert (weather.folder, weather.depth) == ("/new", 3)


@pytest.mark.slow
def test_each_value_is_a_whole_line_through_kill_9(place):
    records(place, 5)


@pytest.mark.slow
def test_each_value_is_a_whole_line_through_many_kills(place):
    records(place, 60)


def records(place: Path, kills: int) -> None:
    """Killed in the midst of sets: what a client was answered is in the file once and in order, one more at most for each kill."""
    drawn, sure, value = random.Random(5), [], 60.0
    for _ in range(kills):
        with Program(place, WEATHER, module="weather") as program:
            weather = get("Weather")
            timer = threading.Timer(drawn.random() * 0.1, program.process.kill)
            timer.start()
            try:
                while True:
                    value = 60.0 + (value - 59) % 20  # never the default, which would be no change after a start
                    weather.humidity = value
                    sure.append(value)
            except (NoAnswer, NoSuchDaemon):
                timer.join()
                program.process.wait()
    (file,) = place.glob("hum-*.csv")
    lines = file.read_text().splitlines()
    assert all(len(line.split(",")) == 3 and line.startswith("20") and line.endswith(",ok") for line in lines)
    recorded = iter([float(line.split(",")[1]) for line in lines])
    assert all(value in recorded for value in sure)  # a subsequence: each search goes on behind the one before
    assert len(sure) <= len(lines) <= len(sure) + kills
    assert len(sure) > kills


def test_a_store_of_ones_own_and_none(place):
    store = """
class Memory:
    def load(self):
        return {"folder": "/stored", "depth": "wrong", "unknown": 1}
    def save(self, values):
        print("saved", sorted(values.items()), flush=True)
"""
    source = WEATHER.replace("class Weather(Daemon):", store + "\nclass Weather(Daemon):\n    kept_store = Memory()")
    with Program(place, source, module="weather") as program:
        weather = get("Weather")
        assert (weather.folder, weather.depth) == ("/stored", 1)
        assert "The kept value is not taken: depth: 'wrong' is a str, and no int" in program.text()
        weather.depth = 4
        wait_until(lambda: "('depth', 4)" in program.text(), SECS)
    with Program(place, source.replace("Memory()", "None"), module="weather") as program:
        get("Weather").depth = 5
        program.kill()
    assert not list((Path(os.environ["PYSUBTASK_REGISTRY"]) / "kept").glob("*.json"))


PAIR = """
import sys
from pysubtask import Daemon, NoAnswer, Refused, get, item, method

class One(Daemon):
    other = item("Two")
    level = item(0)

    def validate_level(self, value):
        if value > get(self.other).level + 10:
            raise Refused("more than 10 above the other one")

    @method
    def ask(self, depth: int) -> int:
        if depth == 0:
            return 0
        return get(self.other).ask(depth - 1, timeout=1) + 1

    @method
    def ask_for_ever(self) -> None:
        get(self.other).ask_for_ever(timeout=0.3)

class Two(One):
    other = item("One")

if __name__ == "__main__":
    raise SystemExit(globals()[sys.argv[1]]().run())
"""


@pytest.mark.slow
def test_daemons_that_ask_each_other_never_hang(place):
    with Program(place, PAIR, "One", module="pair"), Program(place, PAIR, "Two", module="pair"):
        one, two = get("One"), get("Two")
        one.level = 10
        with pytest.raises(Refused, match=r"^One.level: more than 10 above the other one$"):
            one.level = 11
        two.level = 5
        one.level = 11
        assert one.ask(6) == 6  # to and fro
        with pytest.raises(NoAnswer):
            call(one, "ask_for_ever", timeout=3)
        assert one.ask(2) == 2


ITEMS = """
[azimuth]
default = 0.0
unit = "deg"
high = 360
keep = true
[note]
type = "str"
[last]
default = 1
read_only = true
"""
NO_ITEMS = [("[a]\nunits = 1\n", "no keyword 'units': did you mean 'unit'?"), ("a = 1\n", "a is no table"), ("[", "cannot be read")]
BAD_SETUP = """    hung = False
    def setup(self):
        raise OSError('no sensor')
    def cleanup(self):
        print('cleaned')
"""


@pytest.mark.slow
def test_a_daemon_without_code_keeps_what_is_declared(place):
    (place / "items.toml").write_text(ITEMS)
    words = ("-m", "pysubtask", "run", "--items", "items.toml", "--name", "Weather")
    with Program(place, "", module="none", wrapper=words) as program:
        weather = get("Weather")
        weather.azimuth, weather.note = 12, "windy"
        with pytest.raises(Refused):
            weather.azimuth = 361
        with pytest.raises(Refused, match="read-only"):
            weather.last = 2
        program.kill()
    with Program(place, "", module="none", wrapper=words):
        weather = get("Weather")
        assert (weather.azimuth, weather.note) == (12.0, None)
    for text, says in NO_ITEMS:
        (place / "items.toml").write_text(text)
        with Program(place, "", module="none", wrapper=words) as program:
            assert program.wait() == 2 and says in program.text() and "Traceback" not in program.text()


def test_a_service_manager_hears_that_it_is_ready(place, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place / "notify"))
        manager.settimeout(SECS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        with Program(place, WEATHER, module="weather", wrapper=("-m", "pysubtask", "run", "weather:Weather")) as program:
            output = [manager.recv(1000).decode() for _ in range(4)]
            assert output[0].startswith("READY=1\nSTATUS=Weather") and output[1:] == ["WATCHDOG=1"] * 3
            assert program.stop() == 0
            rest = [manager.recv(1000).decode()]
            while rest[-1] == "WATCHDOG=1":
                rest.append(manager.recv(1000).decode())
            assert rest[-1] == "STOPPING=1"


def test_a_setup_that_fails_is_one_line_and_leaves_nothing(place):
    source = WEATHER.replace("    hung = False\n", BAD_SETUP)
    with Program(place, source, module="weather", wrapper=("-m", "pysubtask", "run", "weather:Weather")) as program:
        assert program.wait() == 1
        assert program.text().count("cleaned") == 1 and "Traceback" not in program.text()
        assert "setup() failed (weather.py:" in program.text() and "OSError: no sensor" in program.text()
    with pytest.raises(NoSuchDaemon):
        get_now("Weather")


def get_now(name: str) -> object:
    import pysubtask

    return pysubtask.get(name)


def test_refresh_that_raises_is_an_error_of_quality(place):
    source = WEATHER.replace("return 3.0", "raise OSError('the sensor is wet')")
    with Program(place, source, module="weather"):
        weather = get("Weather")
        with pytest.raises(Failed, match=r"Weather.wind: OSError: the sensor is wet"):
            weather.refresh("wind")
        assert weather.page()["items"]["wind"]["quality"] == "error: OSError: the sensor is wet"
        assert "the sensor is wet" in weather.last_error
