"""What an event holds, for type checkers. docs/api.md has the same; docs/config.md has more.

Every field may be missing. No app loads this unless it asks for it.
"""

from typing import Literal, TypedDict


class OrderedBy(TypedDict):
    """Who gave an order."""

    user: str
    """Login name."""
    pid: int
    """Process id of the command, or of the app."""
    command: str
    """The command line, or the method that was called."""
    host: str
    """Name of the host."""


class EventFields(TypedDict, total=False):
    """What is particular to an event; which fields a kind has is in docs/config.md, events.jsonl."""

    name: str
    """Name of the file on the server."""
    names: list[str] | None
    """Names that an order is about; None: everything."""
    path: str
    """Absolute path of the data file."""
    files: list[str]
    """Paths that an order notified."""
    size: int
    """Bytes of the file."""
    replaced: bool
    """True where a version that waited was replaced."""
    bytes_sent: int
    """Bytes handed to the connection that delivered the file."""
    bytes_new: int
    """Bytes that were not in the delivery before."""
    bytes_on_wire: int | None
    """Bytes that went over the link in both directions since the receipt before; None where that is not known."""
    receipt: int
    """``seq`` of the receipt."""
    verified: str
    """How the delivery was verified, as on its receipt."""
    reason: str
    """Why, in words."""
    error: str
    """Name of the error's class, as ``FileRefused``."""
    step: str
    """What the child was doing, as "renaming into place"."""
    file: str
    """The name on the server of the file that the step was done to."""
    said: str
    """The server's own words."""
    secs: float
    """Seconds until the next attempt, or that the connection was quiet."""
    destination: str
    """URL of the folder on the server, without secrets."""
    pid: int
    """Process id of the child."""
    master_pid: int | None
    """Process id of the master that is gone."""
    source: str
    """The state folder of before."""
    folder: str
    """The state folder of now."""
    done: Literal["followed", "replaced"]
    """What was done about a symbolic link on the server."""
    target: str | None
    """Where the link points; None where that is not known."""
    means: str
    """What the server was found to do or not to do."""
    before: str
    """The method that was used until now."""
    now: str
    """The method that is used from now on."""
    text: str
    """The change in a sentence."""
    hook: str
    """Name of the app's method that raised."""
    key: str
    """Name of the setting."""
    old: object
    """Its value before."""
    new: object
    """Its new value."""
    kept: bool
    """Whether the new value is kept over restarts."""
    count: int
    """How many files the order put back into the queue."""
    by: OrderedBy
    """Who gave the order."""
