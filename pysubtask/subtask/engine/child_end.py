"""The end of a child in good order: queue all due and held files, then deliver for as long as the reason allows."""

from __future__ import annotations

import json

from ...common import own_files
from ...common.state_files import HANDLED
from ..snapshot.pipeline import TURN_SECS
from ..watch.settle_queue import LAST_SCAN_SECS
from .child_parts import ChildParts


def end(parts: ChildParts) -> None:
    """Queue what is due, write for the master which notifies are handled, and deliver until the deadline."""
    child, context = parts.child, parts.child.context
    settings, stop = context.settings.current, context.stop
    context.status_model.state("stopping", stop.reason)
    linger = float(settings["OrphanLingerSecs"] if stop.is_orphan else settings["StopWaitSecs"])
    deadline = context.clock() + linger
    if child.hooks.is_enabled:
        # Files for which the time is too short stay due.
        parts.pipeline.take(context.clock(), everything=True, most_secs=max(TURN_SECS, linger / 2))
        _take_what_settles(parts, float(settings["StopWaitSecs"]))
    _write_handled(parts)
    context.log.info("STOP!")
    child.hooks.stop()
    child.write_page(force=True)
    # From here on any further signal is a request to end at once.
    stop.end_begins()
    parts.delivery.finish(deadline)
    child.events.emit("stopped")


def _take_what_settles(parts: ChildParts, longest: float) -> None:
    """Wait for a moment where files have just been changed. A file that is being written is not sent in its present state; the
    next start finds it."""
    context = parts.child.context
    until = context.clock() + min(LAST_SCAN_SECS, longest)
    while not context.stop.is_hurried and (at := parts.watch.last_scan_at()) is not None and context.clock() < until:
        context.alarm.wait(max(0.0, min(at, until) - context.clock()))
        parts.pipeline.take(context.clock(), everything=True)


def _write_handled(parts: ChildParts) -> None:
    """Write for the master which notify stamps are safely in the queue, so that it may remove those files."""
    stamps = parts.child.spool_thread.spool.stamps.signals
    try:
        own_files.replace(parts.child.context.handoff.state_dir, HANDLED, json.dumps(stamps).encode("ascii"))
    except OSError as exc:
        parts.child.context.log.warning("Notify files will stay, the list of handled ones cannot be written: %s", exc)
