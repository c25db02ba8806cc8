"""Why nothing moves, or what does, in one plain sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from .disk import repair_of
from .remedy import ended
from .text import amount, clock, files, seconds, span

STALL_SECS = 5.0
"""Seconds without progress after which the files in flight count as stalled."""
_WORTH_SAYING = 10.0
"""Seconds: an obstacle is mentioned only when it has lasted as long."""
_NAMES = 3
"""How many files are named; the others are counted."""
_NETWORK = re.compile(
    r"network is (unreachable|down)|no route to host|name resolution|name or service not known|getaddrinfo|cannot be resolved|"
    r"no way to the network",
    re.I,
)
_FAULTS = {
    "read": ("cannot be read", "cannot be read"),
    "missing": ("was notified and is not there", "were notified and are not there"),
    "changing": ("is written too often to be copied", "are written too often to be copied"),
    "clash": ("has a name that is another's on the server", "have names that are others' on the server"),
}


def standing(page: Mapping[str, Any], now: float) -> float | None:
    """Since how many seconds nothing has moved of what is on its way; None where something does."""
    written = seconds(page.get("at"))
    if not page.get("moving") or written is None or now - written < STALL_SECS:
        return None
    return now - written


def why(
    page: Mapping[str, Any] | None,
    *,
    pid: int | None,
    last_sign: float | None,
    now: float,
    queue: Mapping[str, Any] | None = None,
    limit: float = 0,
    frozen: bool = False,
    missing: str = "",
    stale: str = "",
    elsewhere: bool = False,
) -> str:
    """The sentence.

    ``page``: what the child last wrote about itself; ``pid``: of the living child, None where there is none; ``last_sign``:
    when it last wrote anything, and ``now`` (seconds since the epoch); ``queue``: the queue in numbers where that is known
    better than from the page; ``limit``: RateLimit in bytes per second, 0 is none;
    ``frozen``: a signal stopped it. ``missing``: what keeps its folder from being used. ``stale``: why the page of a living child
    may be over, and of a dead one what is wrong with its disk. ``elsewhere``: a child that cannot be seen from here has the lock.
    """
    counts = queue if queue is not None else (page or {}).get("queue") or {}
    if elsewhere:
        page_text = "; ".join([*_main(page, counts, now, limit), *_besides(page, counts, now)]) if page else ""
        text = "Its child runs where it cannot be seen from here: in another container, or on another host, that has this folder."
        return f"{text} Its page says: {_upper(page_text)}." if page_text else text
    if pid is None and missing:
        return (
            f"{_upper(missing)}. It is the first that the task watches and keeps its queue, so the whole task waits for it. "
            "Nothing is sent until it is there; nothing is written in its place."
        )
    if pid is None:
        return _dead(page, counts, last_sign, now) + (f" Its disk takes nothing now: {_bare(stale)}." if stale else "")
    if frozen:
        return f"The child was stopped by a signal; 'kill -CONT {pid}' lets it go on."
    if stale:
        return _over(page, pid, stale, counts, now, limit)
    if page is None or page.get("pid") != pid:
        return "The child is starting."
    if page.get("state") == "stopped":
        return "The child has stopped and is about to end."
    if page.get("state") == "failed":
        return f"The child cannot go on and is about to end: {_bare(page.get('why'))}."
    return _upper("; ".join([*_main(page, counts, now, limit), *_besides(page, counts, now)])) + "."


def _over(page: Mapping[str, Any] | None, pid: int, stale: str, counts: Mapping[str, Any], now: float, limit: float) -> str:
    """The sentence where the page may be out of date: first that, then the content of the page, as of its time."""
    begin = f"What the child (pid {pid}) does now cannot be told: {_bare(stale)}."
    at = seconds((page or {}).get("at"))
    if page is None or page.get("pid") != pid or at is None:
        return begin
    page_text = "; ".join([*_main(page, counts, at, limit), *_besides(page, counts, at)])
    return f"{begin} Its last page, of {span(max(0.0, now - at))} ago ({clock(at, now)}), said: {_upper(page_text)}."


def word(
    page: Mapping[str, Any],
    *,
    pid: int | None,
    now: float,
    queue: Mapping[str, Any],
    frozen: bool = False,
    missing: str = "",
    stale: str = "",
    elsewhere: bool = False,
) -> str:
    """The state in one word, or two. The arguments are those of :func:`why`."""
    state = str(page.get("state") or "")
    if elsewhere:
        return "elsewhere"
    if pid is None and missing:
        return "missing"
    if pid is None:
        return state if state in ("stopped", "failed") else "dead" if page else "never run"
    if frozen:
        return "frozen"
    if stale:
        return "unknown"
    if page.get("pid") != pid:
        return "starting"
    if state == "stopping":
        return state
    if _pauser(page):
        return "paused"
    if state not in ("connected", "watching", "resting"):
        return state
    if page.get("moving"):
        return "sending" if standing(page, now) is None else "stalled"
    if _waiting(page, queue):
        return "sending" if state == "connected" else "connecting"
    for key, label in (("disk_low", "disk low"), ("missing", "missing"), ("cannot_read", "unreadable")):
        if page.get(key):
            return label
    if int(queue.get("parked") or 0):
        return "parked"
    return "resting" if state == "resting" else "idle"


def remedy(page: Mapping[str, Any], *, pid: int | None, queue: Mapping[str, Any], more: str) -> str:
    """What a person can do where something is wrong, ending with where ``more`` is said; empty where all is well, or where the
    sentence says all that is to be done."""
    state, problem = page.get("state"), page.get("problem") or {}
    if pid is None:
        return _upper(more) + "." if state == "failed" else ""
    if state in ("held", "waiting") or (state in ("starting", "stopping") and problem):
        return sentence(str(problem.get("remedy") or ""), more)
    if page.get("disk_low"):
        return sentence(repair_of(str((page.get("disk") or {}).get("problem") or "")), more)
    if page.get("missing") or page.get("cannot_read") or int(queue.get("parked") or 0):
        return sentence("", more)
    return ""


def first(before: str, rest: str) -> str:
    """An advice with another one before it, where there is one."""
    return f"{_upper(before)}. {rest}".rstrip() if before else rest


def sentence(advice: str, more: str) -> str:
    """An advice, and where more is said."""
    return f"{ended(advice)} {_upper(more)}." if advice else f"{_upper(more)}."


def not_queued(page: Mapping[str, Any], now: float) -> list[str]:
    """What ought to be in the queue and is not, and why."""
    found = []
    if page.get("disk_low"):
        found.append(_disk(page))
    for row in page.get("missing") or []:
        since = _since(row.get("since"), now)
        reason = _bare(row.get("reason"))
        found.append(f"the watched {row.get('path')} is not there{since}" + (f" ({reason})" if reason else ""))
    rows = list(page.get("cannot_read") or [])
    untold = max(0, int(page.get("unreadable") or 0) - len(rows))
    for kind, (one, several) in _FAULTS.items():
        names = [os.path.basename(str(row.get("path"))) for row in rows if row.get("kind", "read") == kind]
        if not names:
            continue
        count, untold = len(names) + untold, 0
        listed = ", ".join(names[:_NAMES]) + (f" and {count - _NAMES} more" if count > _NAMES else "")
        found.append(f"{files(count)} {one if count == 1 else several}: {listed}")
    found += [_never_quiet(row) for row in list(page.get("never_quiet") or [])[:_NAMES]]
    found += _settling(page)
    count = int(page.get("being_copied") or 0)
    if count:
        found.append(f"{files(count)} {'is' if count == 1 else 'are'} due and not in the queue yet, which goes on")
    return found


def _settling(page: Mapping[str, Any]) -> list[str]:
    rows = list(page.get("settling") or [])
    count = len(rows) + int(page.get("settling_more") or 0)
    if not rows:
        return []
    longest = max(float(row.get("settle_secs") or 0) for row in rows)
    names = ", ".join(os.path.basename(str(row.get("path"))) for row in rows[:_NAMES])
    listed = names + (f" and {count - _NAMES} more" if count > _NAMES else "")
    return [f"{files(count)} {'waits' if count == 1 else 'wait'} until quiet for settle_secs ({longest:g} s): {listed}"]


def _never_quiet(row: Mapping[str, Any]) -> str:
    name, settle = os.path.basename(str(row.get("path"))), float(row.get("settle_secs") or 0)
    since = span(float(row.get("for_secs") or 0))
    text = f"{name} changes all the time, for {since} now: never quiet for settle_secs ({settle:g} s)"
    return f"{text}, so it is sent now and then" if row.get("goes") else f"{text}, so it is not sent yet"


def _dead(page: Mapping[str, Any] | None, counts: Mapping[str, Any], last_sign: float | None, now: float) -> str:
    left = sum(int(counts.get(key) or 0) for key in ("waiting", "sending", "parked"))
    queued = f" {files(left)} {'is' if left == 1 else 'are'} queued and will be sent then." if left else ""
    start = f"Its app or 'pysubtask run' starts it.{queued}"
    if page is None:
        return f"No child has run here yet. {start}"
    since = f"{span(now - last_sign)} ago ({clock(last_sign, now)})" if last_sign is not None else "at an unknown time"
    if page.get("state") == "stopped":
        return f"The child was stopped {since}. {start}"
    if page.get("state") == "failed":
        return f"The child could not go on and ended {since}: {_bare(page.get('why'))}. {start}"
    return f"The child is dead; its last sign came {since}. {start}"


def _main(page: Mapping[str, Any], counts: Mapping[str, Any], now: float, limit: float) -> list[str]:
    """The main activity, in clauses; none where only the obstacles of ``_besides`` prevent it."""
    state, text = page.get("state"), _bare(page.get("why"))
    waiting = _waiting(page, counts)
    queued = [f"{files(waiting)} {'waits' if waiting == 1 else 'wait'} to be sent"] if waiting else []
    if state == "stopping":
        problem = _bare((page.get("problem") or {}).get("text"))
        return [f"It is stopping, {text}, and sends what it can before", *queued, *([problem] if problem else [])]
    everything = _pauser(page)
    if everything:
        return [f"Paused by {everything}; 'pysubtask resume' lets it go on"]
    due = seconds(page.get("next_try"))
    again = "" if due is None else f", next try in {span(due - now)}" if due > now else ", trying again now"
    trouble = page.get("problem") or {}
    since = _from(page.get("problem_since"), now)
    if state in ("held", "waiting"):
        return [f"{_obstacle(page, text)}{f', since {since}' if since else ''}{again}: {text}"]
    if state == "connecting":
        reason = _bare(trouble.get("text"))  # it stays until a connection is there
        tries = f"the tries since {since}" if since else "the try before"
        return ["Connecting", *queued, *([f"{tries} came to nothing: {reason}"] if reason else [])]
    if state == "starting":
        return ["The child is starting" + (f", {text}" if text else "")]
    moving = len(page.get("moving") or [])
    if moving:
        stands = standing(page, now)
        if stands is not None:
            return [f"Sending {files(moving)}, but nothing was acknowledged for {span(stands)}"]
        return [f"Sending {files(moving)}" + (f", at most {amount(limit)}/s (RateLimit)" if limit else "")]
    if queued:
        return queued
    if page.get("disk_low") or page.get("missing"):
        return []
    return ["Nothing to send" + ("; the connection rests" if state == "resting" else "")]


def _obstacle(page: Mapping[str, Any], text: str) -> str:
    """The obstacle, in a few words."""
    problem = page.get("problem") or {}
    if page.get("state") == "held":
        what = _upper(str(problem.get("headline") or "the login is refused"))
        return f"{what}, so everything is held and nothing is lost"
    if problem.get("kind") == "server_busy":
        return "The server asks for a pause"
    if _NETWORK.search(text):
        return "Waiting for the network"
    return "The connection was lost" if problem.get("kind") == "connection_lost" else "There is no connection"


def _besides(page: Mapping[str, Any], counts: Mapping[str, Any], now: float) -> list[str]:
    """What does not keep the rest from moving."""
    found = not_queued(page, now)
    reason = _bare(page.get("watch_reason"))
    if page.get("watch") == "polling" and reason:
        found.append(f"changes are found by looking, not by file events: {reason}")
    parked = int(counts.get("parked") or 0)
    if parked:
        found.append(f"the server refuses {files(parked)} ('pysubtask queue' says why)")
    again = page.get("tried_again") or []
    if again:
        # The one that was reported last, as a sample of the rest.
        row = again[-1]
        alone = "is tried again by itself" if len(again) == 1 else "are tried again one by one"
        due = seconds(row.get("next_try"))
        soon = f" in {span(due - now)}" if due is not None and due > now else ""
        found.append(f"{files(len(again))} {alone}{soon} ({_bare(row.get('reason'))})")
    paused = [row.get("name") for row in page.get("paused") or [] if row.get("name") is not None]
    if paused:
        found.append(f"{files(len(paused))} paused one by one ('pysubtask queue' says by whom)")
    return found


def _disk(page: Mapping[str, Any]) -> str:
    count = int(page.get("not_copied") or 0)
    disk = page.get("disk") or {}
    free, least = disk.get("free"), disk.get("least")
    if not count and disk.get("problem"):
        return f"nothing is copied; the local disk takes nothing: {_bare(disk['problem'])}"
    if not count:
        return "nothing is copied; the disk is nearly full, so nothing new is copied until there is room (MinFreeBytes)"
    due = f"{files(count)} {'is' if count == 1 else 'are'} due and not copied"
    if disk.get("problem"):
        return f"{due}: the local disk takes nothing; {_bare(disk['problem'])}"
    if free is None or least is None:
        return f"{due}: the disk is full"
    room = f"{due}: the disk has {_mega(free)} free and MinFreeBytes asks for {_mega(least)}"
    return room if free < least else f"{room}, which the next copy would not leave"


def _mega(count: float) -> str:
    """Bytes as the setting is written: a mega is 1024 times 1024."""
    return f"{count / 2**20:.0f} MB" if count >= 10 * 2**20 else f"{count / 2**20:.1f} MB"


def _waiting(page: Mapping[str, Any], counts: Mapping[str, Any]) -> int:
    """How many files wait to be sent, and were not paused one by one."""
    paused = sum(row.get("name") is not None for row in page.get("paused") or [])
    return max(0, int(counts.get("waiting") or 0) - paused)


def _pauser(page: Mapping[str, Any]) -> str:
    """Who paused everything."""
    return next((str(row.get("who")) for row in page.get("paused") or [] if row.get("name") is None), "")


def _since(at: object, now: float) -> str:
    found = at if isinstance(at, int | float) else seconds(at)
    return "" if found is None else f" since {span(now - found)}"


def _from(at: object, now: float) -> str:
    """The time since when, where that is more than _WORTH_SAYING seconds ago."""
    found = seconds(at)
    return "" if found is None or now - found < _WORTH_SAYING else f"{clock(found, now)} ({span(now - found)})"


def _bare(text: object) -> str:
    return str(text or "").rstrip(". ")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
