"""Keys as people have them: what editors, clipboards and mails do to a file, and certificates that are not good."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from pysubtask.testing.servers.sshd import make_key


def cases(private: str) -> list[tuple[str, bytes]]:
    """The text of a key, altered in each way that is known; a name for each."""
    windows = private.replace("\n", "\r\n")
    return [
        ("crlf", windows.encode()),
        ("newline", private.rstrip("\n").encode()),
        ("bom", b"\xef\xbb\xbf" + private.encode()),
        ("notepad", b"\xef\xbb\xbf" + windows.rstrip("\r\n").encode()),
        ("utf16", windows.encode("utf-16")),
        ("indented", "".join(f"    {line}\n" for line in private.splitlines()).encode()),
        ("mail", f"Here is your key:\n\n{private}\nRegards\n".encode()),
        ("mac", private.replace("\n", "\r").encode()),
        ("blank line above", f"\n{private}".encode()),
    ]


def certified(key: Path, to: Path, valid: str, name: str) -> None:
    """A copy of a key at ``to`` with a certificate for ``name`` beside it; ``valid`` is the -V of ssh-keygen."""
    authority = key.parent / "authority"
    make_key(authority)
    shutil.copy(key, to)
    shutil.copy(f"{key}.pub", f"{to}.pub")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "station", "-n", name, "-V", valid, f"{to}.pub"],
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
