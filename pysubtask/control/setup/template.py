"""The texts that ``pysubtask init`` writes: a short config, filled in or with two lines to fill in, and a full one that has every
setting of the settings table with its meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from ...common.advice import keep_private
from ...common.config import SECTIONS, Setting
from ...defaults_config import SETTINGS
from ..config.secrets import file_key
from ..config.toml_words import accepts, in_file_words, in_toml

_WIDTH = 100
_SHORT = """\
# pysubtask: what is sent, and where to. Fill in the two lines marked with <==, then:
#
#   pysubtask doctor {file}
#   pysubtask run {file}
#
# Every setting there is, with its meaning: pysubtask init --full -
{base}
[[watch]]
dir = ""                    # <== 1. the folder whose files are sent (of a single file: file = "/data/weather.csv")
on_change = true            # a file is sent again whenever it was changed

[ftp]
Host = ""                   # <== 2. where to: "ftp://user@host/folder", or sftp://, or ftps://
#PasswordFile = "secret.txt"      # with the password in its first line; run: {private}
#KeyFile = "~/.ssh/id_ed25519"    # SFTP by key: which one; left out, ssh chooses
"""
_HEAD = """\
# pysubtask: which files are sent, and where to.
#
# Fill in the two lines that are marked with <==. Everything else has a default: the lines that begin with
# a single # and no space show it, and count once that # is removed. Then:
#
#   pysubtask check {file}
#   pysubtask doctor {file}
#   pysubtask run {file}
#
# A path that does not begin with / or ~ starts at the folder of this file. "none" stands for no value.
# Sizes may be written "50k", "4M", "1G" (a k is 1,000; "50Ki" has 1,024). A setting that says "live" can
# also be changed while it runs (pysubtask set), and all of this file can (pysubtask reload). What is said
# here can also be said by environment variables, such as PYSUBTASK_{task}__FTP__HOST.


# ---- what is sent

[[watch]]
dir = ""                    # <== 1. the folder whose files are sent, such as "/data/photos"
{watch}
# One more folder, or one file. That is sent whenever a program has changed it; with on_change = false only when one touches
# /data/today.csv.notify:
#[[watch]]
#file = "/data/today.csv"


# ---- where to: SFTP, or FTP with a URL that says ftp:// (or UseSFTP = false)

[ftp]
Host = ""                   # <== 2. the server's name or address, or a URL: "ftp://user@files.example.org/folder"
"""
_WATCH = (
    ("as", '"station7/photos"', "The folder's name on the server; left out, its files go straight to the destination's folder."),
    ("recursive", "false", "true takes the folders inside, too."),
    ("include", "[]", 'Patterns of the files that count, as ["*.csv", "raw/*"]; none: all.'),
    ("exclude", "[]", "Patterns of the files that do not count."),
    (
        "default_exclude",
        "true",
        "Leaves out what has the name of another program's temporary file, such as *.part, *.tmp, *~; false sends those too.",
    ),
    ("settle_secs", "1", "Seconds without change after which a new file counts as complete, and a changed one as settled."),
    ("on_change", "false", "true sends a file again whenever it was changed, not only when it is notified."),
    (
        "notify_files",
        "false",
        "true makes a .notify file beside each file that was taken. Without it, too, touching FILE.notify sends FILE again.",
    ),
    ("append", "false", "true promises that these files only ever grow."),
    (
        "whole_records",
        "true",
        "What a reader on the server sees of a growing file ends with a whole line; left out: for .csv, "
        ".log, .txt and .jsonl over SFTP.",
    ),
    ("burstmode", "false", "true holds quick notifies back, see [burst_mode]."),
)
_TITLES = {
    "base": "every destination",
    "burst_mode": "when notifies are held back (entries with burstmode = true)",
    "alerts": "who is told when something goes wrong (pysubtask alerts test tries it)",
    "dropbox": "Dropbox (python -m pysubtask.dropbox --login gives the first two)",
}
_FIRST = {
    "ftp": ("User", "HostPort", "HostPath", "Password", "KeyFile", "HostKey", "HostKeyPolicy"),
    "dropbox": ("AppKey", "RefreshTokenFile"),
}
_MORE = {("base", "ArchiveToFolder"): " 'pysubtask run' moves no file unless this line counts."}
_LEFT_OUT = {("ftp", "Host")}
_EXAMPLES = {
    ("ftp", "SSHConfigFile"): '"~/.ssh/config"',
    ("base", "TaskName"): '"main"',
    ("base", "BakToFolder"): '".upload"',
    ("ftp", "BakToFolder"): '".upload/ftp"',
    ("dropbox", "BakToFolder"): '".upload/dropbox"',
    ("alerts", "Command"): '["/usr/local/bin/alert", "me@example.org"]',
}


class Watched(NamedTuple):
    """A [[watch]] entry for the config. ``kind``: 'dir' or 'file'; ``path``: as the config has it; ``remote``: its ``as`` or
    None."""

    kind: str
    path: str
    remote: str | None = None


def short(file: str = "pysubtask.toml", task: str | None = None) -> str:
    """The text of a short config with two lines to fill in; ``task``: the name of its task, where it needs one."""
    return _SHORT.format(file=file, private=keep_private("secret.txt"), base=_base(task))


def filled(watched: Sequence[Watched], section: str, settings: Sequence[tuple[str, str, str]], task: str | None = None) -> str:
    """The text of a short config. ``settings``: (key, value, comment) for ``section``; ``task``: the name of its task (None:
    none)."""
    parts = ["# pysubtask: what is sent, and where to. Every setting there is, with its meaning: pysubtask init --full -\n"]
    parts.append(_base(task))
    for one in watched:
        again = "sent again whenever it was changed"
        parts.append("\n[[watch]]\n" + _line(one.kind, one.path, again if one.kind == "file" else ""))
        if one.remote is not None:
            parts.append(_line("as", one.remote, "its name on the server"))
        if one.kind == "dir":
            parts.append(f"{'on_change = true':<27} # a file in it is {again}\n")
    parts.append(f"\n[{section}]\n")
    return "".join(parts + [_line(key, value, comment) for key, value, comment in settings])


def _base(task: str | None) -> str:
    return "" if task is None else "\n[base]\n" + _line("TaskName", task, "its queue is kept under this name")


def _line(key: str, value: str, comment: str) -> str:
    line = f"{key} = {in_toml(value)}"
    return f"{line:<27} # {comment}\n" if comment else f"{line}\n"


def template(file: str = "pysubtask.toml", task: str = "main") -> str:
    """The text of a config for ``file`` (a path, for the lines that show how to go on)."""
    watch = "".join(_entry(meaning, f"#{key} = {value}") for key, value, meaning in _WATCH)
    parts = [_HEAD.format(file=file, task=task.upper(), watch=watch)]
    for section in ("ftp", *(name for name in SECTIONS if name != "ftp")):
        if section != "ftp":
            parts.append(f"\n\n# ---- {_TITLES[section]}\n\n[{section}]\n")
        rows = {row.key: row for row in SETTINGS[section]}
        first = [rows[key] for key in _FIRST.get(section, ())]
        parts += [_setting(section, row) for row in dict.fromkeys([*first, *rows.values()]) if (section, row.key) not in _LEFT_OUT]
    return "".join(parts)


def _setting(section: str, row: Setting) -> str:
    meaning = f"{in_file_words(row.meaning)}{_MORE.get((section, row.key), '')} Takes {accepts(row)}{'; live' if row.live else ''}."
    if row.secret:
        known = {other.key for other in SETTINGS[section]}
        line = f"#{row.key} = {in_toml(row.default)}"
        if file_key(row) in known:
            return _entry(meaning, line)
        better = f" Better in a file of its own, with {keep_private('secret.txt')}."
        return _entry(meaning + better, line, f'#{file_key(row)} = "secret.txt"')
    return _entry(meaning, f"#{row.key} = {_EXAMPLES.get((section, row.key)) or in_toml(row.default)}")


def _entry(meaning: str, *lines: str) -> str:
    return "\n".join(
        [
            "",
            *textwrap.wrap(
                meaning, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False, break_long_words=False
            ),
            *lines,
            "",
        ]
    )
