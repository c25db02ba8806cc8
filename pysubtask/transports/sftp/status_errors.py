"""The error for a server's bad status: the step, the file, the server's text, and its meaning where that is known. Pure.

SSH_FX_FAILURE ("Failure") has no specific meaning (section 7), so no cause is derived from it.
"""

from __future__ import annotations

import re

from ...common.errors import AttemptFailed, FileRefused, TransportError
from . import packets
from .packets import Reply, Status

_WHY_FAILURE = {
    "open": "the folder may be a file, or the name too long for the server",
    "rename": "a folder of that name may stand there",
}
_MAY_NOT = {
    "build": "this login may not open it",
    "copy": "this login may not read it",
    "rename": "this login may not rename there",
    "clear": "this login may not remove it",
    "look": "this login may not look there",
    "show": "this login may not look there",
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
    "store": "opening it under its own name",
}
_FULL = re.compile(r"no space|disk (is )?full|not enough (disk )?space|quota|ENOSPC|EDQUOT", re.I)


def is_unknown(answer: Reply) -> bool:
    """Whether the server does not know the request (SSH_FX_OP_UNSUPPORTED)."""
    return isinstance(answer, Status) and answer.code == packets.OP_UNSUPPORTED


def says_full(answer: Reply) -> bool:
    """Whether the status, by code or text, says that the disk or the quota is full."""
    return (
        isinstance(answer, Status)
        and answer.code != packets.OK
        and (answer.code in (packets.NO_SPACE, packets.QUOTA_EXCEEDED) or bool(_FULL.search(answer.message)))
    )


def refusal(step: str, name: str, answer: Reply, more: str = "", *, file: str = "", remedy: str = "") -> TransportError:
    """The error for a status other than OK: nearly always FileRefused. A reply of the wrong kind is AttemptFailed, as it belongs to
    this request and the connection stays good.

    ``step`` is one of open, build, write, copy, sync, show, close, rename, clear, look, store; ``file`` the name that the
    step was about, where it is not ``name``; ``more`` a hint of the caller.
    """
    words = _STEPS[step] + (f" {file}" if file else "")
    if not isinstance(answer, Status):
        kind = type(answer).__name__
        return AttemptFailed(f"{name}: {words} was answered with something else ({kind})", step=_STEPS[step], file=file or name)
    message = f"{name}: {words}: server said: {answer}"
    if answer.code in (packets.NO_CONNECTION, packets.CONNECTION_LOST):
        words = f"{message} (what it stores files on may be away)"
        return AttemptFailed(words, step=_STEPS[step], file=file or name, server_text=str(answer))
    hints = [more] if more else []
    if says_full(answer):
        hints.append("there is no room left for this account")
    elif answer.code == packets.FAILURE and step in _WHY_FAILURE and not more:
        hints.append(_WHY_FAILURE[step])
    elif answer.code == packets.PERMISSION_DENIED:
        hints.append(_MAY_NOT.get(step, "this login may not write there"))
    elif answer.code == packets.NO_SUCH_FILE and step == "open":
        hints.append("its folder is not there and could not be made")
    text = message + (f" ({'; '.join(hints)})" if hints else "")
    return FileRefused(text, remedy, step=_STEPS[step], file=file or name, server_text=str(answer))
