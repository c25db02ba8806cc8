"""What is known of a server, and the exceptions of a session that are not in ``common.errors``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ...common.errors import AttemptFailed
from ..shared.means import TLS_VERSION
from ..shared.profile import Profile

_MOST_FOLDERS = 1000  # folders that are kept; above it all are forgotten, which costs one command for each


class DataLost(AttemptFailed):
    """A data connection broke or could not be opened while the control connection still answers: one transfer is lost."""


class NoPassivePort(DataLost):
    """The server refused each command that asks for a passive port."""


class NotConnected(DataLost):
    """The server refuses to connect to a port of this machine."""


class CannotTell(Exception):
    """This server answers no command that tells a file's size."""


@dataclass
class ServerFeatures:
    """What is known of a server, from FEAT (RFC 2389) and from its replies; lives as long as the transport.

    ``features``: command -> its parameters, from FEAT. ``size``, ``mdtm``, ``stat``, ``epsv``: whether the server knows SIZE,
    MDTM, STAT of a file, EPSV. ``size_answered``, ``mlst_answered``: the server has replied to SIZE or MLST with a size, so
    that a refusal says something about the name; ``size_refused``: how often SIZE was refused for an existing file before the
    server ever told a size. ``tls12``: TLS 1.3 is not offered, as no data connection worked over it, with the server's text;
    whether 1.2 works is not known yet. ``no_active_before`` (monotonic): until then no port of this machine is offered.
    ``telnet``: whether the server reads commands as Telnet does, None until a name needs the answer.

    ``setter``: the command that sets a file's time: "MFMT", "MDTM" (with a time before the name, as some servers have it) or
    "". ``refused_setters``: those that the server refused. ``keeps_mtime``: a file keeps the time set. ``replaces``: whether a
    rename may overwrite a file; ``renames``: one rename has succeeded, so that a refusal is about the name. ``folders``:
    existing folders. ``steps``: the server creates folders only in the session's present folder.
    """

    profile: Profile = field(default_factory=lambda: Profile(time.time))
    features: dict[str, str] = field(default_factory=dict)
    size: bool = True
    size_answered: bool = False
    size_refused: int = 0
    mlst_answered: bool = False
    telnet: bool | None = None
    stat: bool = True
    mdtm: bool = True
    epsv: bool = True
    tls12: str = ""
    no_active_before: float = 0.0
    setter: str = ""
    keeps_mtime: bool = False
    replaces: bool = True
    renames: bool = False
    folders: set[str] = field(default_factory=set)
    steps: bool = False
    refused_setters: set[str] = field(default_factory=set)

    def older_tls(self) -> bool:
        """Whether the next control connection offers TLS 1.2 alone; once a day the newest version is tried again."""
        return bool(self.tls12) or self.profile.walk(TLS_VERSION).rung == "1.2"

    def took_data(self, version: str | None) -> None:
        """Record that a transfer over TLS of this version succeeded."""
        if version == "TLSv1.2" and self.tls12:
            self.profile.learn(TLS_VERSION, "1.2", self.tls12)
            self.tls12 = ""
        elif version != "TLSv1.2" and self.profile.rung(TLS_VERSION) == "1.2":
            self.profile.learn(TLS_VERSION, "newest")

    def note_folder(self, folder: str, there: bool) -> None:
        """Record a folder that was created, or in which a file was stored."""
        if there and folder not in self.folders:
            if len(self.folders) >= _MOST_FOLDERS:
                self.folders.clear()
            self.folders.add(folder)

    def has_folder(self, folder: str) -> bool:
        """Whether a folder is known to exist."""
        return folder in ("", "/", ".") or folder in self.folders

    def learn(self, features: dict[str, str]) -> None:
        """Take over what a new connection's FEAT lists; an empty list tells nothing."""
        self.features = features
        setter = "MFMT" if "MFMT" in features else "MDTM" if "MDTM" in features or not features else ""
        self.setter = "" if setter in self.refused_setters else setter
        self.keeps_mtime = self.setter == "MFMT" or (self.setter != "" and self.keeps_mtime)
