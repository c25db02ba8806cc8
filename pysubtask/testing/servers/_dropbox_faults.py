"""Which fault a call meets: decided when it arrives."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ._dropbox_answers import Answer, injected_answer

WRITE_ROUTES = frozenset(
    {
        "files/upload",
        "files/upload_session/start",
        "files/upload_session/append_v2",
        "files/upload_session/finish",
        "files/upload_session/finish_batch",
        "files/upload_session/finish_batch_v2",
    }
)


def matches(pattern: str, route: str) -> bool:
    """Whether a route is meant: its own name, "*" for all, "write" for those that write content."""
    return pattern in ("*", route) or (pattern == "write" and route in WRITE_ROUTES)


@dataclass
class Rule:
    """Strikes ``times`` times (None: always), on each ``every``-th matching call after the first ``after``."""

    pattern: str
    times: int | None = 1
    every: int = 1
    after: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    after_bytes: int = 0
    seen: int = field(default=0, init=False)

    def strikes(self, route: str) -> bool:
        """Count this call; return whether the fault hits it."""
        if not matches(self.pattern, route) or self.times == 0:
            return False
        self.seen += 1
        if self.seen <= self.after or (self.seen - self.after) % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Plan(NamedTuple):
    """What happens to one call; at most one of the first two. ``cut``: the connection ends after so many bytes of the request's
    body; ``answer``: the answer in the place of the route's own; ``lost``: the call is carried out, and its answer is not sent;
    ``drip``: the harmful
    answer that comes instead, as for ``DropboxServer.drip``; '' for none."""

    cut: int | None = None
    answer: Answer | None = None
    lost: bool = False
    drip: str = ""


class Faults:
    """The faults that are set. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._fails: list[Rule] = []
        self._cuts: list[Rule] = []
        self._losses: list[Rule] = []
        self._holds: set[str] = set()
        self._drips: dict[str, str] = {}
        self._released = 0
        self._ended = False
        self.held = 0

    def add_fail(self, rule: Rule) -> None:
        """From now on calls that the rule matches get its answer, and are not carried out."""
        with self._lock:
            self._fails.append(rule)

    def add_cut(self, rule: Rule) -> None:
        """From now on the connections of calls that the rule matches end after its ``after_bytes``."""
        with self._lock:
            self._cuts.append(rule)

    def add_loss(self, rule: Rule) -> None:
        """From now on calls that the rule matches are carried out, and their answers are lost."""
        with self._lock:
            self._losses.append(rule)

    def add_hold(self, pattern: str) -> None:
        """From now on calls of these routes wait for ``release``."""
        with self._lock:
            self._holds.add(pattern)

    def add_drip(self, pattern: str, how: str) -> None:
        """From now on calls of these routes get a harmful answer; ``how``: as for ``DropboxServer.drip``."""
        with self._lock:
            self._drips[pattern] = how

    def release(self) -> None:
        """End every hold: the calls that were held are carried out, and no further call is held."""
        with self._lock:
            self._holds.clear()
            self._released += 1
            self._lock.notify_all()

    def heal(self) -> None:
        """Take every fault off, and release the calls that are held."""
        with self._lock:
            self._fails.clear()
            self._cuts.clear()
            self._losses.clear()
            self._drips.clear()
        self.release()

    def begin(self) -> None:
        """The server starts: calls may be held again."""
        with self._lock:
            self._ended = False

    def end(self) -> None:
        """The server ends: held calls return, and are dropped."""
        with self._lock:
            self._ended = True
            self._lock.notify_all()

    def plan(self, route: str) -> Plan:
        """Which faults this call gets. The call counts as seen by every rule up to the one that strikes."""
        with self._lock:
            for rule in self._cuts:
                if rule.strikes(route):
                    return Plan(cut=rule.after_bytes)
            for rule in self._fails:
                if rule.strikes(route):
                    return Plan(answer=injected_answer(route, **rule.answer))
            drip = next((how for pattern, how in self._drips.items() if matches(pattern, route)), "")
            return Plan(lost=any(rule.strikes(route) for rule in self._losses), drip=drip)

    def wait(self, route: str) -> bool:
        """Block as long as calls of this route are held; False where the server ended meanwhile."""
        with self._lock:
            if any(matches(pattern, route) for pattern in self._holds):
                before = self._released
                self.held += 1
                try:
                    self._lock.wait_for(lambda: self._ended or self._released != before)
                finally:
                    self.held -= 1
            return not self._ended
