"""One life of a child: everything due is snapshotted, queued and delivered to the model server, on one thread."""

from __future__ import annotations

import asyncio
import functools
import os
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from pysubtask.common import registry
from pysubtask.common.entries import read_entries
from pysubtask.common.errors import TransportLost
from pysubtask.common.handoff import Handoff
from pysubtask.master.child_config import plan
from pysubtask.master.state_dir import make_ready
from pysubtask.subtask.delivery.dispatcher import Dispatcher
from pysubtask.subtask.engine import child_parts, upload_delivery
from pysubtask.subtask.engine.child_process import ChildProcess
from pysubtask.subtask.snapshot import copier
from pysubtask.subtask.spool import spool_thread
from pysubtask.subtask.upload_subtask import UploadSubtask
from pysubtask.subtask.watch.watcher import Watcher
from pysubtask.transports.dropbox import transport as dropbox_transport
from pysubtask.transports.dropbox.call_pool import CallPool
from pysubtask.transports.dropbox.transport import DropboxTransport
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.sftp.transport import SFTPTransport
from pysubtask.transports.ssh.stream import ByteStream

from ..profiles import PROFILES, ServerProfile
from .dropbox_model import CHUNK_BYTES, TOKEN, ModelDropbox
from .ftp_model import FTPRules, ModelFTP
from .ftp_network import Network
from .model import ModelServer
from .quirk_model import QuirkModel
from .steps import Steps
from .turns import connected_turns, separate_turns
from .virtual_time import VirtualLoop

STUCK, VISIBLE_WRONG = 87, 88
"""Exit statuses: the queue was not empty in the end; a reader saw what must never be seen."""
_KEPT_BYTES = 1000
"""Snapshots of this size are kept and continued already: small files make quick runs."""


class Kind(NamedTuple):
    """A kind of server and of change, by ``name``: ``atomic`` (posix-rename) or swaps, ``copies`` (copy-data), ``append`` entries,
    with ``atomic_append`` as the setting AtomicAppend; ``dropbox``: the stand-in for Dropbox. ``moves``: the state with a queue
    lies where the version before kept it, and is moved. ``profile``: the server is one of these. ``ftp``: the server speaks FTP,
    by these rules. ``writes_on``: the app writes the next version after each snapshot, before that is sent, and the connection
    stays open meanwhile."""

    name: str
    atomic: bool = True
    copies: bool = False
    append: bool = False
    atomic_append: bool = True
    dropbox: bool = False
    moves: bool = False
    profile: ServerProfile | None = None
    ftp: FTPRules | None = None
    writes_on: bool = False

    @property
    def gap(self) -> bool:
        """Whether a reader may for a moment find no file."""
        replaces = self.atomic and (self.ftp is None or self.ftp.replaces)
        return not replaces or (self.profile is not None and self.profile.gap)

    @property
    def extension(self) -> str:
        """The extension of the child."""
        return "dropbox" if self.dropbox else "ftp"

    @property
    def transport(self) -> str:
        """The transport of the child."""
        return "dropbox" if self.dropbox else "ftp" if self.ftp is not None else "sftp"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("atomic replace"),
        Kind("swap", atomic=False),
        Kind("append", append=True, atomic_append=False),
        Kind("copy and patch", copies=True),
        Kind("Dropbox session", dropbox=True),
        Kind("moved state", moves=True),
        Kind("no rename over", profile=PROFILES["no rename over"]),
        Kind("object store", append=True, atomic_append=False, profile=PROFILES["object store"]),
        Kind("delete refused", copies=True, append=True, atomic_append=False, profile=PROFILES["delete refused"]),
        Kind("growing file", writes_on=True),
        Kind("growing swap", atomic=False, writes_on=True),
        Kind("growing append", append=True, atomic_append=False, writes_on=True),
        Kind("ftp whole", ftp=FTPRules(hashes=True)),
        Kind("ftp swap", ftp=FTPRules(replaces=False)),
        Kind("ftp append", append=True, atomic_append=False, ftp=FTPRules(piece=150)),
        Kind("ftp no append", append=True, atomic_append=False, ftp=FTPRules(restarts=False)),
        Kind("ftp short transfer", ftp=FTPRules(cut_at=5000, quietly=True)),
        Kind("ftp resume", ftp=FTPRules(piece=64 * 1024, cut_at=540_000)),
    )
}


class Station(NamedTuple):
    """The folders of one run: ``root`` holds data, server and state."""

    root: str

    @property
    def data(self) -> str:
        """The data file."""
        return os.path.join(self.root, "data", "a.csv")

    @property
    def server(self) -> str:
        """The folder that the server stores into."""
        return os.path.join(self.root, "server")

    @property
    def remote(self) -> str:
        """The data file's copy on the server."""
        return os.path.join(self.server, "a.csv")

    @property
    def bak(self) -> str:
        """The folder of the snapshots."""
        return os.path.join(self.root, "data", "bak")

    @property
    def account(self) -> str:
        """What the stand-in for Dropbox keeps between two lives."""
        return os.path.join(self.root, "account")

    @property
    def home(self) -> str:
        """The folder that the state is moved to, where a kind moves it."""
        return os.path.join(self.root, "home")

    def state(self, kind: Kind) -> str:
        """The state folder of this moment: once a kind that moves it has begun the new one, the new one."""
        if kind.moves and os.path.isdir(self.home) and (names := os.listdir(self.home)):
            return os.path.join(self.home, names[0], "main", "ftp")
        return os.path.join(os.path.dirname(self.inside), "dropbox") if kind.dropbox else self.inside

    @property
    def inside(self) -> str:
        """Where the version before kept the state of SFTP and FTP."""
        return os.path.join(self.root, "data", ".pysubtask", "main", "ftp")

    @property
    def cut(self) -> str:
        """A file that is there once the link was cut."""
        return os.path.join(self.root, "cut")

    @property
    def late(self) -> str:
        """The folder that keeps the requests a frozen server will still carry out."""
        return os.path.join(self.root, "late")


class _Inline:
    """A worker that carries out each order at once, on the caller's thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.down = False

    def submit(self, call: Callable[[], None]) -> None:
        if self.down:
            raise RuntimeError("shut down")
        call()

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        self.down = True


async def _run_here(self: CallPool, work: Callable[..., Any], *args: Any) -> Any:
    if self._closed.done():
        raise TransportLost("closed meanwhile")
    return self._translated(work, args)


def _close_here(self: CallPool) -> None:
    if not self._closed.done():
        self._closed.set_result(None)


async def _at_once(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return call(*args, **kwargs)


class _Dispatcher(Dispatcher):
    """A dispatcher on the caller's thread, not on one of its own."""

    def start(self) -> None:
        return None


def live(
    station: Station,
    kind: Kind,
    steps: Steps,
    on_change: Callable[[], None],
    write_on: Callable[[], bool],
    *,
    slow: bool,
    late_at: str,
    inside: bool = False,
    only_queue: bool = False,
) -> int:
    """Be the child until nothing is left to do; the exit status. ``on_change`` is called after each change on the server;
    ``write_on`` writes the next version of the file, where the app does that, and tells whether there was one.
    ``late_at``: when an earlier connection's left-over requests are carried out: 'connect', 'rename' or 'end'. ``inside``: its
    state is in the data folder still; ``only_queue``: deliver nothing."""
    if kind.moves:
        # The record of the task is a part of what is moved: each run has its own.
        os.environ[registry.VARIABLE] = os.path.join(station.root, "registry")
    random.seed(1)
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    servers: list[ModelServer | ModelFTP] = []

    def before_rename() -> None:
        if late_at == "rename":
            servers[-1].run_late(station.late)

    class Transport(SFTPTransport):
        async def _reach(self, login: Any) -> ByteStream:
            server: ModelServer
            if kind.profile is not None:
                server = QuirkModel(
                    station.server,
                    steps.step,
                    on_change,
                    kind.profile.quirks(),
                    copies=kind.copies,
                    slow=slow,
                    before_rename=before_rename,
                )
            else:
                server = ModelServer(
                    station.server,
                    steps.step,
                    on_change,
                    atomic=kind.atomic,
                    copies=kind.copies,
                    slow=slow,
                    before_rename=before_rename,
                )
            servers.append(server)
            if late_at == "connect":
                server.run_late(station.late)
            return server

    steps.last_words = lambda: servers[-1].keep_late(station.late) if servers and slow else None

    def open_transport(name: str, settings: Any, workdir: str) -> Any:
        kinds: dict[str, Callable[[Any, str], Any]] = {"dropbox": DropboxTransport, "ftp": FTPTransport, "sftp": Transport}
        return kinds[kind.transport](settings, workdir)

    parts: list[tuple[Any, str, Any]] = [
        (spool_thread, "Worker", _Inline),
        (asyncio, "to_thread", _at_once),
        (upload_delivery, "Dispatcher", _Dispatcher),
        (upload_delivery, "open_transport", open_transport),
        (copier, "LEAST_BYTES", _KEPT_BYTES),
        # Each tick scans: events come when the system likes, and a model has no such moments.
        (child_parts, "Watcher", functools.partial(Watcher, use_events=False)),
    ]
    if kind.dropbox:
        model = ModelDropbox(station.server, station.account, steps, on_change)
        parts += [
            (dropbox_transport, "HttpSession", model.http_session),
            (CallPool, "run", _run_here),
            (CallPool, "close", _close_here),
        ]
    if kind.ftp is not None:
        rules = kind.ftp

        def reach() -> ModelFTP:
            server = ModelFTP(station.server, steps.step, on_change, rules, slow=slow, before_publish=before_rename)
            servers.append(server)
            if late_at == "connect":
                server.run_late(station.late)
            return server

        network = Network(reach, steps.step, station.late, lambda: not inside and _once(station.cut))
        parts += network.parts(loop.time, loop.wait)
    for module, name, part in parts:
        setattr(module, name, part)
    steps.install()
    subtask = UploadSubtask(handoff(station, kind, inside=inside), clock=loop.time)
    subtask.transport = kind.transport
    process = ChildProcess(subtask)
    opened = process.open(process.lock())
    opened.delivery.start()
    tick = process.tick_of(opened)
    if only_queue:
        tick.run(loop.time())
        process.close(opened)
        return 0

    def next_version() -> bool:
        with steps.elsewhere():
            return kind.writes_on and write_on()

    if kind.writes_on:
        is_empty = loop.run_until_complete(connected_turns(opened, tick, loop, next_version))
    else:
        is_empty = separate_turns(opened, tick, loop, next_version)
    process.close(opened)
    if late_at == "end" and servers:
        servers[-1].run_late(station.late)
    return 0 if is_empty else STUCK


def _once(path: str) -> bool:
    """Whether there is no such file; there is one from now on."""
    if os.path.exists(path):
        return False
    with open(path, "wb"):
        return True


def handoff(station: Station, kind: Kind, *, inside: bool = False) -> Handoff:
    """The handoff that the child gets. ``inside``: the state is in the data folder still."""
    entries = read_entries([{"file": station.data, **({"append": True} if kind.append else {})}])
    config: dict[str, dict[str, Any]] = {
        "base": {"BakToFolder": station.bak, "Subtask_Log_FileName": None, "Master_Log_FileName": None, "MinFreeBytes": 0},
        "ftp": {"Host": "model", "User": "someone", "BakToFolder": station.bak, "AtomicAppend": kind.atomic_append},
        "dropbox": {"AccessToken": TOKEN, "BakToFolder": station.bak, "ChunkBytes": CHUNK_BYTES, "Connections": 1},
    }
    if kind.moves:
        for section in config.values():
            section.pop("BakToFolder")
        if not inside:
            config["base"]["StateFolder"] = station.home
    if kind.ftp is not None:
        config["ftp"].update(UseSFTP=False, Password="secret")
    extension = kind.extension
    planned = plan(extension, f"pysubtask.{extension}", config, os.path.dirname(station.data))
    make_ready(planned.state_dir, os.path.dirname(station.data))
    return Handoff(
        planned.task,
        extension,
        planned.module,
        entries,
        planned.settings,
        planned.burst,
        planned.state_dir,
        planned.bak_dir,
        log_file=None,
        log_to_console=False,
        master_pid=None,
        master_start=None,
        residual=[],
        state_why=planned.state_why,
        state_elsewhere=planned.state_elsewhere,
    )
