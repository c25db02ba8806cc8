"""The first config of a station: from what a person said of it to the text, and onto the disk, secret included.

What is there already is never written over.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...common import address
from ...common.errors import ConfigError
from ..config.config_file import load
from ..exit_status import FAILED, USAGE, CommandError
from .first_name import task_name
from .template import Watched, filled

_URL = address.Words(
    "URL",
    "Leave it out: it is asked for on a terminal and stored in a file for you alone, or give it by PYSUBTASK_PASSWORD or "
    "--password-file. On a command line every process on this machine can read it, and your shell remembers it: if it was a real "
    "one, change it.",
    f"Give it as {address.FORMS}.",
)
_ENDINGS = {"ftp": "password", "dropbox": "token"}


class Destination(NamedTuple):
    """Where to: ``section`` and the settings that a URL said."""

    section: str
    settings: dict[str, Any]

    @property
    def user(self) -> str:
        """The login name; '' where none is said."""
        return str(self.settings.get("User") or "")

    @property
    def needs_password(self) -> bool:
        """Whether nobody gets in without one: by FTP with a name."""
        return self.section == "ftp" and not self.settings["UseSFTP"] and self.user not in ("", "anonymous")

    @property
    def may_need_password(self) -> bool:
        """Whether there may be one: not for a guest."""
        return self.section == "ftp" and (self.needs_password or bool(self.settings["UseSFTP"]))


class Secret(NamedTuple):
    """A password or token that is stored beside the config."""

    text: str

    def __repr__(self) -> str:
        return "Secret()"


def destination(url: str) -> Destination:
    """What an address says. ConfigError, which repeats no password."""
    return Destination(*address.parsed(url, _URL))


def entries(words: Sequence[str], folder: str, cwd: str) -> tuple[list[Watched], list[str]]:
    """The entries for folders and files that were named from ``cwd``, for a config in ``folder``, and a line for each that is
    not there. Paths below the config's folder are written relative to it, so that it can be moved as a whole."""
    found = list(dict.fromkeys(_kind_and_path(word, cwd) for word in words))
    several = sum(kind == "dir" for kind, _ in found) > 1
    names = [os.path.basename(path) for _, path in found]
    watched = []
    for (kind, path), name in zip(found, names, strict=True):
        inside = path == folder or path.startswith(os.path.join(folder, ""))
        remote = None
        if names.count(name) > 1:
            remote = "/".join(path.split(os.sep)[-2:]).lstrip("/")
        elif kind == "dir" and several:
            remote = name or None
        watched.append(Watched(kind, os.path.relpath(path, folder) if inside else path, remote))
    what = {"dir": "folder", "file": "file"}
    return watched, [
        f"there is no {what[kind]} {path} yet: it is waited for, and nothing is made in its place."
        for kind, path in found
        if not os.path.exists(path)
    ]


def _kind_and_path(word: str, cwd: str) -> tuple[str, str]:
    """What is not there is a file where its name has a dot in it and no slash behind it."""
    path = os.path.abspath(os.path.join(cwd, os.path.expanduser(word)))
    if os.path.exists(path):
        return "dir" if os.path.isdir(path) else "file", path
    return "dir" if word.endswith("/") or "." not in os.path.basename(path) else "file", path


class Files(NamedTuple):
    """What was made: the config, and the file with the secret (None: there is none)."""

    config: str
    secret: str | None


def text_of(config: str, watched: Sequence[Watched], to: Destination, more: Sequence[tuple[str, str, str]], *, stored: bool) -> str:
    """The config. ``more``: other settings with what is said of them; ``stored``: whether a secret is in a file beside it."""
    if to.section == "ftp":
        settings = [("Host", address.written(to.section, to.settings), "")]
        key, comment = "PasswordFile", "the password, for you alone"
    else:
        folder = str(to.settings["HostPath"])
        settings = [("HostPath", folder, "the folder in Dropbox")] if folder else []
        key, comment = "RefreshTokenFile", "lets this machine in, for you alone"
    if stored:
        more = [*more, (key, os.path.basename(secret_file(config, to.section)), comment)]
    return filled(watched, to.section, [*settings, *more], task_name(config, watched))


def secret_file(config: str, section: str) -> str:
    """Where the secret of a config is stored."""
    return f"{os.path.splitext(config)[0]}.{_ENDINGS[section]}"


class IsThere(CommandError):
    """A file would be written over. ``path``: which one."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is there already, and stays as it is.", FAILED)
        self.path = path


def refuse_what_is_there(path: str) -> None:
    """IsThere where something would be written over."""
    if os.path.lexists(path):
        raise IsThere(path)


def write(config: str, text: str, section: str, secret: Secret | None) -> Files:
    """Store the config and its secret, each for its owner alone. Where the config cannot be used nothing is left.

    CommandError where something is there already or cannot be written; ConfigError where the config is wrong.
    """
    created: list[str] = []
    place = None if secret is None else secret_file(config, section)
    try:
        if secret is not None and place is not None:
            write_new(place, f"{secret.text}\n")
            created.append(place)
        write_new(config, text)
        created.append(config)
        load(config, {})
    except (ConfigError, CommandError):
        for path in created:
            os.unlink(path)
        raise
    return Files(config, place)


def write_new(path: str, text: str) -> None:
    """Write a new file for its owner alone (mode 0600), and make the folders that lead to it. IsThere, a CommandError, where there
    is one already; CommandError where it cannot be written, and then nothing of it is left."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        problem = "A name in it is no text (UTF-8), so it cannot stand in a config."
        raise CommandError(f"{problem} Rename that file or folder.", USAGE) from None
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)  # one that others may write is refused
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileExistsError:
        refuse_what_is_there(path)
        raise
    except OSError as exc:
        raise CommandError(f"{path} cannot be written ({exc.strerror}). Name a file in a folder of yours.", FAILED) from exc
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as exc:
        os.unlink(path)
        raise CommandError(f"{path} cannot be written ({exc.strerror}). Make room, or name a file elsewhere.", FAILED) from exc
