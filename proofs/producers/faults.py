"""What goes wrong besides: a link that breaks, children that are killed, tasks that are stopped and started."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

from .station import Station

_DELAY, _RATE = 0.03, 1_500_000
_LINK_EVERY, _KILL_EVERY = (2.0, 9.0), (2.0, 9.0)
_LONGEST_SECS = 7.0


class Faults:
    """``turn`` is called often, and does what is due. ``done`` counts by name."""

    def __init__(self, station: Station, chance: random.Random, *, bad: bool, kills: bool) -> None:
        self._station, self._chance = station, chance
        self._bad, self._kills = bad, kills
        self.done: Counter[str] = Counter()
        self._later: list[tuple[float, Callable[[], object]]] = []
        self.begin()

    def begin(self) -> None:
        """Draw the times of the first faults, and slow a bad link down."""
        now = time.monotonic()
        self._link_at = now + self._chance.uniform(*_LINK_EVERY) if self._bad else float("inf")
        self._kill_at = now + self._chance.uniform(*_KILL_EVERY) if self._kills else float("inf")
        if self._bad:
            self._station.relay.delay(_DELAY)
            self._station.relay.throttle(_RATE, "up")

    def turn(self, now: float) -> None:
        """Carry out what is due at the monotonic second ``now``, and draw what comes next."""
        due = [do for at, do in self._later if at <= now]
        self._later = [(at, do) for at, do in self._later if at > now]
        for do in due:
            do()
        if now >= self._link_at:
            self._link_at = now + self._chance.uniform(*_LINK_EVERY)
            self._break_link(now)
        if now >= self._kill_at:
            self._kill_at = now + self._chance.uniform(*_KILL_EVERY)
            self._kill()

    def _break_link(self, now: float) -> None:
        relay, chance = self._station.relay, self._chance
        kind = chance.choice(["cut", "cut", "cut at a byte", "cut at a byte", "refused", "stalled"])
        secs = chance.uniform(0.2, _LONGEST_SECS)
        if kind == "cut":
            relay.cut_all(chance.choice(["rst", "fin"]))
        elif kind == "cut at a byte":
            relay.drop("down" if chance.random() < 0.3 else "up", int(10 ** chance.uniform(2, 5.5)), scope="total")
        elif kind == "refused":
            relay.refuse()
            relay.cut_all()
            self._later.append((now + secs, relay.accept))
        else:
            self._station.hold()
            self._later.append((now + secs, self._station.free))
        self.done[kind] += 1

    def _kill(self) -> None:
        station, chance = self._station, self._chance
        kind = chance.choice(["kill a child"] * 5 + ["stop and start run", "stop and start the master", "reload"])
        if kind == "kill a child":
            if not station.kill(chance.randrange(2)):
                return
        elif kind == "stop and start run":
            station.stop_run()
            station.start_run()
        elif kind == "stop and start the master":
            station.start_again(chance.random() < 0.5)
        else:
            station.reload()
        self.done[kind] += 1

    def heal(self) -> None:
        """Take every fault off the link."""
        for _, do in self._later:
            do()
        self._later = []
        self._link_at = self._kill_at = float("inf")
        relay = self._station.relay
        relay.delay(0)
        relay.throttle(None)
        if not self._station.held:
            relay.heal()
