"""An SFTP server with the quirks that servers have, each a switch that may be turned while it runs. Extra ``testing``.

::

    with quirk_sftp_server(tmp_path / "remote", size="missing") as server:
        transport = SFTPTransport(server.settings(...), workdir)
        server.quirks.rename = "new"
        server.quirks.reset()

It is ``sftp_server`` besides: faults can be ordered, every operation is listed. What each quirk does: ``Quirks``.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from ._extra import needs_libraries
from ._quirk_disk import QuirkDisk, TakenFile
from .quirks import Quirks
from .sftp import SFTPServer

if TYPE_CHECKING:
    import asyncssh

POSIX_RENAME, FSYNC = "posix-rename@openssh.com", "fsync@openssh.com"


class QuirkSFTPServer(SFTPServer):
    """A running server with ``quirks``; created by ``quirk_sftp_server``. ``handles``: how many files are open now."""

    def __init__(
        self,
        root: str,
        quirks: Quirks,
        user: str,
        password: str | None,
        keys: str | None,
        without: frozenset[str],
        hashes: tuple[str, ...],
        port: int = 0,
    ) -> None:
        with needs_libraries("quirk_sftp_server"):
            from . import _quirk_sftp_session  # noqa: F401 - before there is a thread that would need it
        self.quirks = quirks
        self.disk = QuirkDisk(os.path.realpath(root), quirks)
        self.staged = os.path.realpath(root) + ".staged"
        shutil.rmtree(self.staged, ignore_errors=True)  # of a server that was killed
        self.open_files: dict[int, str] = {}
        super().__init__(root, user, password, None, keys, port, None, without, hashes)

    @property
    def handles(self) -> int:
        """How many files are open now."""
        return len(self.open_files)

    @property
    def taken(self) -> list[TakenFile]:
        """The files taken away so far (``after_publish="taken"``)."""
        return list(self.disk.taken)

    @property
    def turned_away(self) -> int:
        """How many connections were refused (``connections``, ``logins``)."""
        return self.disk.turned_away

    def _login(self, allowed: asyncssh.SSHKey, password: str | None) -> asyncssh.SSHServer:
        from ._quirk_sftp_session import QuirkLogin

        return QuirkLogin(self, allowed, password)

    def _session(self, channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        from ._quirk_sftp_session import QuirkFiles

        off = {POSIX_RENAME: self.quirks.posix_rename, FSYNC: self.quirks.fsync}
        return QuirkFiles(self, channel, self.without | {name for name, there in off.items() if not there})


def quirk_sftp_server(
    root: str | os.PathLike[str],
    quirks: Quirks | None = None,
    *,
    user: str = "demo",
    password: str | None = None,
    keys: str | os.PathLike[str] | None = None,
    without: tuple[str, ...] = (),
    hashes: tuple[str, ...] = (),
    port: int = 0,
    **values: Any,
) -> QuirkSFTPServer:
    """Start one that stores into ``root``; a context manager. ``quirks`` are kept as they are given, or made of ``values``
    (``rename="new"``); the rest as for ``sftp_server``. Which extensions are announced is fixed when a session begins.

    Raises ConfigError where asyncssh is missing.
    """
    active = quirks or Quirks()
    active.set(**values)
    return QuirkSFTPServer(
        os.fspath(root),
        active,
        user,
        password,
        os.fspath(keys) if keys is not None else None,
        frozenset(without),
        tuple(hashes),
        port,
    )
