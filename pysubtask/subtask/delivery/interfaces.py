"""What the dispatcher asks of the child that owns it: three interfaces of two or three methods, and the hashes made with snapshots.

Every method is called on the dispatcher's thread, or on a thread that the dispatcher has started.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..delta.signature_cache import SignatureCache
from ..snapshot.prefix_hashes import Prefixes
from ..spool.jobs import ClaimedJob


class DispatcherClient(Protocol):
    """What the dispatcher reports, and what it needs for a heartbeat."""

    def page_changed(self) -> None:
        """The status page is out of date."""

    def server_can(self, builds: bool, copies: bool) -> None:
        """After a login. ``builds``: the server can build upon the file it has; ``copies``: it can copy parts of it."""

    def write_heartbeat(self) -> list[str]:
        """Write the heartbeat files as of now; the paths of those to send. Raises OSError. Called on a thread."""


class SourceFiles(Protocol):
    """The data files behind the jobs."""

    def open_live(self, path: str) -> int:
        """A descriptor of a live file, opened with the checks of its entry. Raises OSError and SourceError."""

    def confirm(self, version: ClaimedJob) -> None:
        """Raise SourceChanged where a live file does not hold the queued content any more."""

    def snapshot_lost(self, path: str) -> None:
        """The snapshot of this data file cannot be used, so the file has to be copied again."""


class NameOwners(Protocol):
    """Which data file each remote name belongs to."""

    def is_anothers(self, name: str, path: str) -> bool:
        """Whether a remote name belongs to another data file than ``path``."""

    def name_harmed(self, name: str) -> None:
        """The server has put another file under this remote name."""


class ChildSide(NamedTuple):
    """The child as the dispatcher sees it: the ``client`` itself, its ``files``, and the owners of remote ``names``.
    ``signatures``: those that were made together with snapshots; ``prefixes``: hash states
    of snapshots."""

    client: DispatcherClient
    files: SourceFiles
    names: NameOwners
    signatures: SignatureCache
    prefixes: Prefixes


class LoginContext(NamedTuple):
    """What the reports about logins need. ``fingerprint``: a few bits that change with the settings of the login.
    ``config_file``: the file that the settings were read from, '' for settings that an app gave. ``changed``: says which of the
    files that the settings were read from was changed since, and which command takes the change up; '' where none was."""

    fingerprint: str = ""
    config_file: str = ""
    changed: Callable[[], str] = str
