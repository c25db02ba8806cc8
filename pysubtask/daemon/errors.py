"""What a daemon answers, or that it does not: the errors that travel between a daemon and its clients."""

from __future__ import annotations

from ..common.errors import PysubtaskError


class DaemonError(PysubtaskError):
    """Root of what can go wrong between a client and a daemon. ``daemon``: its name; ``part``: the item or method; ``reason``: the
    text without these; ``kind``: the name of the exception in the daemon, '' where it is none of the daemon's own."""

    def __init__(self, reason: str, *, daemon: str = "", part: str = "", kind: str = "") -> None:
        super().__init__(reason)
        self.reason, self.daemon, self.part, self.kind = reason, daemon, part, kind

    def __str__(self) -> str:
        place = ".".join(word for word in (self.daemon, self.part) if word)
        text = super().__str__()
        return f"{place}: {text}" if place else text

    def __reduce__(self) -> tuple[object, ...]:
        return _remade, (type(self), self.reason, self.daemon, self.part, self.kind)


class Refused(DaemonError):
    """The daemon says no, and nothing was changed: raised in ``validate_x`` or in a method, with a sentence for the caller."""


class Failed(DaemonError):
    """The code of the daemon raised something else; ``kind`` is its class, and ``reason`` its text."""


class NoAnswer(DaemonError):
    """No answer came in time, or the daemon ended meanwhile. What was asked for may still be done; the next call works."""


class NoSuchDaemon(DaemonError):
    """No daemon of this name runs now; nothing was done."""


class Cancelled(DaemonError):
    """The call was cancelled: raised by ``progress`` and ``sleep`` in the daemon, and by the call at its client."""


KINDS: dict[str, type[DaemonError]] = {kind.__name__: kind for kind in (Refused, Failed, NoAnswer, NoSuchDaemon, Cancelled)}


def _remade(kind: type[DaemonError], reason: str, daemon: str, part: str, name: str) -> DaemonError:
    return kind(reason, daemon=daemon, part=part, kind=name)


def to_json(exc: BaseException, part: str) -> dict[str, str]:
    """An exception of a daemon's code as it is sent to a client."""
    if isinstance(exc, DaemonError):
        return {"error": type(exc).__name__, "reason": exc.reason, "part": exc.part or part, "kind": exc.kind}
    text = str(exc) or "no text"
    return {"error": "Failed", "reason": f"{type(exc).__name__}: {text}", "part": part, "kind": type(exc).__name__}


def of_json(found: dict[str, str], daemon: str) -> DaemonError:
    """The exception that a daemon has sent."""
    kind = KINDS.get(str(found.get("error")), Failed)
    words = {key: str(found.get(key, "")) for key in ("part", "kind")}
    return kind(str(found.get("reason", "")), daemon=daemon, part=words["part"], kind=words["kind"])
