"""What is known of a server; what a session raises besides the package's errors."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ...common.errors import AttemptFailed
from ..shared.means import TLS_VERSION
from ..shared.profile import Profile

_MOST_FOLDERS = 1000


class DataLost(AttemptFailed):
    """A data connection broke or could not be opened, and the control connection still answers: one transfer is lost."""


class NoPassivePort(DataLost):
    """The server was asked in every way there is for a port to connect to, and refused each."""


class NotConnected(DataLost):
    """The server does not connect to a port of ours, whatever it is told."""


class CannotTell(Exception):
    """This server has no way to tell a file's size."""


@dataclass
class Known:
    """What is known of a server, from FEAT (RFC 2389) and from what it answered; lives as long as the transport.

    ``size``: whether SIZE is worth asking; ``size_answered``, ``mlst_answered``: the server has replied to SIZE or MLST with a
    size, so that a refusal says something about the name; ``size_refused``: how often SIZE was refused for a file that is
    there, before the server ever told one.
    ``epsv``: whether it knows EPSV; ``tls12``: TLS 1.3 is not offered, as it took no data connection over it, with its words;
    whether 1.2 helps is not known yet. ``no_active_before`` (monotonic): it is offered no port of ours. ``stat``: whether
    STAT of a file is worth asking. ``telnet``: whether it reads commands as Telnet does, None where that was not needed yet.
    ``setter``: the command that sets a file's time: "MFMT", "MDTM" (with a time before the name, as some servers have it) or "".
    ``replaces``: whether a rename may have the name of a file that is there; ``renames``: one was taken, so that a refusal is about
    the name. ``folders``: those that are there. ``steps``: it makes folders only in the one that the session is in.
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
        """Whether the next control connection offers TLS 1.2 alone; once a day the newest is tried again."""
        return bool(self.tls12) or self.profile.walk(TLS_VERSION).rung == "1.2"

    def took_data(self, version: str | None) -> None:
        """A transfer over TLS of this version went well."""
        if version == "TLSv1.2" and self.tls12:
            self.profile.learn(TLS_VERSION, "1.2", self.tls12)
            self.tls12 = ""
        elif version != "TLSv1.2" and self.profile.rung(TLS_VERSION) == "1.2":
            self.profile.learn(TLS_VERSION, "newest")

    def note_folder(self, folder: str, there: bool) -> None:
        """A folder was made, or something was stored in it."""
        if there and folder not in self.folders:
            if len(self.folders) >= _MOST_FOLDERS:
                self.folders.clear()
            self.folders.add(folder)

    def has_folder(self, folder: str) -> bool:
        """Whether a folder is known to be there."""
        return folder in ("", "/", ".") or folder in self.folders

    def learn(self, features: dict[str, str]) -> None:
        """What a new connection's FEAT lists; an empty one tells nothing."""
        self.features = features
        setter = "MFMT" if "MFMT" in features else "MDTM" if "MDTM" in features or not features else ""
        self.setter = "" if setter in self.refused_setters else setter
        self.keeps_mtime = self.setter == "MFMT" or (self.setter != "" and self.keeps_mtime)
