"""Which files of a folder are somebody's secrets by their well-known names: passwords, keys, what was typed in a shell."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable

from .entries import Entry, below
from .own_names import is_copy

NAMES = (
    ".netrc",
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    ".git-credentials",
    ".smbcredentials",
    ".s3cfg",
    ".boto",
    ".npmrc",
    ".pypirc",
    ".dockercfg",
    ".vault-token",
    ".fetchmailrc",
    ".msmtprc",
    ".htpasswd",
    ".rhosts",
    ".Xauthority",
    ".ICEauthority",
    ".env",
    ".bash_history",
    ".zsh_history",
    ".sh_history",
    ".ash_history",
    ".ksh_history",
    ".tcsh_history",
    ".history",
    "fish_history",
    ".python_history",
    ".psql_history",
    ".mysql_history",
    ".sqlite_history",
    ".rediscli_history",
    ".node_repl_history",
    ".lesshst",
    ".viminfo",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "id_ed25519_sk",
)
"""Files, wherever they lie; so are the copies that editors leave of them."""
FOLDERS = (
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".password-store",
    ".pki",
    ".mozilla",
    ".thunderbird",
    ".config/rclone",
    ".config/gcloud",
    ".config/gh",
    ".config/git",
    ".config/filezilla",
    ".config/lftp",
    ".config/pysubtask",
    ".local/share/keyrings",
    ".local/share/lftp",
    ".lftp",
    ".subversion/auth",
)
"""All that is in them."""
ENDINGS = (".password", ".token")
"""What ``init`` stores a secret in."""
_MOST_KNOWN = 1000  # paths in each cache
_HINT = re.compile("|".join(map(re.escape, (*NAMES, *ENDINGS))))
_HINT_OF_FOLDER = re.compile("|".join(re.escape(f"/{folder}/") for folder in FOLDERS))
_GLOB = re.compile(r"[*?\[]")


@functools.lru_cache(_MOST_KNOWN)  # each file is asked about several times
def private_name(path: str) -> str:
    """The well-known name that makes a file (absolute path, ``/`` between its parts) a private one; '' where it is none."""
    folder, _, name = path.rpartition("/")
    hint = _HINT.search(name)
    if hint is not None and name in NAMES:
        return name
    inside = _private_folder(folder + "/")
    if inside or hint is None:
        return inside
    for ending in ENDINGS:
        if name.endswith(ending) or is_copy(name, name.partition(ending)[0] + ending):
            return ending
    return next((one for one in NAMES if one in name and is_copy(name, one)), "")


@functools.lru_cache(_MOST_KNOWN)
def _private_folder(folder: str) -> str:
    """The first of ``FOLDERS`` that a folder (with ``/`` at its end) is, or is in; '' where it is none."""
    if not _HINT_OF_FOLDER.search(folder):
        return ""
    return next(one for one in FOLDERS if f"/{one}/" in folder)


class PrivateFiles:
    """The rule for the folders of a task: such a file is data only where an entry names it, or an ``include`` does."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        entries = tuple(entries)
        self._named = frozenset(entry.path for entry in entries if entry.kind == "file")
        # A folder with an entry of its own belongs to that alone.
        self._dirs = sorted((entry for entry in entries if entry.kind == "dir"), key=lambda entry: -len(entry.path))

    def why(self, path: str) -> str:
        """Why the file of this absolute path is private; '' where it may be data."""
        found = private_name(path if os.sep == "/" else path.replace(os.sep, "/"))
        if not found or path in self._named:
            return ""
        entry = next((entry for entry in self._dirs if path.startswith(os.path.join(entry.path, ""))), None)
        if entry is not None and any(_names(pattern, below(entry, path), found) for pattern in entry.include):
            return ""
        return f"private by its name ({found}): only a 'file' entry for it, or an 'include' that names it, sends it"


def _names(pattern: str, relative: str, found: str) -> bool:
    """Whether a pattern of an include means this file: by its whole name, or by the well-known one in it."""
    from .globs import matches  # an app without patterns need not pay for it

    return matches((pattern,), relative) and (not _GLOB.search(pattern) or found in pattern)
