"""Which fault comes next, and when: decided by the seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

KILLS = {
    "kill child": 24,
    "kill app": 14,
    "kill guard": 6,
    "kill child and guard": 4,
    "kill ssh": 18,
    "kill sftp-server": 16,
    "kill sshd's session": 8,
    "kill sshd": 4,
}
OTHERS = {
    "stop child for a while": 3,
    "stop sftp-server for a while": 4,
    "cut the link": 4,
    "reset in mid-handshake": 4,
    "half-open link": 3,
    "cut at a byte": 5,
    "connections refused": 2,
    "stalled link": 2,
}
WITH_QUIRKS = {
    "kill child": 24,
    "kill app": 14,
    "kill guard": 6,
    "kill child and guard": 4,
    "kill ssh": 18,
    "kill server": 14,
    "stop child for a while": 3,
    "stop server for a while": 4,
    **{kind: weight for kind, weight in OTHERS.items() if not kind.startswith("stop ")},
}
"""Where the server is one process."""
_OPENSSH = {**KILLS, **OTHERS}
_PAUSE_SECS = 0.3


class Fault(NamedTuple):
    """One fault of the plan, by its ``kind``. ``pause``: seconds before it; ``secs``: how long it lasts, where it lasts;
    ``byte``: where a cut comes; ``down``: whether the server's answers are cut, not what is sent."""

    kind: str
    pause: float
    secs: float
    byte: int
    down: bool

    @property
    def is_kill(self) -> bool:
        """Whether it counts as a kill."""
        return is_kill(self.kind)


def is_kill(kind: str) -> bool:
    """Whether something is ended by this kind of fault."""
    return kind.startswith("kill ")


def rounds(seed: int, weights: Mapping[str, int] = _OPENSSH) -> Iterator[list[Fault]]:
    """Rounds of about ten kills and some other faults, for ever."""
    chance = random.Random(seed)
    while True:
        kills, found = chance.randrange(9, 14), list[Fault]()
        while sum(fault.is_kill for fault in found) < kills:
            kind = chance.choices(list(weights), list(weights.values()))[0]
            byte = chance.randrange(4000) if "handshake" in kind else int(10 ** chance.uniform(3, 6))
            found.append(Fault(kind, chance.uniform(0, _PAUSE_SECS), chance.uniform(0.1, 2.5), byte, chance.random() < 0.3))
        yield found


def settings(seed: int, life: int) -> dict[str, Any]:
    """The settings of the app of this number: half of them as those of the first one."""
    chance = random.Random(f"{seed} {life}")
    if life == 0 or chance.random() < 0.5:
        return {}
    return {
        "AtomicAppend": chance.random() < 0.5,
        "DeltaTransfer": chance.random() < 0.5,
        "Concurrency": chance.choice([1, 4, 64]),
        "VerifyChecksum": chance.choice(["auto", "size"]),
        "TimerIntervalSecs": chance.choice([0.1, 0.3, 1]),
        "DeadTimeMilli": chance.choice([200, 500, 1000]),
        "LogLevel": chance.choice(["debug", "info", "error"]),
    }
