"""Every line that a message of this package asks a person to type into a shell. This module only builds the lines.

The rules, since a person may copy such a line without a thought:

- No file that this package did not create changes its owner, place or content. For such a file the only advice is
  ``chmod 600``, and only where it holds a secret, belongs to this user and is named in the config. The config itself may be
  given to the user of its service, and closed to the writing of others (``chmod go-w``), as may the folder for configs alone.
- Never a whole tree (``-R``), never through a link, nothing above a watched folder.
- Never a guess: a folder that is missing is made only where the folder above it is there.
- A path is quoted, so that no name becomes another command.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from .own_folders import is_root

_MEDIA = ("/media", "/mnt", "/run/media", "/Volumes")
"""Below these a missing folder is a disk that is not mounted, mostly."""


def word(text: str) -> str:
    """A word for a command line; ``~`` at its beginning stays the user's home."""
    import shlex

    if os.name == "nt":
        return text
    if text.startswith("-"):  # it would be an option
        text = f"./{text}"
    home, slash, rest = text.partition("/")
    return f"~/{shlex.quote(rest)}" if home == "~" and slash and rest else shlex.quote(text)


# --- what only looks


def list_path(path: str) -> str:
    """The owner and the mode of a file or folder."""
    return f"ls -ld {word(path)}"


def list_disk(path: str) -> str:
    """Which file system a folder is on, and whether it is read-only."""
    return f"findmnt -T {word(path)}"


def log_in(user: str, host: str, port: int | None) -> str:
    """A login by hand that asks for the password."""
    return f"sftp{f' -P {port}' if port else ''} {_account(user, host)}"


def log_in_aloud(user: str, host: str, port: int | None) -> str:
    """A login that tells which keys are offered."""
    return f"ssh -v{f' -p {port}' if port else ''} {_account(user, host)} true"


SHOW_KEY = "ssh-keygen -lf"
"""Shows the fingerprint of a key file."""


def show_server_key() -> str:
    """On the server: the fingerprint of its key."""
    return f"{SHOW_KEY} /etc/ssh/ssh_host_ed25519_key.pub"


# --- what changes what is this user's own


def keep_private(path: str) -> str:
    """Let nobody else read a file with a secret that this user owns."""
    return f"chmod 600 {word(path)}"


def only_you_write(path: str, *, sudo: bool = False) -> str:
    """Let nobody but its owner write a config, or a folder for configs alone; ``sudo``: the owner is root, and this user is not."""
    return f"{'sudo ' if sudo else ''}chmod go-w {word(path)}"


def hand_over_config(path: str, user: str) -> tuple[str, ...]:
    """The config of a service becomes its user's; nothing for what is no config of this package (a file NAME.toml)."""
    plain = path.endswith(".toml") and os.path.isfile(path) and not os.path.islink(path)
    return (f"sudo chown -h {word(user)} {word(path)}",) if plain else ()


def is_ours(path: str, state_root: str) -> bool:
    """Whether this package made a path. ``state_root``: the folder .pysubtask of the task, absolute, or the one that is used in
    its place elsewhere."""
    root = os.path.normpath(state_root)
    inside = os.path.normpath(path) == root or os.path.normpath(path).startswith(f"{root}{os.sep}")
    return os.path.isabs(root) and is_root(os.path.basename(root)) and inside


def give_back(paths: Iterable[str], state_root: str, user: int | None = None) -> tuple[str, ...]:
    """What we made, and another user owns, becomes this user's again (or that of ``user``, where this process has his rights and
    the shell is somebody else's); nothing for what is not ours (``state_root``: see is_ours)."""
    words = " ".join(word(path) for path in paths if is_ours(path, state_root))
    who = '"$(id -u)"' if user is None else str(user)
    return (f"sudo chown -h {who} {words}",) if words else ()


def open_again(path: str, state_root: str) -> tuple[str, ...]:
    """What we made, and this user owns, may be used by it again."""
    return (f"chmod u+rwx {word(path)}",) if is_ours(path, state_root) else ()


def is_mount_point_missing(path: str) -> bool:
    """Whether a folder that is not there is where disks are mounted."""
    return any(path == top or path.startswith(f"{top}/") for top in _MEDIA)


def make_folder(path: str) -> tuple[str, ...]:
    """A folder to be watched, where the one above it is there; nothing where a disk should be mounted."""
    return () if is_mount_point_missing(path) else (f"mkdir {word(path)}",)


# --- ssh


def new_key(path: str) -> str:
    """A key without a passphrase; ssh-keygen asks before it writes over a file."""
    return f"ssh-keygen -t ed25519 -N '' -f {word(path)}"


def send_key(public: str, user: str, host: str, port: int | None) -> str:
    """Have the server know the key."""
    return f"ssh-copy-id -f -i {word(public)}{f' -p {port}' if port else ''} {_account(user, host)}"


KEY_FILTERS = {
    "utf16": "iconv -f UTF-16 -t UTF-8",
    "bom": "tail -c +4",
    "crlf": "tr -d '\\r'",
    "cr": "tr '\\r' '\\n'",
    "newline": "echo",
    "blanks": "sed 's/^[[:blank:]]*//; s/[[:blank:]]*$//'",
    "around": "sed -n '/^-----BEGIN/,/^-----END/p'",
}
"""What undoes each thing that editors do to the text of a key; the last one adds what is missing."""


def copy_key(source: str, target: str, altered: tuple[str, ...]) -> tuple[str, ...]:
    """A copy of a key that only its owner may read, written by other rules where it is ``altered`` (KEY_FILTERS); nothing that is
    there is written over (``set -C``). Nothing to type where there is no free name for it."""
    if not target:
        return ()
    first = KEY_FILTERS[altered[0]] if altered and altered[0] in ("utf16", "bom") else "cat"
    steps = [KEY_FILTERS[one] for one in altered if one not in ("utf16", "bom", "newline")]
    written = " | ".join([f"{first} {word(source)}", *steps])
    if "newline" in altered:
        written = f"{{ {written}; {KEY_FILTERS['newline']}; }}"
    folder = os.path.dirname(target)
    make = f"mkdir -m 700 {word(folder)} && " if not os.path.isdir(folder) else ""
    return (f"{make}(umask 077; set -C; {written} > {word(target)})",)


def show_public(path: str) -> str:
    """The public half of a key."""
    return f"ssh-keygen -y -f {word(path)}"


def convert_putty(source: str, target: str) -> str:
    """A key of PuTTY's as one of OpenSSH's, in a file of its own."""
    return f"puttygen {word(source)} -O private-openssh -o {word(target)}"


def list_certificate(path: str) -> str:
    """Whom a certificate of ssh is for, and until when."""
    return f"ssh-keygen -L -f {word(path)}"


def forget_host(name: str, known_hosts: str | None = None) -> str:
    """Take a server's old key out of known_hosts; ssh-keygen keeps a copy of the file."""
    return f"ssh-keygen {f'-f {word(known_hosts)} ' if known_hosts else ''}-R {word(name)}"


FORGET_HOST = "ssh-keygen -R"
"""The same for a text that does not know the name."""


def learn_host(host: str, port: int, known_hosts: str) -> str:
    """Add what a server shows to known_hosts; its folder is made where it is missing (~/.ssh of a fresh account)."""
    folder = os.path.dirname(known_hosts)
    there = os.path.expanduser(folder)
    make = (
        f"mkdir -m 700 {word(folder)} && "
        if not os.path.isdir(there) and os.path.isdir(os.path.dirname(there)) and (not is_mount_point_missing(there))
        else ""
    )
    return f"{make}ssh-keyscan -p {port} {word(host)} >> {word(known_hosts)}"


def _account(user: str, host: str) -> str:
    return word(f"{user}@{host}" if user else host)


# --- programs, libraries, the system


def install(extra: str) -> str:
    """A library of this package that is missing."""
    return f"pip install 'pysubtask[{extra}]'"


def install_ssh(*, upgrade: bool = False) -> str:
    """The system's ssh."""
    return f"sudo apt-get install {'--only-upgrade ' if upgrade else ''}openssh-client"


def container_user(uid: int) -> str:
    """In the recipe of a container's image: a user with this number."""
    return f"RUN useradd --uid {uid} station"


SET_CLOCK = "sudo timedatectl set-ntp true"
"""Let the clock follow the network's."""
STAY_AFTER_LOGOUT = "loginctl enable-linger"
"""Let a user's services run while nobody is logged in."""


def set_kernel(key: str, value: object, module: str | None = None) -> str:
    """A setting of the kernel until the next boot, with the module that has it."""
    return f"{f'sudo modprobe {module} && ' if module else ''}sudo sysctl -w {key}={value}"
