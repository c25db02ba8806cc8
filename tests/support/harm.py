"""Whether a line that a person is advised to type could harm: a judge for tests that shares no code with the package."""

from __future__ import annotations

import os
import re
import shlex
import stat

_LOOKING = {"ls", "findmnt", "du", "sort", "tail", "nc", "getent", "cat", "ip", "date", "mount", "grep", "sftp", "ssh"}
_SETTING = {
    "timedatectl": r"set-ntp true",
    "loginctl": r"enable-linger",
    "apt-get": r"install (--only-upgrade )?openssh-client",
    "sysctl": r"-w [\w.]+=\w+",
    "modprobe": r"tcp_bbr",
    "pip": r"install pysubtask\[\w+\]",
    "pysubtask": r"doctor \S+\.toml",
    "python": r"-m pysubtask\.dropbox --login",
    "RUN": r"useradd --uid \d+ station",
}


def in_line(line: str, state_folder: str = "/nowhere/.pysubtask") -> str:
    """Why it could harm; empty where it cannot. ``state_folder``: the folder .pysubtask that pysubtask created."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in reader:
        if word and set(word) <= set("&|;()"):
            commands.append([])
        else:
            commands[-1].append(word)
    kept = ["set", "-C"] in commands  # nothing that is there is written over
    for words in commands:
        words = [word for word in words if word not in ("{", "}")]
        if kept and not words:
            continue  # a bracket beside another sign
        found = _in_copy(words) if kept else _in_command(words, state_folder)
        if found:
            return f"{found}: {' '.join(words)}"
    return ""


def _in_copy(words: list[str]) -> str:
    """Of a line that copies a key into a new file."""
    if words in (["umask", "077"], ["set", "-C"], ["echo"]):
        return ""
    if ">" in words:
        at = words.index(">")
        if len(words) != at + 2 or os.path.lexists(words[-1]):
            return "it writes over"
        words = words[:at]
    allowed = {"cat": 1, "tail": 3, "tr": 2, "sed": 2, "iconv": 5, "echo": 0, "mkdir": 3}
    if not words:
        return ""
    if words[0] == "mkdir":
        return "it guesses" if os.path.lexists(words[-1]) else ""
    return "" if len(words) - 1 <= allowed.get(words[0], -1) and "-i" not in words else "unknown"


def _in_command(words: list[str], state_folder: str) -> str:
    words = words[1:] if words[:1] == ["sudo"] else words
    name, rest = (words[0], words[1:]) if words else ("", [])
    plain = [word for word in rest if not word.startswith("-")]
    options = [word for word in rest if word.startswith("-")]
    if name in _LOOKING:
        return "it writes" if ">" in rest or "-delete" in rest else ""
    if name in _SETTING:
        return "" if re.fullmatch(_SETTING[name], " ".join(rest)) else "another setting"
    if name in ("chown", "chmod", "chgrp"):
        return _in_change(name, options, plain[1:], plain[:1], state_folder)
    if name == "mkdir":
        if rest[:2] == ["-m", "700"]:
            options, plain = [], [os.path.expanduser(path) for path in rest[2:]]
        if options or len(plain) != 1:
            return "folders above"
        return "it guesses" if os.path.lexists(plain[0]) or not os.path.isdir(os.path.dirname(plain[0])) else ""
    if name == "ssh-keygen":
        if "-p" in rest or not {"-t", "-R", "-lf", "-L", "-y"} & set(rest):
            return "somebody's key"
        target = rest[rest.index("-f") + 1] if "-t" in rest and "-f" in rest else ""
        return "a key is there" if target and os.path.exists(os.path.expanduser(target)) else ""
    if name == "puttygen":
        written = rest[-1] if rest[1:4] == ["-O", "private-openssh", "-o"] and len(rest) == 5 else "/"
        return "it writes over" if os.path.lexists(written) else ""
    if name == "ssh-keyscan":
        return "" if rest.count(">>") == 1 and ">" not in rest else "it writes over"
    return "" if name == "ssh-copy-id" else "unknown"


def _in_change(name: str, options: list[str], paths: list[str], what: list[str], state_folder: str) -> str:
    if any(re.match(r"-\w*R", option) for option in options) or "--recursive" in options:
        return "a whole tree"
    known = os.path.basename(state_folder) == ".pysubtask"
    ours = known and all(f"{path}/".startswith(f"{state_folder}/") and ".." not in path for path in paths)
    if name == "chmod" and what == ["600"]:
        return "" if all(os.path.isfile(path) and _is_mine(path) for path in paths) else "no file of this user"
    if name == "chmod" and what == ["go-w"]:
        return "" if paths and all(_is_config(path) for path in paths) else "no config"
    if not ours or not paths:
        return "not ours"
    return "through a link" if name != "chmod" and "-h" not in options else ""


def _is_config(path: str) -> bool:
    if os.path.isdir(path):
        return os.path.basename(path) in ("pysubtask", "conf.d") and not os.path.islink(path)
    return os.path.isfile(path) and path.endswith((".toml", ".py"))


def _is_mine(path: str) -> bool:
    found = os.lstat(path)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
