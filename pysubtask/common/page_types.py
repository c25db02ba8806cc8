"""What a status page holds, for type checkers. docs/api.md has the same; docs/config.md has more.

Times ``at``, ``since`` and the like are UTC, as ``2026-11-21T20:37:10.205Z``. Every field may be missing: a child that has just
begun knows less, and one of another version may write others. No app loads this unless it asks for it.
"""

from typing import Literal, NotRequired, TypeAlias, TypedDict

from .event_types import EventFields as EventFields
from .event_types import OrderedBy as OrderedBy

ChildState: TypeAlias = Literal[
    "starting", "watching", "connecting", "connected", "resting", "waiting", "held", "paused", "stopping", "stopped", "failed"
]
"""What a child does, in a word."""


class QueueCounts(TypedDict):
    """The queue in numbers."""

    waiting: int
    """Files that wait to be sent."""
    sending: int
    """Files that are being sent."""
    parked: int
    """Files that the server refused: each is offered again after ``ParkedRetrySecs``."""
    bytes: int
    """Size of all these files, parked ones included."""
    oldest: str | None
    """When the oldest of these files was queued; None where there is none."""


class MovingFile(TypedDict):
    """A file that is being sent."""

    name: str
    """Its name on the server, relative to the folder of the destination."""
    size: int
    """Bytes of the file."""
    done: int
    """Bytes that the server has confirmed."""
    since: str
    """When the transfer began."""


class ParkedFile(TypedDict):
    """A file that the server refuses."""

    name: str
    """Its name on the server."""
    path: str
    """Absolute path of the data file."""
    reason: str
    """Why the server refused the file, in words."""


class RetriedFile(TypedDict):
    """A file of which attempts failed while the connection was good."""

    name: str
    """Its name on the server."""
    reason: str
    """Why the last attempt failed."""
    tries: int
    """Failed attempts in a row."""
    next_try: str
    """When the next attempt is due."""


class PausedName(TypedDict):
    """A pause that lasts until it is resumed."""

    name: str | None
    """Name of the paused file on the server; None: the whole task."""
    who: str
    """Who ordered the pause, in words."""


class Problem(TypedDict):
    """What keeps everything from being sent."""

    kind: str
    """The kind of the event of the problem, as ``login_refused``."""
    text: str
    """What happened, in words."""
    headline: NotRequired[str]
    """The problem in a few words, where the kind alone is not clear enough."""
    remedy: NotRequired[str]
    """What a person can do."""
    step: NotRequired[str]
    """What the child was doing, as "renaming into place"."""
    file: NotRequired[str]
    """The name on the server of the file that the step was done to."""
    said: NotRequired[str]
    """The server's own words."""


class LastError(TypedDict):
    """The newest error of any kind."""

    at: str
    """When the error happened."""
    kind: str
    """The kind of the event of the error."""
    text: str
    """What happened, in words."""
    about: NotRequired[str]
    """Name or path of the file that the error concerns."""
    step: NotRequired[str]
    """What the child was doing."""
    file: NotRequired[str]
    """The name on the server of the file that the step was done to."""
    said: NotRequired[str]
    """The server's own words."""
    over: NotRequired[bool]
    """True where the error no longer exists."""


class LastDelivery(TypedDict):
    """The file that was delivered last."""

    at: str
    """When the delivery was complete."""
    name: str
    """Its name on the server."""
    size: int
    """Bytes of the file."""


class WatchedEntry(TypedDict):
    """A watch entry."""

    path: str
    """The watched file or folder, absolute."""
    when: str
    """When its files are sent, in words."""


class UnreadableFile(TypedDict):
    """A file that cannot be copied now."""

    path: str
    """Absolute path of the file."""
    reason: str
    """Why the file cannot be copied, in words."""
    kind: NotRequired[str]
    """``missing``, ``changing`` or ``clash``; without the field the file cannot be read."""


class SettlingFile(TypedDict):
    """A file that waits until it has been quiet for long enough."""

    path: str
    """Absolute path of the file."""
    settle_secs: float
    """Seconds without a change that are needed."""


class BusyFile(TypedDict):
    """A file that changes all the time."""

    path: str
    """Absolute path of the file."""
    for_secs: float
    """Seconds since the first of these changes."""
    settle_secs: float
    """Seconds without a change that are needed."""
    goes: bool
    """Whether the file is sent now and then in spite of the changes."""


class ExcludedFile(TypedDict):
    """A file in a watched folder that is left out."""

    path: str
    """Absolute path of the file."""
    why: str
    """The reason: a pattern, a name that is never sent, no plain file, a link that leads away."""


class MissingFolder(TypedDict):
    """A watched folder that is missing, or has lost its disk."""

    entry: int
    """Number of its watch entry, from 0."""
    path: str
    """Absolute path of the folder."""
    since: str
    """When the child found it missing."""
    reason: str
    """Why the folder cannot be used, in words."""


class DiskRoom(TypedDict):
    """The local disk when the last copy had no room."""

    free: int | None
    """Bytes that were free; None where space was not the reason."""
    least: int | None
    """Bytes that must stay free (``MinFreeBytes``); None where space was not the reason."""
    problem: NotRequired[str]
    """Another reason: read-only, no inodes left, an error."""


class StatusPage(TypedDict, total=False):
    """What a child last wrote about itself: ``status.json``."""

    state: ChildState
    """What the child does, in a word."""
    state_since: str
    """When the state began."""
    why: str
    """The reason for the state, in plain words."""
    queue: QueueCounts
    """The queue in numbers."""
    paused: list[PausedName]
    """What is paused."""
    moving: list[MovingFile]
    """Files that are being sent."""
    rate: int | None
    """Bytes of files per second in the last seconds; None while nothing is sent."""
    parked: list[ParkedFile]
    """Files that the server refuses."""
    tried_again: list[RetriedFile]
    """Files of which an attempt failed while the connection was good."""
    delivered: int
    """Files delivered since the start of the child."""
    bytes_sent: int
    """Bytes handed to the connections that delivered files, since the start of the child."""
    bytes_new: int
    """Bytes of these files that were not in the delivery before."""
    bytes_on_wire: int | None
    """Everything that went over the link in both directions, since the start of the child; None where that is not known."""
    heartbeat_bytes: int | None
    """How much of ``bytes_on_wire`` went for heartbeats; None where that is not known."""
    receipt: int
    """``seq`` of the last receipt that the page includes."""
    server: list[str] | None
    """What the server cannot do and what is done instead, in sentences; None where the server does everything."""
    last_delivery: LastDelivery
    """The file that was delivered last."""
    problem: Problem | None
    """What keeps everything from being sent; None where nothing does."""
    problem_since: str | None
    """When the problem began."""
    next_try: str | None
    """When the next attempt to connect is due."""
    last_error: LastError
    """The newest error of any kind."""
    watched: list[WatchedEntry]
    """The first watch entries."""
    watched_more: int
    """How many more watch entries there are."""
    being_copied: int
    """Files that are due and not in the queue yet."""
    kept_copies: int
    """Snapshots of growing files that are kept to be continued."""
    kept_bytes: int
    """How many bytes these are."""
    settling: list[SettlingFile]
    """The first files that wait until they are quiet."""
    settling_more: int
    """How many more such files there are."""
    excluded: list[ExcludedFile]
    """The first files in watched folders that are left out."""
    excluded_more: int
    """How many more such files there are."""
    watch: Literal["events", "polling"]
    """How changes are found: by file events, or by polling."""
    watch_reason: str
    """Why changes are found by polling."""
    never_quiet: list[BusyFile]
    """The first files that wait because they change all the time."""
    disk_low: bool
    """Whether the local disk is too full for snapshots."""
    cannot_read: list[UnreadableFile]
    """The first files that cannot be copied now."""
    unreadable: int
    """How many files cannot be copied now."""
    not_copied: int
    """Files that are due and have no room on the local disk."""
    disk: DiskRoom
    """The local disk when the last copy had no room."""
    missing: list[MissingFolder]
    """Watched folders that are missing."""
    state_folder: str
    """Absolute path of the state folder."""
    state_why: str
    """Why the state is not in the first entry's folder; '' where it is."""
    snapshots: str | None
    """Absolute path of the folder of the snapshots; None without snapshots."""
    snapshots_elsewhere: bool
    """Whether the snapshots are on another device than the data."""
    epoch: int
    """Number of the start of the child, as in events."""
    n: int
    """Number of the last event of this start that the page includes."""
    at: str
    """When the page was written."""
    events_lost: int
    """Events that did not fit on the disk."""
    format: int
    """Version of the format of the page."""
    pid: int
    """Process id of the child."""
    pid_start: str | None
    """Start of that process, as the system counts it: it tells a used-again id apart."""
    master_pid: int | None
    """Process id of the master; None for a child that was started by hand."""
    master_start: str | None
    """Start of the process of the master."""
    task: str
    """``TaskName``."""
    label: str
    """What people call the task."""
    extension: str
    """Which child of the task: 'ftp', 'dropbox', or a name of the app's own."""
    destination: str
    """URL of the folder on the server, without secrets."""
    folder: str
    """The first watched folder, absolute."""
    config_file: str
    """The config file; '' for an app's own config."""
    started_at: str
    """When the child was started."""
    mark: str
    """Fingerprint of the settings the child runs under."""
