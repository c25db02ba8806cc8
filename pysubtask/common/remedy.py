"""Advice for a person, in the words of the config that the task was read from, and where to read more."""

from __future__ import annotations

import os
import re
import shlex


def says_more(config_file: str) -> str:
    """Where more is said about a problem. ``config_file``: what the task's config was read from, '' for an app's own. Its path
    is written relative to the working folder of this process."""
    if not config_file:
        return "`pysubtask doctor` says more"
    return f"`pysubtask doctor {shlex.quote(as_typed(config_file))}` says more"


def as_typed(path: str) -> str:
    """A path, relative to the folder of this process where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # the folder is gone, or on another drive
        return path
    return relative if len(relative) < len(path) else path


def in_words_of(config_file: str, text: str) -> str:
    """An advice about settings in the words of the kind of config they stand in: Python's, or those of a TOML file."""
    if not config_file.endswith(".toml"):
        return text
    text = text.replace(
        "ftp.User and ftp.Password", "the user (User, or in the URL) and the password (Password, or the file PasswordFile)"
    )
    text = text.replace("User, KeyFile or Password", "User (or the URL), KeyFile, and Password (or the file PasswordFile)")
    text = re.sub(r"\bFalse\b", "false", re.sub(r"\bTrue\b", "true", text))
    text = re.sub(r"(?<![\w'\"])None\b(?=[\s,.;)]|$)", '"none"', text)
    return re.sub(r"(?<=\bto )'([\w-]+)'", r'"\1"', text)


def sentence(cause: str, remedy: str, more: str) -> str:
    """A problem in a line that ends with where more is said; without a remedy where that was said before."""
    cause = cause.rstrip(". ")
    return f"{cause}. {ended(remedy)} {more}" if remedy else f"{cause}; {more}"


def ended(text: str) -> str:
    """The text with a full stop, unless it asks something."""
    text = text.rstrip(". ")
    return text if text.endswith("?") else f"{text}."
