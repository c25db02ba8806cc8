"""The story of mKTL: a heater whose items are set, validated, refreshed, polled, published and kept."""

from __future__ import annotations

import pytest

from pysubtask import Failed, NoSuchDaemon, Refused
from pysubtask.compat import item_of
from tests.support.daemons import SECS, Program, get, gone
from tests.support.helpers import wait_until

HEATER = """
import time
from pysubtask import Daemon, Item, Refused, item, method

class Temperature(Item):
    reads = 0
    def req_refresh(self):
        self.daemon.reads += 1
        return self.daemon.hardware[min(self.daemon.reads // 3, len(self.daemon.hardware) - 1)]

class Setpoint(Item):
    def validate(self, value):
        if value > 80:
            raise Refused("80 degC is the most that the heater stands")
        return round(value, 1)
    def req_set(self, value):
        self.daemon.order.append(f"set {value}")
        if value == 42.0:
            time.sleep(1)
        if value == 13.0:
            raise OSError("the heater does not answer")

class Heater(Daemon):
    hooks = item([], read_only=True)
    temperature = Temperature(20.0, unit="degC", read_only=True, poll=0.02)
    setpoint = Setpoint(20.0, unit="degC", keep=True)
    slow = Temperature(1.0, unit="degC", read_only=True)

    def setup(self):
        self.order, self.reads, self.hardware = ["setup"], 0, [20.0, 20.0, 21.5]
        self.add_item("channel_1", Item(0, unit="V", keep=True))
    def setup_final(self):
        self.order.append(f"setup_final {self.setpoint}")
    def announce(self):
        self.order.append("announce")
    def loop(self):
        if self.order[-1] != "loop":
            self.order.append("loop")
    def cleanup(self):
        print("cleanup", *self.order, sep="|")

    @method
    def in_order(self) -> list:
        return self.order
    @method
    def again(self) -> list:
        item = self.item("slow")
        return [item.publish(1.0), item.publish(1.0, repeat=True), item.publish(2.0, timestamp=1000.5)]
    @method
    def add_late(self) -> None:
        self.add_item("late", Item(0))

if __name__ == "__main__":
    raise SystemExit(Heater().run())
"""


def test_hooks_are_called_in_their_order_and_cleanup_once(place):
    with Program(place, HEATER, module="heater") as program:
        heater = get("Heater")
        wait_until(lambda: heater.in_order()[:4] == ["setup", "setup_final 20.0", "announce", "loop"], SECS)
        heater.stop()
        assert program.wait() == 0
        assert program.text().count("cleanup|setup|setup_final 20.0|announce|loop") == 1


def test_a_set_is_validated_and_refused_in_words(place):
    with Program(place, HEATER, module="heater"):
        heater = get("Heater")
        heater.setpoint = 35.04
        assert heater.setpoint == 35.0
        with pytest.raises(Refused, match=r"^Heater.setpoint: 80 degC is the most that the heater stands$"):
            heater.setpoint = 99
        with pytest.raises(Failed, match=r"^Heater.setpoint: OSError: the heater does not answer$") as info:
            heater.setpoint = 13
        assert info.value.kind == "OSError"
        assert heater.setpoint == 35.0
        assert heater.page()["items"]["setpoint"]["quality"] == "ok"


@pytest.mark.slow
def test_a_slow_set_is_busy_and_keeps_nobody_waiting(place):
    with Program(place, HEATER, module="heater"):
        heater, other = get("Heater"), get("Heater")
        with (
            other.follow() as follower,
            Program(place, "import pysubtask; pysubtask.get('Heater').setpoint = 42.0", module="c") as c,
        ):
            while (change := follower.next(SECS)).key != "setpoint":
                assert change is not None
            assert change.fields["quality"] == "busy"
            assert heater.in_order()  # answered while the set runs
            assert heater.page()["items"]["setpoint"]["quality"] == "busy"
            while (change := follower.next(SECS)).key != "setpoint":
                assert change is not None
            assert (change.value, change.fields["quality"], change.fields["old"]) == (42.0, "ok", 20.0)
            assert change.fields["by"]["pid"] == c.process.pid
            assert c.wait() == 0


def test_a_poll_publishes_on_change_only(place):
    with Program(place, HEATER, module="heater"):
        heater = get("Heater")
        wait_until(lambda: heater.temperature == 21.5, SECS)
        with heater.follow() as follower:
            assert follower.next(SECS).kind == "page"
            assert follower.next(0.3) is None  # some fifteen polls, and nothing new


def test_get_is_cached_and_refresh_runs_code(place):
    with Program(place, HEATER, module="heater"):
        heater = get("Heater")
        wait_until(lambda: heater.temperature == 21.5, SECS)
        assert heater.slow == 1.0
        assert heater.refresh("slow") == 21.5
        assert heater.slow == 21.5


def test_publish_with_repeat_and_a_time_of_its_own(place):
    with Program(place, HEATER, module="heater"):
        heater = get("Heater")
        assert heater.again() == [False, True, True]
        assert heater.page()["items"]["slow"] == {"value": 2.0, "at": 1000.5, "quality": "ok"}


def test_what_is_kept_outlives_kill_9(place):
    with Program(place, HEATER, module="heater") as program:
        heater = get("Heater")
        heater.setpoint, heater.channel_1 = 55, 7
        program.kill()
        with pytest.raises(NoSuchDaemon, match="is gone without a word"):
            _ = heater.setpoint
    with Program(place, HEATER, module="heater"):
        wait_until(lambda: get("Heater").in_order()[1] == "setup_final 55.0", SECS)
        assert (heater.setpoint, heater.channel_1) == (55.0, 7)  # the same object as before


def test_an_item_is_refused_after_the_daemon_is_visible(place):
    with Program(place, HEATER, module="heater"), pytest.raises(Failed, match="visible already: add it in setup"):
        get("Heater").add_late()


def test_the_words_of_its_clients(place):
    with Program(place, HEATER, module="heater"):
        get("Heater")
        setpoint, seen = item_of("Heater.setpoint"), []
        setpoint.register(lambda item, value, at: seen.append(value), prime=True)
        wait_until(lambda: seen == [20.0], SECS)
        setpoint.set(30)
        wait_until(lambda: 30.0 in seen, SECS)
        assert setpoint.value == setpoint.get() == 30.0


@pytest.mark.slow
def test_a_second_start_is_refused_with_who_and_since_when(place):
    with Program(place, HEATER, module="heater") as first:
        get("Heater")
        with Program(place, HEATER, module="heater") as second:
            assert second.wait() != 0
            assert f"'Heater' is run already, by process {first.process.pid} since 20" in second.text()
        get("Heater").stop()
        gone("Heater")
