"""A child that uploads: the base child with a dispatcher."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from ..common import read_from
from ..common.entries import remote_name
from ..common.errors import ConfigError, SourceChanged
from ..common.watched import Dirs
from ..transports import open_transport, transport_class
from .base_subtask import BaseSubtask
from .delivery.context import DeliveryContext
from .delivery.dispatcher import Dispatcher
from .delivery.interfaces import ChildSide, LoginContext
from .snapshot.snapshotter import content_digest
from .snapshot.sources import Place, opened, place_of
from .spool.jobs import ClaimedJob, QueuedSnapshot
from .spool.name_claims import NameClaims, Other
from .watch.watcher import RESIDUAL, Due

_LOGIN_KEYS = (
    "User",
    "Password",
    "SFTPLibrary",
    "KeyFile",
    "HostKey",
    "HostKeyPolicy",
    "KnownHostsFile",
    "SSHProgram",
    "SSHConfigFile",
    "UseTLS",
    "CAFile",
    "TLSFingerprint",
    "AppKey",
    "RefreshToken",
    "RefreshTokenFile",
    "AccessToken",
    "Proxy",
)
_HANG_SECS = 2.0


class UploadSubtask(BaseSubtask):
    """Snapshots and queues like every child, and sends the queue to ``transport`` (a name of TRANSPORTS; where it
    is empty, UseSFTP chooses).

    ``process_notify`` is called with each snapshot before it is sent and need not do anything.
    """

    transport = ""
    _dispatcher: Dispatcher | None = None
    _names: NameClaims | None = None
    _hangs_since: float | None = None

    def process_heartbeat(self, file: str) -> None:
        """Called when a heartbeat is due: the dispatcher writes and sends it."""
        if self._dispatcher is not None:
            self._dispatcher.send_heartbeat()

    def process_notify(self, snapshot: str) -> None:
        """Called with the path of each new snapshot before it is sent."""

    def transport_name(self) -> str:
        """The transport to use, a name of TRANSPORTS."""
        if self.transport:
            return self.transport
        return (self.settings["SFTPLibrary"] or "sftp") if self.settings["UseSFTP"] else "ftp"

    def destination(self) -> str:
        """The identity of server and account. Raises ConfigError for a child that was not given the section of its transport."""
        section, key = ("dropbox", "AppKey") if self.transport == "dropbox" else ("ftp", "Host")
        if key not in self.settings:
            raise ConfigError(
                "SubtaskModuleName",
                f"{self.handoff.module} uploads but was not given the {section} section",
                f"Call the module {section}.py, so that it gets that section too.",
            )
        return transport_class(self.transport_name()).identity(self.settings)

    def begin(self) -> None:
        """Claim the names that this task has on the server, and start the dispatcher."""
        self._harmed: deque[str] = deque()
        self._case_sensitive = transport_class(self.transport_name()).case_sensitive
        owners = self._spool_thread.run(self._spool_thread.spool.remote_files.owners)
        self._claims = {self._same(name): path for name, path in owners.items()}
        self._claimed = {path: name for name, path in self._claims.items()}
        self._asked_names: dict[tuple[str, str], Other | None] = {}
        files = [entry for entry in self.handoff.entries if entry.kind == "file"]
        self._reserved = {self._same(remote_name(entry, entry.path)): entry.path for entry in files}
        self._begin_names(owners)
        self._dispatcher = self._make_dispatcher()
        self.when_there_is_room(self._dispatcher.start)
        interval, dead = self.settings["HeartbeatIntervalSecs"], self.settings["DeadTimeMilli"] / 1000
        if 0 < interval <= dead:
            self.log.warning(
                "HeartbeatIntervalSecs [%s] is not above the dead time [%s] secs: the connection will never rest", interval, dead
            )

    def _make_dispatcher(self) -> Dispatcher:
        settings = MappingProxyType(dict(self.settings))
        return Dispatcher(
            DeliveryContext(self._spool_thread, self.status_model, self.events, self.log, self.clock, self.wall),
            open_transport(self.transport_name(), settings, self.handoff.state_dir),
            settings,
            ChildSide(self, self, self, self._pipeline.signature_cache, self._pipeline.prefixes),
            LoginContext(
                self._login_fingerprint(),
                self.handoff.config_file,
                lambda: read_from.change_text(self.handoff.state_dir, self.handoff.config_file),
            ),
        )

    def settings_changed(self) -> None:
        """Have the dispatcher take the new values."""
        if self._dispatcher is not None:
            self._dispatcher.settings_changed(self.settings)

    def queue_changed(self) -> None:
        """Have the dispatcher read the queue again."""
        if self._dispatcher is not None:
            self._dispatcher.queue_changed()

    def connect_now(self) -> dict[str, Any] | None:
        """See :meth:`Dispatcher.connect_now`."""
        return self._dispatcher.connect_now() if self._dispatcher is not None else None

    def hold_paused(self) -> None:
        """Have the dispatcher call back the uploads that are paused."""
        if self._dispatcher is not None:
            self._dispatcher.queue_changed()

    def check(self, now: float) -> str:
        """Return names to other tasks, send altered files again, and replace a dispatcher that hangs; a text where it has ended."""
        self._yield_names()
        while self._harmed:
            self._send_anew(self._harmed.popleft())
        if self._dispatcher is None or not self._dispatcher.is_alive():
            return "The courier ended; starting over"
        if not self._dispatcher.is_stalled(now):
            self._hangs_since = None
        elif self._hangs_since is None:
            # After SIGSTOP and SIGCONT of the whole process, the dispatcher must get the time for a turn first.
            self._hangs_since = now
        elif now - self._hangs_since >= _HANG_SECS:
            self._replace()
        return ""

    def finish(self, deadline: float) -> None:
        """Let the dispatcher send until ``deadline`` (monotonic), and wait for its end."""
        if self._dispatcher is None:
            return
        self._dispatcher.stop(deadline)
        while self._dispatcher.is_alive() and not self._hurried() and self.clock() < deadline + 5:
            self._wake_event.wait(0.1)
            self._status_writer.write(self.clock())

    def close(self) -> None:
        """End the dispatcher if it still runs, and close the claims of names."""
        if self._dispatcher is not None and self._dispatcher.is_alive():
            self._dispatcher.stop(self.clock())
            self._dispatcher.join(6.0)
        if self._names is not None:
            self._names.close()

    def queued(self, entries: list[QueuedSnapshot]) -> None:
        """Call ``process_notify`` for each new entry, then have the dispatcher take them."""
        for entry in entries:
            self.source_path = entry.path
            path = entry.snapshot
            self._guarded("process_notify", lambda path=path: self.process_notify(path))  # type: ignore[misc]
        if self._dispatcher is not None:
            self._dispatcher.jobs_added()

    def coming(self) -> None:
        """Have the dispatcher connect while the snapshot is made."""
        if self._dispatcher is not None:
            self._dispatcher.expect()

    def queue_name(self, due: Due) -> str:
        """The remote name by the entry of the file; the bare file name for a file that no entry watches."""
        if due.entry_index == RESIDUAL:
            return os.path.basename(due.path)
        return remote_name(self.handoff.entries[due.entry_index], due.path)

    def claim(self, found: list[Due]) -> None:
        """Claim the remote names of all these files in one transaction, for the calls of :meth:`clash` that follow."""
        requested: dict[str, str] = {}
        for due in found:
            name = self._same(self.queue_name(due))
            if not self._clash_within(name, due):
                requested.setdefault(name, due.path)
        named = list(requested.items())
        self._asked_names = dict(zip(named, self._take_names(named), strict=self._names is not None))

    def clash(self, due: Due) -> str:
        """Why this file may not use its remote name; empty where it may. Of two files with one remote name the later one is left
        out, as they would replace each other all the time."""
        name = self._same(self.queue_name(due))
        clash = self._clash_within(name, due)
        if clash:
            return clash
        asked = (name, due.path)
        for other in [self._asked_names.pop(asked)] if asked in self._asked_names else self._take_names([asked]):
            if other is not None:
                return (
                    f"its remote name {name!r} belongs to {other.path} of the task {other.task}, which had it first; "
                    f"{self._label} leaves it out: give one of the two entries an 'as'"
                )
        self._claims[name] = due.path
        self._claimed[due.path] = name
        return ""

    def _clash_within(self, name: str, due: Due) -> str:
        """Why a remote name belongs to another file of this task; empty where it does not."""
        if due.entry_index == RESIDUAL and name in self._reserved:
            return f"its remote name {name!r} belongs to {self._reserved[name]}: rename it, or give that entry another 'as'"
        owner = self._claims.get(name, due.path)
        if owner != due.path and os.path.exists(owner):
            return f"its remote name {name!r} belongs to {owner}: give one of the two entries an 'as'"
        return ""

    def _take_names(self, requested: list[tuple[str, str]]) -> list[Other | None]:
        """Claim names (name, data file); for each the other task that owns it, or None."""
        if self._names is None:
            return []
        taken = self._names.take_all(requested)
        for (name, path), (_, sent_to) in zip(requested, taken, strict=True):
            if sent_to:
                self._is_not_as_left(name, path)
        return [other for other, _ in taken]

    def gone(self, paths: Collection[str]) -> None:
        """Release the names of files that are gone: a child that runs for years must not remember each of them."""
        free = []
        for path in paths:
            name = self._claimed.pop(path, None)
            if name is not None and self._claims.get(name) == path:
                del self._claims[name]
                free.append(name)
        if self._names is not None:
            self._names.release(free)

    @property
    def _label(self) -> str:
        return f"{self.handoff.label or self.handoff.task}/{self.handoff.extension}"

    def _begin_names(self, owners: Mapping[str, str]) -> None:
        """Claim the names of this task among the tasks of this user: those of the files it has sent, as far as its entries still
        give them the same names."""
        self._names = NameClaims(
            self.destination(), self.handoff.state_dir, self._label, self.clock, case_sensitive=self._case_sensitive
        )
        for old in self._moved_from:
            self._names.moved(old)
        dirs = Dirs(self.handoff.entries)
        files = {entry.path: entry for entry in self.handoff.entries if entry.kind == "file"}
        mine = {}
        for name, path in owners.items():
            entry = files.get(path) or dirs.owner(path)
            if entry is not None and remote_name(entry, path) == name:
                mine[name] = path
        for name in self._names.begin(mine):
            self._is_not_as_left(name, mine[name])
        if self._names.problem:
            self.log.info("Other tasks that send to the same names will not be noticed: %s", self._names.problem)

    def _yield_names(self) -> None:
        """Give up the names that belong to another task again, which is back: the versions waiting under them leave the queue,
        and their files are due again."""
        if self._names is None or not self._names.changed():
            return
        rows = self._spool_thread.run(self._spool_thread.spool.queue_admin.rows)
        lost = {
            row.name: row.path for row in rows if row.state != "sending" and self._names.owner_of(row.name, row.path) is not None
        }
        if lost:
            dropped, _, garbage = self._spool_thread.run(self._spool_thread.spool.queue_admin.drop, list(lost))
            self._spool_thread.run(self._spool_thread.spool.stamps.forget, [lost[name] for name in dropped])
            self._spool_thread.drop(garbage)
            for name in dropped:
                self._pipeline.again(lost[name])
            self._poll_soon()

    def _send_anew(self, name: str) -> None:
        """Send a file again, whole: the server has put another file under its name."""
        path = self._claims.get(self._same(name))
        if path is not None:
            self.log.warning("The server has put another file under [%s], which is sent again", name)
            self._is_not_as_left(name, path)
            self._pipeline.again(path)
            self._poll_soon()

    def _is_not_as_left(self, name: str, path: str) -> None:
        """Forget what was delivered under a name: another task has sent to it, so the file is sent again, whole."""
        self._spool_thread.run(self._spool_thread.spool.remote_files.not_as_left, name)
        self._spool_thread.run(self._spool_thread.spool.stamps.forget, [path])

    def _same(self, name: str) -> str:
        """A key for a remote name: equal for names that are one file at the destination."""
        return name if self._case_sensitive else name.casefold()

    def _hand_on(self, now: float) -> bool:
        """The dispatcher takes versions from the queue, not the timer."""
        return False

    def _hook_due(self) -> float | None:
        return None

    # -- called by the dispatcher's thread -------------------------------------------------------------------

    def page_changed(self) -> None:
        """See :class:`~.delivery.interfaces.DispatcherClient`."""
        if self._status_writer.touch():
            self._wake_event.set()

    def server_can(self, builds: bool, copies: bool) -> None:
        """See :class:`~.delivery.interfaces.DispatcherClient`."""
        self._pipeline.signature_cache.needed = copies
        # A subclass with its own process_notify may rely on whole snapshots.
        self._pipeline.wants_tails = builds and type(self).process_notify is UploadSubtask.process_notify

    def snapshot_lost(self, path: str) -> None:
        """See :class:`~.delivery.interfaces.SourceFiles`."""
        self._pipeline.again(path)
        self._poll_soon()

    def is_anothers(self, name: str, path: str) -> bool:
        """See :class:`~.delivery.interfaces.NameOwners`."""
        owner = self._claims.get(self._same(name), path)
        return owner != path and os.path.exists(owner)

    def name_harmed(self, name: str) -> None:
        """See :class:`~.delivery.interfaces.NameOwners`."""
        self._harmed.append(name)
        self._poll_soon()

    def confirm(self, version: ClaimedJob) -> None:
        """Raise SourceChanged where a live file (no bak folder) does not hold the queued content any more, so that it is not
        published."""
        if not version.live:
            return
        digest = ""
        with contextlib.suppress(OSError):
            digest = content_digest(version.snapshot, version.size, self._within(version.snapshot))
        if digest != version.digest:
            raise SourceChanged(f"{version.path} was rewritten while it was sent")

    def _within(self, path: str) -> Place | None:
        """The folder in which a live file must really be; None for a named one. Raises OSError."""
        named = any(entry.kind == "file" and entry.path == path for entry in self.handoff.entries)
        return None if named else place_of(os.path.dirname(path))

    def open_live(self, path: str) -> int:
        """See :class:`~.delivery.interfaces.SourceFiles`."""
        with opened(path, self._within(path)) as (handle, _):
            return os.dup(handle)

    # -- rare things --------------------------------------------------------------------------------------

    def _login_fingerprint(self) -> str:
        """A few bits that change with the login settings; too few to guess a password from."""
        salt = self._spool_thread.run(self._spool_thread.spool.meta.get, "salt")
        if salt is None:
            salt = os.urandom(16).hex()
            self._spool_thread.run(self._spool_thread.spool.meta.set, "salt", salt)
        text = repr([self.settings.get(key) for key in _LOGIN_KEYS])
        return hashlib.sha256((salt + text).encode("utf-8", "surrogateescape")).hexdigest()[:4]

    def _replace(self) -> None:
        """Start the child over by exec: the dispatcher hangs in a library that cannot be cancelled."""
        self.log.error("The courier hangs; the child replaces itself")
        self.events.emit("courier_hangs")
        self.begin_anew("the courier hung")
