"""Reports once how a symbolic link on the server was handled."""

from __future__ import annotations

from ...transports.base import Link
from ..spool.jobs import ClaimedJob
from .context import DeliveryContext

_MOST_NAMES = 1000


class RemoteLinks:
    """The last report for each remote name since the child began, so that the same one is not repeated at each delivery."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._reported: dict[str, Link] = {}

    def report(self, version: ClaimedJob, link: Link | None) -> None:
        """Write one log line and one event, unless the same was reported for this name before."""
        if link is None or self._reported.get(version.name) == link:
            return
        while len(self._reported) >= _MOST_NAMES:
            del self._reported[next(iter(self._reported))]
        self._reported[version.name] = link
        target = f" to {link.target!r}" if link.target else ""
        did = "the link is kept and the file it points to is written" if link.done == "followed" else "a file replaces the link"
        why = f": {link.why}" if link.why else ""
        self._context.log.warning("[%s] is a link on the server%s; %s (RemoteLinks)%s", version.name, target, did, why)
        self._context.events.emit(
            "remote_link", name=version.name, path=version.path, done=link.done, target=link.target, reason=link.why
        )
