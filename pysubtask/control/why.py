"""Why nothing moves, or what does, in one plain sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .text import amount, clock, files, seconds, span

STALL_SECS = 5.0
"""Moving files without any news for so long count as standing."""
_MOST_MISSING = 3
_NETWORK = re.compile(r"network is (unreachable|down)|no route to host|name resolution|name or service not known|getaddrinfo", re.I)


def standing(page: Mapping[str, Any], now: float) -> float | None:
    """Since how many seconds nothing has moved of what is on its way; None where something does."""
    written = seconds(page.get("at"))
    if not page.get("moving") or written is None or now - written < STALL_SECS:
        return None
    return now - written


def why(
    page: Mapping[str, Any] | None, *, pid: int | None, last_sign: float | None, now: float,
    queue: Mapping[str, Any] | None = None, limit: float = 0, frozen: bool = False, missing: str = "",
) -> str:  # fmt: skip
    """The sentence.

    ``page``: what the child last wrote about itself; ``pid``: of the living child, None where there is none; ``last_sign``:
    when it last wrote anything, and ``now`` (seconds since the epoch); ``queue``: the queue in numbers where that is known
    better than from the page; ``limit``: RateLimit in bytes per second, 0 is none;
    ``frozen``: a signal stopped it. ``missing``: what keeps its folder from being used.
    """
    counts = queue if queue is not None else (page or {}).get("queue") or {}
    if pid is None and missing:
        return f"{missing[0].upper()}{missing[1:]}. Nothing is sent until it is there; nothing is written in its place."
    if pid is None:
        return _dead(page, counts, last_sign, now)
    if frozen:
        return f"The child was stopped by a signal; 'kill -CONT {pid}' lets it go on."
    if page is None or page.get("pid") != pid:
        return "The child is starting."
    if page.get("state") == "stopped":
        return "The child has stopped and is about to end."
    return "; ".join([_main(page, counts, now, limit), *_besides(page, counts, now)]) + "."


def _dead(page: Mapping[str, Any] | None, counts: Mapping[str, Any], last_sign: float | None, now: float) -> str:
    left = sum(int(counts.get(key) or 0) for key in ("waiting", "sending", "parked"))
    queued = f" {files(left)} {'is' if left == 1 else 'are'} queued and will be sent then." if left else ""
    start = f"Its app or 'pysubtask run' starts it.{queued}"
    if page is None:
        return f"No child has run here yet. {start}"
    since = f"{span(now - last_sign)} ago ({clock(last_sign, now)})" if last_sign is not None else "at an unknown time"
    if page.get("state") == "stopped":
        return f"The child was stopped {since}. {start}"
    return f"The child is dead; its last sign came {since}. {start}"


def _main(page: Mapping[str, Any], counts: Mapping[str, Any], now: float, limit: float) -> str:
    state, text = page.get("state"), str(page.get("why") or "").rstrip(". ")
    everything = next((row.get("who") for row in page.get("paused") or [] if row.get("name") is None), None)
    if everything:
        return f"Paused by {everything}; 'pysubtask resume' lets it go on"
    if state == "stopping":
        return f"It is stopping, {text}, and sends what it can before"
    due = seconds(page.get("next_try"))
    again = "" if due is None else f", next try in {span(due - now)}" if due > now else ", trying again now"
    if state == "held":
        return f"The login is refused, so everything is held and nothing is lost{again}: {text}"
    if state == "waiting":
        problem = page.get("problem") or {}
        if problem.get("kind") == "server_busy":
            return f"The server asks for a pause{again}: {text}"
        if _NETWORK.search(text):
            return f"Waiting for the network{again}: {text}"
        lost = "The connection was lost" if problem.get("kind") == "connection_lost" else "There is no connection"
        return f"{lost}{again}: {text}"
    if state == "connecting":
        return "Connecting"
    if state == "starting":
        return "The child is starting" + (f", {text}" if text else "")
    moving = len(page.get("moving") or [])
    if moving:
        stands = standing(page, now)
        if stands is not None:
            return f"Sending {files(moving)}, but nothing was acknowledged for {span(stands)}"
        return f"Sending {files(moving)}" + (f", at most {amount(limit)}/s (RateLimit)" if limit else "")
    paused = len([row for row in page.get("paused") or [] if row.get("name") is not None])
    waiting = int(counts.get("waiting") or 0)
    if waiting > paused:
        return f"{files(waiting - paused)} {'waits' if waiting - paused == 1 else 'wait'} to be sent"
    if page.get("disk_low"):
        return "Nothing is copied"
    return "Nothing to send" + ("; the connection rests" if state == "resting" else "")


def _besides(page: Mapping[str, Any], counts: Mapping[str, Any], now: float) -> list[str]:
    """What does not keep the rest from moving."""
    found = []
    if page.get("disk_low"):
        found.append("the disk is nearly full, so nothing new is copied until there is room (MinFreeBytes)")
    parked = int(counts.get("parked") or 0)
    if parked:
        found.append(f"the server refuses {files(parked)} ('pysubtask queue' says why)")
    paused = [row.get("name") for row in page.get("paused") or [] if row.get("name") is not None]
    if paused:
        found.append(f"{files(len(paused))} paused one by one ('pysubtask queue' says by whom)")
    missing = page.get("missing") or []
    for row in missing[:_MOST_MISSING]:
        since = seconds(row.get("since"))
        told = "" if since is None else f", since {clock(since, now)}"
        found.append(f"watch entry {int(row.get('entry') or 0) + 1} waits: {row.get('reason')}{told}")
    if len(missing) > _MOST_MISSING:
        found.append(f"{len(missing) - _MOST_MISSING} more folders are missing")
    unread = page.get("cannot_read")
    if unread:
        found.append(f"{files(len(unread))} cannot be read")
    return found
