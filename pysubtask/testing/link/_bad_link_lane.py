"""One direction of a bad link: which packet passes, and when. No clock and no socket in here."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Direction = Literal["there", "back", "both"]

DEFAULTS: dict[str, float | None] = {"delay": 0.0, "loss": 0.0, "rate": None, "queue": 128 * 1024, "largest": None}


class LaneCounts(NamedTuple):
    """What happened to the packets of one direction; ``bytes`` are those of whole IP packets, headers included.

    ``packets`` and ``bytes`` were on the wire: what arrived and what was ``lost`` on it. ``overflowed`` found the queue
    in front of the wire full, ``cut`` came or were under way while the link was down.
    """

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    overflowed: int = 0
    cut: int = 0


class Lane:
    """Takes packets and computes when each is due on the other side. ``rate`` is in bit/s, ``queue`` in bytes, times are in
    seconds of the caller's clock. A packet above ``largest`` bytes is dropped without an ICMP message."""

    def __init__(self, seed: int) -> None:
        self.delay = 0.0
        self.loss = 0.0
        self.rate: float | None = None
        self.queue: float = 128 * 1024
        self.largest: float | None = None
        self.in_flight: deque[tuple[float, bytes]] = deque()
        self._random = random.Random(seed)
        self._free_at = 0.0
        self._packets = self._bytes = self._lost = self._overflowed = self._cut = 0

    def set(self, **values: float | None) -> None:
        """Change some of ``DEFAULTS``; packets in flight keep their time. ValueError for an unknown name or a value out of
        range."""
        for name, value in values.items():
            if name not in DEFAULTS:
                raise ValueError(f"a lane has no {name!r}")
            if value is None and name not in ("rate", "largest"):
                raise ValueError(f"{name} is a number")
            if value is not None and (value < 0 or (name == "rate" and value == 0) or (name == "loss" and value > 1)):
                raise ValueError(f"{name} cannot be {value}")
        for name, value in values.items():
            setattr(self, name, value)
        if self.rate is None:
            self._free_at = 0.0

    def take(self, packet: bytes, now: float) -> None:
        """Take a packet of the sender: it is queued for its time, lost, or dropped where the queue is full."""
        sent = now
        if self.rate is not None:
            begins = max(now, self._free_at)
            # A packet that finds the wire free needs no queue.
            if begins > now and (begins - now) * self.rate / 8 + len(packet) > self.queue:
                self._overflowed += 1
                return
            sent = self._free_at = begins + len(packet) * 8 / self.rate
        self._packets += 1
        self._bytes += len(packet)
        if self._random.random() < self.loss or (self.largest is not None and len(packet) > self.largest):
            self._lost += 1
            return
        due = sent + self.delay
        # A delay made shorter lets no packet overtake those before it.
        if self.in_flight:
            due = max(due, self.in_flight[-1][0])
        self.in_flight.append((due, packet))

    def deliver(self, now: float, put: Callable[[bytes], object]) -> None:
        """Hand over each packet that is due."""
        while self.in_flight and self.in_flight[0][0] <= now:
            put(self.in_flight.popleft()[1])

    def cut(self, packets: int = 0) -> None:
        """The link goes down: packets in flight are lost, and ``packets`` more that came since."""
        self._cut += len(self.in_flight) + packets
        self.in_flight.clear()
        self._free_at = 0.0

    @property
    def counts(self) -> LaneCounts:
        """The packets and bytes so far: those accepted, and those dropped by each cause."""
        return LaneCounts(self._packets, self._bytes, self._lost, self._overflowed, self._cut)


class Outages:
    """When the link is down: by order, or by a plan of (begin, end) in seconds of the caller's clock."""

    def __init__(self) -> None:
        self.ordered = False
        self._plan: list[tuple[float, float]] = []

    def plan(self, plan: Sequence[tuple[float, float]], now: float) -> None:
        """A new plan in the place of the old; its times count from ``now``. ValueError where an end is not after its begin."""
        if any(begin < 0 or end <= begin for begin, end in plan):
            raise ValueError("an outage is (begin, end) in seconds from now, the end after the begin")
        self._plan = sorted((now + begin, now + end) for begin, end in plan)

    def is_down(self, now: float) -> bool:
        """Whether the link is down at ``now`` (seconds of the caller's clock), by order or by the plan."""
        return self.ordered or any(begin <= now < end for begin, end in self._plan)

    def next_edge(self, now: float) -> float | None:
        """When the plan next begins or ends an outage; None for never."""
        return min((edge for pair in self._plan for edge in pair if edge > now), default=None)
