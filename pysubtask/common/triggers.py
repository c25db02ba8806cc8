"""What makes a watch entry's files go, in words for people."""

import os

from .entries import Entry
from .notify import NOTIFY


def when_sent(entry: Entry) -> str:
    """What makes a file of this entry be sent. Pure."""
    if entry.kind == "file":
        return "sent when it changes" if entry.on_change else f"sent when {os.path.basename(entry.path)}{NOTIFY} is touched"
    if entry.on_change:
        return "each file is sent when it is new and when it changes"
    return f"each new file is sent once, and again when FILE{NOTIFY} is touched"
