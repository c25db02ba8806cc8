"""The first config of a station: its text, made from the words of a command line or the answers to questions, and its files.

An existing file is never written over.
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
    """Where files go. ``section``: of the config, ``ftp`` or ``dropbox``; ``settings``: those that the URL gives."""

    section: str
    settings: dict[str, Any]

    @property
    def user(self) -> str:
        """The login name; '' where the URL has none."""
        return str(self.settings.get("User") or "")

    @property
    def needs_password(self) -> bool:
        """Whether a login is impossible without a password: FTP with a user name."""
        return self.section == "ftp" and not self.settings["UseSFTP"] and self.user not in ("", "anonymous")

    @property
    def may_need_password(self) -> bool:
        """Whether a password is possible: with SFTP always, with FTP unless the login is anonymous."""
        return self.section == "ftp" and (self.needs_password or bool(self.settings["UseSFTP"]))


class Secret(NamedTuple):
    """The password or token that is stored beside the config. ``text``: the secret, which its repr does not show."""

    text: str

    def __repr__(self) -> str:
        return "Secret()"


def destination(url: str) -> Destination:
    """The destination of a URL. ConfigError for a wrong one; its message repeats no password."""
    return Destination(*address.parsed(url, _URL))


def entries(words: Sequence[str], folder: str, cwd: str) -> tuple[list[Watched], list[str]]:
    """The [[watch]] entries for paths that are relative to ``cwd``, for a config in ``folder``, and a line for each path that does
    not exist. Paths below the folder are written relative to it, so that the folder can be moved as a whole."""
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
    """The kind (``dir`` or ``file``) and the absolute path. A path that does not exist is a file if its name has a dot and no slash
    behind it."""
    path = os.path.abspath(os.path.join(cwd, os.path.expanduser(word)))
    if os.path.exists(path):
        return "dir" if os.path.isdir(path) else "file", path
    return "dir" if word.endswith("/") or "." not in os.path.basename(path) else "file", path


class Files(NamedTuple):
    """The files that were written. ``config``: its path; ``secret``: that of the file with the secret (None: there is none)."""

    config: str
    secret: str | None


def text_of(config: str, watched: Sequence[Watched], to: Destination, more: Sequence[tuple[str, str, str]], *, stored: bool) -> str:
    """The text of the config. ``more``: other settings, as (key, value, comment); ``stored``: whether the secret is in a file
    beside the config, which the config then names."""
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
    """The path of the file for the secret of a config: the config's own with another ending."""
    return f"{os.path.splitext(config)[0]}.{_ENDINGS[section]}"


class IsThere(CommandError):
    """The file ``path`` exists and would be written over."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is there already, and stays as it is.", FAILED)
        self.path = path


def refuse_what_is_there(path: str) -> None:
    """IsThere where ``path`` exists; a broken link counts too."""
    if os.path.lexists(path):
        raise IsThere(path)


def write(config: str, text: str, section: str, secret: Secret | None) -> Files:
    """Write the config and its secret, each for its owner alone, and load the config as a check: where that fails, both are
    removed.

    The secret comes first, since a config that names a missing file is wrong.

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
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)  # load() refuses a config in a folder that others may write
        handle = os.open(
            path, os.O_WRONLY | getattr(os, "O_BINARY", 0) | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600
        )
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
