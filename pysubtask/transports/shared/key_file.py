"""Faults of a private key file, found from the file alone, without a server.

OpenSSH reads a key of its own format to the byte: line ends of Windows, a byte order mark or a missing last newline make it
unusable, and ssh reports only 'invalid format' or 'error in libcrypto', above a line that blames the account.
No file is changed here, and no key leaves this process; ``ssh-keygen`` is run on the file where it is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ...common import account, advice
from ...common.errors import LoginRefused, ServerNotTrusted
from ...common.key_text import ALTERATION_TEXT, alterations, is_locked, is_own, is_private, is_whole, kind_of_mount, plain
from ...common.program import for_others
from ...common.ssh_certificate import Certificate, certificate_of

MISSING, UNREADABLE, PUBLIC = "key-file-missing", "key-file-unreadable", "key-file-public"
WRONG, PUTTY, ALTERED, UNUSABLE = "key-file-wrong", "key-file-putty", "key-file-altered", "key-file-unusable"
OPEN, OPEN_FIXED, LOCKED, IN_AGENT = "key-file-open", "key-file-open-fixed", "key-has-passphrase", "key-in-agent"

_SAY_SECS = 5.0  # for ssh-keygen and ssh-add, which answer at once unless an agent hangs
_MOST = 64 * 1024  # bytes of the file that are read; a key has some kilobytes
_PUBLIC = (b"ssh-", b"ecdsa-", b"sk-", b"---- BEGIN SSH2 PUBLIC KEY", b"-----BEGIN PUBLIC KEY", b"-----BEGIN RSA PUBLIC KEY")
_PUTTY = b"PuTTY-User-Key-File"
_NO_MODES = {"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3", "smbfs", "9p", "drvfs", "vboxsf", "hgfs"}


class KeyFault(NamedTuple):
    """``cause``: a short fixed name; ``text``: the fault, with the file's name; ``words`` and ``commands``: the remedy;
    ``key``: the file that KeyFile should name then, '' where that is not known; ``works``: a login may succeed nevertheless."""

    cause: str
    text: str
    words: str = ""
    commands: tuple[str, ...] = ()
    key: str = ""
    works: bool = False

    @property
    def remedy(self) -> str:
        """The remedy in one or two sentences."""
        done = " or ".join(f"run  {command}" for command in self.commands)
        named = f"set KeyFile to {self.key}" if self.key else ""
        advice_text = " and ".join(filter(None, (done, named)))
        return " ".join(filter(None, (self.words, advice_text[:1].upper() + advice_text[1:])))


def check(path: str, *, by_ssh: bool = True, agent: str | None = None) -> KeyFault | None:
    """The first fault that prevents the use of a key, None where there is none. Blocks for a moment.

    ``path``: absolute. ``by_ssh``: OpenSSH reads it, which minds modes and each byte; libraries do not. ``agent``: the socket of
    the agent that ssh asks, None for the one of the environment.
    """
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            return KeyFault(MISSING, f"{path} is a folder", "Name the file of your private key.")
        if not stat.S_ISREG(found.st_mode):
            return KeyFault(WRONG, f"{path} is no file", "Name the file of your private key.")
        with open(path, "rb") as file:
            data = file.read(_MOST)
    except FileNotFoundError:
        return KeyFault(MISSING, f"there is no file {path}", "Name the file of your private key.")
    except OSError as exc:
        return KeyFault(
            UNREADABLE,
            f"{path} cannot be read: {exc.strerror}{_whose(path)}",
            "Run pysubtask as the user whose key it is, or give this user a key of its own.",
            (advice.list_path(path),),
        )
    # The kind of file is checked first: a remedy for the wrong file would help nobody.
    if data.startswith(_PUBLIC):
        return _public(path, agent)
    if plain(data).startswith(_PUTTY):
        return _putty(path)
    if not is_private(data):
        return KeyFault(WRONG, f"{path} is no private key", "Name the file of your private key.")
    return (_of_ssh(path, data, found) if by_ssh else None) or _locked(path, data, agent)


def why_refused(path: str, user: str, *, by_ssh: bool = True) -> KeyFault | None:
    """The possible reason why a server has refused this key, None where none is found; ``user``: the login name, '' where it is not
    known. Blocks for a moment."""
    found = check(path, by_ssh=by_ssh)
    return found if found is not None and not found.works else certificate_trouble(path, user) or found


def explained(exc: LoginRefused, path: str | None, user: str, *, by_ssh: bool = True, password: bool = False) -> LoginRefused:
    """The refusal with a fault of the key file (``seen``) as its first cause; the same refusal where there is no fault. Blocks for
    a moment. ``password``: the server has refused a password as well."""
    if path is None or isinstance(exc, ServerNotTrusted) or not exc.cause.startswith(("the login was refused", "the key file")):
        return exc
    found = why_refused(path, user, by_ssh=by_ssh)
    if found is None or found.cause == IN_AGENT:
        return exc
    error = LoginRefused(f"{exc.cause}; and {found.text}" if password else f"{found.text}. {exc.cause}", found.remedy)
    error.seen = found
    return error


def certificate_trouble(path: str, user: str = "") -> KeyFault | None:
    """A fault of the certificate beside a key, which ssh presents with it; None where there is none. Blocks for a moment. ``user``:
    the principal that it must have; '' for any, as a server may map principals to accounts."""
    cert = f"{path}-cert.pub"
    if not os.path.isfile(cert):
        return None
    finished = ask("ssh-keygen", "-L", "-f", cert)
    if finished is None or finished.returncode:
        return None
    return _of_certificate(cert, certificate_of(finished.stdout.decode("utf-8", "replace")), user)


def _of_certificate(cert: str, found: Certificate, user: str) -> KeyFault | None:
    commands = (advice.list_certificate(cert),)
    renew = f"Have who runs the server sign a new one, and put it in the place of {cert}; ssh shows it with the key."
    if found.is_over():
        return KeyFault(
            "certificate-ended", f"the certificate {cert} is out of date: it ended at {found.until}", renew, commands, works=True
        )
    if found.is_early():
        return KeyFault(
            "certificate-early",
            f"the certificate {cert} is not valid yet: it begins at {found.since}, and this machine's clock says {found.clock()}",
            "One of the two is wrong; mostly this machine's clock.",
            commands,
            works=True,
        )
    if user and found.names and user not in found.names:
        return KeyFault(
            "certificate-user",
            f"the certificate {cert} is for {', '.join(found.names)}, and User is {user}",
            "Set User to one of its names, or have one signed for this user.",
            commands,
            works=True,
        )
    return None


# --- what ssh minds


def _of_ssh(path: str, data: bytes, found: os.stat_result) -> KeyFault | None:
    altered = alterations(data)
    # ssh checks the mode of the user's own files only, and ssh-keygen reports no other fault of such a file.
    if os.name == "posix" and found.st_uid == account.uid() and stat.S_IMODE(found.st_mode) & 0o077:
        return _altered(path, data, altered) if altered and is_own(data) else _open(path, found.st_mode)
    finished = ask("ssh-keygen", "-y", "-P", "", "-f", path)
    if finished is not None and (not finished.returncode or re.search(b"passphrase|bad permissions", finished.stderr)):
        return None
    if altered and (finished is not None or is_own(data)):  # the text of other formats may vary
        return _altered(path, data, altered)
    if finished is None:
        return None
    words = finished.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
    text = (
        f"{path} looks like a private key, and ssh cannot load it ({words[-1].rpartition(': ')[2]}): it was cut or changed "
        "when it was copied, or its format is not one of ssh's"
    )
    return KeyFault(
        UNUSABLE, text, "Copy it anew from where it was made, all of its lines; or make a new key.", (advice.list_path(path),)
    )


def _open(path: str, mode: int) -> KeyFault:
    octal = f"{stat.S_IMODE(mode):04o}"
    fixed = why_mode_is_fixed(path)
    if not fixed:
        return KeyFault(
            OPEN,
            f"others may read {path} (mode {octal}), so ssh does not use it",
            "",
            (advice.keep_private(os.path.realpath(path)),),
        )
    target = _place_for_copy(path)
    text = f"others may read {path} (mode {octal}), so ssh does not use it, and its mode cannot be changed: {fixed}"
    words = "Have ssh use a copy that nobody else may read."
    return KeyFault(OPEN_FIXED, text, words, advice.copy_key(path, target, ()) if target else (), target)


def why_mode_is_fixed(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """The reason why the mode of a file cannot be changed, '' where it can be."""
    if sys.platform == "win32":
        return ""
    real = os.path.realpath(path)
    try:
        if os.statvfs(real).f_flag & getattr(os, "ST_RDONLY", 1):
            return "it is on a file system that is mounted read-only"
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            kind = kind_of_mount(real, file.read())
    except OSError:
        return ""
    return f"it is on a file system ({kind}) that keeps no modes" if kind in _NO_MODES else ""


def _place_for_copy(path: str) -> str:
    """A free path in ~/.ssh for a copy of the key; '' where this user has no home."""
    home = os.path.expanduser("~")
    if not os.path.isabs(home) or not os.path.isdir(home):
        return ""
    return free_name(os.path.join(home, ".ssh", os.path.basename(path)))


def free_name(path: str) -> str:
    """The path, or the path with a number behind it where the file exists already."""
    names = [path, *(f"{path}_{number}" for number in range(2, 100))]
    return next((name for name in names if not os.path.lexists(name)), "")


# --- what to say


def _altered(path: str, data: bytes, found: list[str]) -> KeyFault:
    text = f"ssh cannot load the key {path}: {', and '.join(ALTERATION_TEXT[one] for one in found)}"
    if is_own(data) and not is_whole(data):
        return KeyFault(
            UNUSABLE,
            f"{text}; and it is not whole",
            "Copy it anew from where it was made, all of its lines.",
            (advice.list_path(path),),
        )
    target = free_name(f"{path}_mended")
    return KeyFault(
        ALTERED,
        text,
        "This writes it anew into a file of its own, which only you may read.",
        advice.copy_key(path, target, tuple(found)),
        target,
    )


def _putty(path: str) -> KeyFault:
    target = free_name(f"{path.removesuffix('.ppk')}_openssh")
    return KeyFault(
        PUTTY,
        f"{path} is a key in PuTTY's own format (.ppk), which ssh does not read",
        "Convert it into a file of its own: puttygen comes with putty-tools; on Windows PuTTYgen does it (Conversions, "
        "Export OpenSSH key).",
        (advice.convert_putty(path, target),),
        target,
    )


def _public(path: str, agent: str | None) -> KeyFault | None:
    if in_agent(path, agent):
        return KeyFault(
            IN_AGENT,
            f"{path} is the public half; it works while ssh-agent has the key, which ends with the login here",
            "For a service, give it a key of its own without a passphrase.",
            works=True,
        )
    private = path.removesuffix(".pub")
    if private != path and os.path.exists(private):
        return KeyFault(PUBLIC, f"{path} is the public half", "", (), private)
    return KeyFault(
        PUBLIC,
        f"{path} is the public half" + (f", and there is no {private}" if private != path else ""),
        "Name the private half: the file that was made with it.",
    )


def _locked(path: str, data: bytes, agent: str | None) -> KeyFault | None:
    """A key with a passphrase, which only an agent can use for a child."""
    if not is_locked(data) and not _has_passphrase(path, data):
        return None
    if in_agent(path, agent):
        return KeyFault(
            IN_AGENT,
            f"{path} is locked by a passphrase; it works while ssh-agent has it, which ends with the login here",
            "For a service, give it a key of its own without a passphrase.",
            works=True,
        )
    fresh = free_name(f"{path}_pysubtask")
    return KeyFault(
        LOCKED,
        f"{path} is locked by a passphrase, which nobody can type in for a child",
        "Make a key for this alone, without a passphrase, have its .pub put on the server, and name it; or have "
        "ssh-agent hold this one (ssh-add), in the session that runs pysubtask.",
        (advice.new_key(fresh),),
        fresh,
    )


def _has_passphrase(path: str, data: bytes) -> bool:
    """Whether ssh-keygen asks for a passphrase, for the formats that do not contain that in plain text."""
    if is_own(data):
        return False
    finished = ask("ssh-keygen", "-y", "-P", "", "-f", path)
    return finished is not None and finished.returncode != 0 and b"passphrase" in finished.stderr


# --- who is asked


def in_agent(path: str, agent: str | None = None) -> bool:
    """Whether ssh-agent has a key, by its fingerprint."""
    socket = agent if agent is not None else os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        return False
    mine, theirs = ask("ssh-keygen", "-l", "-f", path), ask("ssh-add", "-l", SSH_AUTH_SOCK=socket)
    words = mine.stdout.split() if mine is not None and not mine.returncode else []
    return len(words) > 1 and theirs is not None and words[1] in theirs.stdout.split()


def is_rsa(path: str) -> bool:
    """Whether a key is an RSA key, as far as ssh-keygen tells."""
    finished = ask("ssh-keygen", "-l", "-f", os.path.expanduser(path)) if path else None
    return finished is not None and finished.returncode == 0 and finished.stdout.rstrip().endswith(b"(RSA)")


def ask(name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes] | None:
    """Run one of ssh's programs without a terminal; None where it is not installed or does not end within _SAY_SECS."""
    program = shutil.which(name)
    if program is None:
        return None
    others: Mapping[str, str] = {**for_others(), "LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never", **environment}
    try:
        return subprocess.run(
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SAY_SECS,
            check=False,
            env=others,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _whose(path: str) -> str:
    """A clause with the owner of the file, '' where the owner is this user or is not known."""
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return ""
    name = account.name_of(owner)
    return f" (it belongs to {name})" if name and owner != account.uid() else ""
