"""Exit statuses of the command ``pysubtask``, and the errors that end in them."""

from __future__ import annotations

from ..common.errors import PysubtaskError

OK = 0
FAILED = 1
"""The command was tried and did not work."""
USAGE = 2
"""The command line or the config is wrong; nothing was started or changed."""
NO_TASK = 3
"""There is no such task, or no task at all, or several tasks fit where one is needed."""
NO_ANSWER = 4
"""The child did not reply in time; the request stays in its folder and is carried out when the child reads it."""
LOCKED = 5
"""Another process holds the lock: it runs this task already."""

MEANINGS = {
    OK: "Done.",
    FAILED: "What was asked for did not work; the line on stderr says why.",
    USAGE: "The command line or the config is wrong; nothing was started or changed.",
    NO_TASK: "There is no such task, or several where one was meant.",
    NO_ANSWER: "The child does not run or did not answer in time; the order stays and is carried out when it does.",
    LOCKED: "Another process runs this already.",
    130: "Ended by Ctrl-C.",
}


class CommandError(PysubtaskError):
    """An error that ends a command. Its text is for a person and names a remedy; ``status`` is the exit status."""

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status
