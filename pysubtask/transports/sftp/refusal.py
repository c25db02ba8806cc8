"""A server's bad status, in plain words: which step of which file, what was said, what it usually means. Pure."""

from __future__ import annotations

from ...common.errors import FileRefused, TransportError, TransportLost
from . import packets
from .packets import Reply, Status

_FULL = "a full disk or a quota is the usual reason"

_WHY_FAILURE = {
    "open": "the folder may be a file, or the name too long for the server",
    "write": _FULL,
    "copy": _FULL,
    "sync": _FULL,
    "rename": "a folder of that name may stand there",
    "clear": "an earlier attempt's temporary file must go first",
}
_STEPS = {
    "open": "making the temporary file",
    "build": "opening what is there",
    "write": "writing",
    "copy": "copying from what is there",
    "sync": "writing it to the server's disk",
    "show": "asking for the size",
    "close": "closing",
    "rename": "renaming it into place",
    "clear": "removing an earlier temporary file",
    "look": "looking it up",
}


def refusal(step: str, name: str, answer: Reply, more: str = "") -> TransportError:
    """What a status other than OK means for a file: nearly always FileRefused.

    ``step`` is one of open, build, write, copy, sync, show, close, rename, clear, look.
    """
    if not isinstance(answer, Status):
        return TransportLost(f"{name}: {_STEPS[step]} was answered with something else ({type(answer).__name__})")
    if answer.code in (packets.NO_CONNECTION, packets.CONNECTION_LOST):
        return TransportLost(f"{name}: the server says it lost its own connection: {answer}")
    hints = [more] if more else []
    if answer.code == packets.FAILURE and step in _WHY_FAILURE:
        hints.append(_WHY_FAILURE[step])
    elif answer.code == packets.PERMISSION_DENIED:
        hints.append("this login may not write there")
    elif answer.code == packets.NO_SUCH_FILE and step == "open":
        hints.append("its folder is not there and could not be made")
    return FileRefused(f"{name}: {_STEPS[step]}: server said: {answer}" + (f" ({'; '.join(hints)})" if hints else ""))
