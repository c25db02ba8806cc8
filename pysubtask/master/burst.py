"""Burst mode: when a file's notifies come fast, most are held back and one goes out now and then. Pure.

All times are nanoseconds on the monotonic clock, read by the caller. The lines are those of version 1.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from ..common.errors import ConfigError

_MILLI = 1_000_000
_SECOND = 1_000_000_000


class Rule(NamedTuple):
    """The ``burst_mode`` section. ``trigger`` and ``expire`` in nanoseconds.

    ``times``: close notifies that start a burst, 0 where their number does not matter. ``size``: bytes
    written between two notifies that start one, 0 where they do not matter.
    """

    trigger: int
    times: int
    expire: int
    size: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From resolved settings; ConfigError where they ask for a burst that nothing could start."""
        mode, size = values["start_trigger_mode"], values["start_trigger_bytes"] or 0
        if mode == "bytes" and not size:
            problem = "it is 'bytes', but burst_mode.start_trigger_bytes is not set"
            raise ConfigError("burst_mode.start_trigger_mode", problem, "Set start_trigger_bytes, or take 'count' or 'either'.")
        return cls(
            int(values["start_trigger_milli"] * _MILLI),
            0 if mode == "bytes" else values["start_trigger_count"],
            int(values["expire_milli"] * _MILLI),
            0 if mode == "count" else size,
        )


class Burst(NamedTuple):
    """One file. ``prev``: its last notify. ``held``: how many were held in a row. ``start``: since when there is a burst.

    ``pending``: when the held notify is due; None where none is held.
    """

    prev: int | None = None
    held: int = 0
    start: int | None = None
    pending: int | None = None


class Decision(NamedTuple):
    """``hold``: until when to hold the notify back, None to notify now. ``line``: for the log, '' for none. ``state``: the new
    state of the file."""

    state: Burst
    hold: int | None
    line: str


def called(rule: Rule, state: Burst, now: int, grown: int = 0) -> Decision:
    """The app notifies at ``now``; its file has ``grown`` by this number of bytes since the notify before.

    ``start_trigger_bytes`` bytes start a burst at this moment, however slow the notifies come. A burst that began by time or by
    bytes goes on while notifies come close to each other or bring that number of bytes again.
    """
    prev, held, start, _ = state
    if prev is None:
        return Decision(Burst(now), None, "Initial notify (Burst mode)")
    apart = now - prev
    close, much = apart < rule.trigger, 0 < rule.size <= grown
    if start is not None:
        if now - start >= rule.expire:
            return Decision(Burst(now), None, f"Burst (previous) expired. Notifying! [{_milli(rule.expire)}]")
        if close or much:
            return _hold(Burst(now, held + 1, start, start + rule.expire), "")
        return Decision(Burst(now), None, f"Burst (existing) ended. Notifying! [{_milli(apart)}] elapsed.")
    if much:
        return _hold(Burst(now, held + 1, now, now + rule.expire), "Burst detected. Starting Burst mode!")
    if close and rule.times:
        if held < rule.times - 1:
            line = f"Burst detected *BUT* waiting for [{rule.times}] in a row."
            return _hold(Burst(now, held + 1, None, prev + rule.trigger), line)
        return _hold(Burst(now, held + 1, prev, prev + rule.expire), "Burst detected. Starting Burst mode!")
    # Close ones that are no burst by themselves may come by the thousand: not a line for each.
    return Decision(Burst(now), None, "" if close else f"Regular rate (not a Burst). Notifying! [{_milli(apart)}]")


def looked(state: Burst, now: int) -> Decision | None:
    """The decision about a held notify at ``now``; None where none is held."""
    if state.pending is None:
        return None
    if now >= state.pending:
        return Decision(flushed(state), None, "Pending AND expired data detected. Notifying!")
    left = (state.pending - now) / _SECOND
    return Decision(state, state.pending, f"Pending data detected. *BUT*, has NOT expired yet. [{left:.3f}] secs to go.")


def flushed(state: Burst) -> Burst:
    """The state after a notify outside of the rule: no data is held any more. A burst goes on."""
    return state._replace(pending=None)


def forgettable(rule: Rule, state: Burst, now: int) -> bool:
    """Whether the file is quiet by now: its state makes no difference to the next notify (but for its bytes)."""
    return state.pending is None and (state.prev is None or now - state.prev >= max(rule.trigger, rule.expire))


def _hold(state: Burst, line: str) -> Decision:
    return Decision(state, state.pending, line)


def _milli(nanoseconds: int) -> str:
    return f"{nanoseconds / _MILLI:g}"
