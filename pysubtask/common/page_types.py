"""What a status page and an event hold, for type checkers. What each field means is in docs/config.md.

Times ``at``, ``since`` and the like are UTC, as ``2026-11-21T20:37:10.205Z``. Every field may be missing: a child that has just
begun knows less, and one of another version may write others. No app loads this unless it asks for it.
"""

from typing import Literal, NotRequired, TypeAlias, TypedDict

ChildState: TypeAlias = Literal[
    "starting", "watching", "connecting", "connected", "resting", "waiting", "held", "paused", "stopping", "stopped", "failed"
]
"""What a child does, in a word."""


class QueueCounts(TypedDict):
    """How many files wait, are being sent and are parked; their bytes; since when the oldest waits (None: none does)."""

    waiting: int
    sending: int
    parked: int
    bytes: int
    oldest: str | None


class MovingFile(TypedDict):
    """A file on its way: its name on the server, its size, the bytes that the server has confirmed, and since when."""

    name: str
    size: int
    done: int
    since: str


class ParkedFile(TypedDict):
    """A file that the server refuses."""

    name: str
    path: str
    reason: str


class RetriedFile(TypedDict):
    """A file of which ``tries`` attempts in a row failed."""

    name: str
    reason: str
    tries: int
    next_try: str


class PausedName(TypedDict):
    """What was paused (None: everything), and by whom."""

    name: str | None
    who: str


class Problem(TypedDict):
    """What keeps everything from moving. ``kind`` is that of its event."""

    kind: str
    text: str
    headline: NotRequired[str]
    remedy: NotRequired[str]
    step: NotRequired[str]
    file: NotRequired[str]
    said: NotRequired[str]


class LastError(TypedDict):
    """The newest error of any kind; ``over``: it is one no more."""

    at: str
    kind: str
    text: str
    about: NotRequired[str]
    step: NotRequired[str]
    file: NotRequired[str]
    said: NotRequired[str]
    over: NotRequired[bool]


class LastDelivery(TypedDict):
    """The last file that was delivered."""

    at: str
    name: str
    size: int


class WatchedEntry(TypedDict):
    """An entry, and when its files are sent, in words."""

    path: str
    when: str


class UnreadableFile(TypedDict):
    """A file that cannot be taken now."""

    path: str
    reason: str
    kind: NotRequired[str]


class SettlingFile(TypedDict):
    """A file that waits until it is quiet for so many seconds."""

    path: str
    settle_secs: float


class BusyFile(TypedDict):
    """A file that changes all the time; whether it ``goes`` now and then all the same."""

    path: str
    for_secs: float
    settle_secs: float
    goes: bool


class ExcludedFile(TypedDict):
    """A file that is left out, and why."""

    path: str
    why: str


class MissingFolder(TypedDict):
    """A watched folder that is not there, by the number of its entry."""

    entry: int
    path: str
    since: str
    reason: str


class DiskRoom(TypedDict):
    """Bytes that were free and those that must stay so (None: not what stood in the way), when a copy had no room."""

    free: int | None
    least: int | None
    problem: NotRequired[str]


class StatusPage(TypedDict, total=False):
    """What a child last wrote about itself: ``status.json``."""

    state: ChildState
    state_since: str
    why: str
    queue: QueueCounts
    paused: list[PausedName]
    moving: list[MovingFile]
    rate: int | None
    parked: list[ParkedFile]
    tried_again: list[RetriedFile]
    delivered: int
    bytes_sent: int
    bytes_new: int
    bytes_on_wire: int | None
    heartbeat_bytes: int | None
    receipt: int
    server: list[str] | None
    last_delivery: LastDelivery
    problem: Problem | None
    problem_since: str | None
    next_try: str | None
    last_error: LastError
    watched: list[WatchedEntry]
    watched_more: int
    being_copied: int
    settling: list[SettlingFile]
    settling_more: int
    excluded: list[ExcludedFile]
    excluded_more: int
    watch: Literal["events", "polling"]
    watch_reason: str
    never_quiet: list[BusyFile]
    disk_low: bool
    cannot_read: list[UnreadableFile]
    unreadable: int
    not_copied: int
    disk: DiskRoom
    missing: list[MissingFolder]
    state_folder: str
    state_why: str
    snapshots: str | None
    snapshots_elsewhere: bool
    epoch: int
    n: int
    at: str
    events_lost: int
    format: int
    pid: int
    pid_start: str | None
    master_pid: int | None
    master_start: str | None
    task: str
    label: str
    extension: str
    destination: str
    folder: str
    config_file: str
    started_at: str
    mark: str


class OrderedBy(TypedDict):
    """Who gave an order."""

    user: str
    pid: int
    command: str
    host: str


class EventFields(TypedDict, total=False):
    """What is particular to an event; which fields a kind has is in docs/config.md, events.jsonl."""

    name: str
    names: list[str] | None
    path: str
    files: list[str]
    size: int
    replaced: bool
    bytes_sent: int
    bytes_new: int
    bytes_on_wire: int | None
    receipt: int
    verified: str
    reason: str
    error: str
    step: str
    file: str
    said: str
    secs: float
    destination: str
    pid: int
    master_pid: int | None
    source: str
    folder: str
    done: Literal["followed", "replaced"]
    target: str | None
    means: str
    before: str
    now: str
    text: str
    hook: str
    key: str
    old: object
    new: object
    kept: bool
    count: int
    by: OrderedBy
