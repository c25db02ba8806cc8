"""The files that a login needs and the config names: keys, known_hosts, authorities. Looked at only; no server is asked."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from typing import Any

from ...common import account, advice
from ...common.named_files import doubt_about
from ...common.program import for_others
from ...master.destinations import Plan
from .finding import Finding, fail, ok, warn
from .local import near_names

_SHOW_SECS = 5.0
_HEAD = 200
_PUBLIC = (b"ssh-", b"ecdsa-", b"sk-")
_PUTTY = b"PuTTY-User-Key-File"
_MOST_LOOKED_AT = 200
_KEY, _CHECK = "KeyFile", "key file"


def of_plan(plan: Plan) -> list[Finding]:
    """What is found about the files that a destination's settings name."""
    return look(plan.settings) if plan.extension == "ftp" and plan.settings["UseSFTP"] else look_for_ftp(plan.settings)


def look(settings: Mapping[str, Any]) -> list[Finding]:
    """What is found about each file that an SFTP login is told to use."""
    return [*key_file(settings.get(_KEY)), *_ssh_config(settings), *_known_hosts(settings)]


def look_for_ftp(settings: Mapping[str, Any]) -> list[Finding]:
    """The same for FTP and Dropbox: the authority that is trusted."""
    return _authority(settings.get("CAFile"))


def key_file(given: Any) -> list[Finding]:
    """Whether a private key can be used; the first thing that is wrong with it."""
    if not given:
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    try:
        found = os.stat(path)
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return [_missing(path)]
    except IsADirectoryError:
        keys = keys_in(path)
        return [fail(_CHECK, "key-file-missing", f"{path} is a folder", *[(_KEY, key) for key in keys[:1]],
                     words="Name the file of your private key.")]
    except OSError as exc:
        return [fail(_CHECK, "key-file-unreadable", f"{path} cannot be read: {exc.strerror}", commands=[advice.look_at(path)],
                     words="Run pysubtask as the user whose key it is, or give this user a key of its own.")]
    # Which file it is comes first: a cure for the wrong one helps nobody.
    if head.startswith(_PUBLIC):
        return [_public(path)]
    if head.startswith(_PUTTY):
        return [fail(_CHECK, "key-file-putty", f"{path} is a key in PuTTY's own format, which ssh does not read",
                     words="Export it with PuTTYgen (Conversions, Export OpenSSH key) into a file of its own, and name that one.")]
    if not _is_private(head):
        return [fail(_CHECK, "key-file-wrong", f"{path} is no private key", *[(_KEY, key) for key in near_keys(path)[:1]],
                     words="Name the file of your private key.")]
    # ssh minds it for the user's own files only.
    if os.name == "posix" and found.st_uid == account.uid() and stat.S_IMODE(found.st_mode) & 0o077:
        return [fail(_CHECK, "key-file-open", f"others may read {path}, so ssh does not use it",
                     commands=[advice.keep_private(path)])]
    if _has_passphrase(path):
        return [_locked(path)]
    doubt = doubt_about(path)
    if doubt is not None:
        return [warn(_CHECK, "key-file-of-others", doubt.problem, words=doubt.remedy)]
    return [ok(_CHECK, path)]


def _missing(path: str) -> Finding:
    """A name that is mistyped is mended; a new key is offered only where there is none that could be meant."""
    folder = os.path.dirname(path)
    near = near_keys(path)
    if near:
        return fail(_CHECK, "key-file-missing", f"there is no file {path}; did you mean {near[0]}?",
                    *[(_KEY, key) for key in near[:3]], words="Name the file of your private key.")
    if not os.path.isdir(folder):
        return fail(_CHECK, "key-file-missing", f"there is no file {path}, nor the folder {folder}", *_of_ssh(path),
                    words="Name the file of your private key.")
    return fail(_CHECK, "key-file-missing", f"there is no file {path}", *_of_ssh(path), commands=[advice.new_key(path)],
                words="Name the file of your private key, or make a new key and have its .pub put on the server.")


def _of_ssh(path: str) -> list[tuple[str, Any]]:
    """Keys that ssh itself would try."""
    names = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
    there = [name for name in names if os.path.exists(os.path.expanduser(name))]
    return [(_KEY, name) for name in there if os.path.basename(name) != os.path.basename(path)][:1]


def _public(path: str) -> Finding:
    private = path.removesuffix(".pub")
    if private != path and os.path.exists(private):
        return fail(_CHECK, "key-file-public", f"{path} is the public half", (_KEY, private))
    near = near_keys(path)
    text = f"{path} is the public half" + (f", and there is no {private}" if private != path else "")
    return fail(_CHECK, "key-file-public", text, *[(_KEY, key) for key in near[:1]],
                words="Name the private half: the file that was made with it.")


def _locked(path: str) -> Finding:
    """A key with a passphrase, which only an agent can use for a child."""
    if _in_agent(path):
        return warn(_CHECK, "key-in-agent", f"{path} is locked by a passphrase; it works while ssh-agent has it, which ends "
                    "with the login here", words="For a service, give it a key of its own without a passphrase.")
    fresh = f"{path}_pysubtask"
    return fail(_CHECK, "key-has-passphrase", f"{path} is locked by a passphrase, which nobody can type in for a child",
                (_KEY, fresh), commands=[advice.new_key(fresh)],
                words="Make a key for this alone, without a passphrase, have its .pub put on the server, and name it; or leave the "
                      "key to ssh-agent and KeyFile unset.")


def near_keys(path: str) -> list[str]:
    """Private keys in the folder of a file that is none, the likeliest first."""
    folder, name = os.path.split(path)
    keys = [os.path.basename(key) for key in keys_in(folder)]
    stem = name.removesuffix(".pub").removesuffix(".pem").removesuffix(".key")
    return [os.path.join(folder, key) for key in dict.fromkeys([*near_names(stem, keys), *keys]) if key != name]


def keys_in(folder: str) -> list[str]:
    """The private keys of this user in a folder."""
    found = []
    try:
        items = sorted(os.scandir(folder), key=lambda item: item.name)[:_MOST_LOOKED_AT]
    except OSError:
        return []
    for item in items:
        try:
            if item.is_file():
                with open(item.path, "rb") as file:
                    if _is_private(file.read(_HEAD)):
                        found.append(item.path)
        except OSError:
            continue  # not one that could be used
    return found


def _is_private(head: bytes) -> bool:
    return b"-----BEGIN" in head and b"PRIVATE KEY-----" in head


def _has_passphrase(path: str) -> bool:
    said = _said("ssh-keygen", "-y", "-P", "", "-f", path)
    return said is not None and said.returncode != 0 and b"passphrase" in said.stderr


def _in_agent(path: str) -> bool:
    """Whether ssh-agent has a key, by its fingerprint."""
    if not os.environ.get("SSH_AUTH_SOCK"):
        return False
    mine, theirs = _said("ssh-keygen", "-l", "-f", path), _said("ssh-add", "-l")
    words = mine.stdout.split() if mine is not None and not mine.returncode else []
    return len(words) > 1 and theirs is not None and words[1] in theirs.stdout.split()


def agent_has_keys() -> bool:
    """Whether ssh-agent has any key."""
    said = _said("ssh-add", "-l") if os.environ.get("SSH_AUTH_SOCK") else None
    return said is not None and said.returncode == 0


def _said(name: str, *words: str) -> subprocess.CompletedProcess[bytes] | None:
    program = shutil.which(name)
    if program is None:
        return None
    try:
        return subprocess.run([program, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SHOW_SECS, check=False,
                              env={**for_others(), "LC_ALL": "C"})
    except (OSError, subprocess.TimeoutExpired):
        return None


def _known_hosts(settings: Mapping[str, Any]) -> list[Finding]:
    """Only a file that the config names: that ssh's own is missing shows in the login."""
    given = settings.get("KnownHostsFile")
    if not given or settings.get("HostKey"):
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    if os.path.exists(path):
        return []
    if settings.get("HostKeyPolicy") == "accept-new":
        return [warn("known_hosts", "known-hosts-missing", f"there is no {path} yet: the first server that answers is taken for "
                     "the right one and written into it")]
    return [warn("known_hosts", "known-hosts-missing", f"there is no file {path}, so no server is known",
                 ("KnownHostsFile", None), words="Take ssh's own file, or pin the server's key (HostKey).")]


def _ssh_config(settings: Mapping[str, Any]) -> list[Finding]:
    given = settings.get("SSHConfigFile")
    if not given or str(given).lower() == "none" or settings.get("SFTPLibrary"):
        return []
    path = os.path.abspath(os.path.expanduser(str(given)))
    if os.path.isfile(path):
        return []
    return [fail("ssh config", "ssh-config-missing", f"there is no file {path}", ("SSHConfigFile", None), ("SSHConfigFile", "none"),
                 words="Take the user's own ssh configuration (first line), or none at all (second).")]


def _authority(given: Any) -> list[Finding]:
    if not given:
        return []
    import ssl

    path = os.path.abspath(os.path.expanduser(str(given)))
    try:
        ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        return [fail("CA file", "ca-file-missing", f"there is no file {path}", ("CAFile", None))]
    except ssl.SSLError:
        return [fail("CA file", "ca-file-wrong", f"{path} holds no certificate in PEM", words="It begins with "
                     "-----BEGIN CERTIFICATE-----; ask who runs the server for that form.")]
    except OSError as exc:
        return [fail("CA file", "ca-file-missing", f"{path} cannot be read: {exc.strerror}", commands=[advice.look_at(path)])]
    return [ok("CA file", path)]
