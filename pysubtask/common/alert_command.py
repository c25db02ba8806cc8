"""The program of ``alerts.Command``: where it is, whether it is obeyed, and how it is shown.

It is run as the user of the task, so no other user may write it: the rule of :mod:`.named_files` holds for it and for every
file that its arguments name, since that may be a script.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from .config import MASK
from .errors import ConfigError
from .named_files import doubt_about

KEY = "alerts.Command"
_SECRET = re.compile(r"(?i)authorization|bearer|token|passw|secret|api.?key")
_RANDOM = re.compile(r"(?=.*\d)[\w.~+/=-]{20,}")
"""The pattern of a token."""


def absolute(words: Sequence[str], folder: str) -> list[str]:
    """The same command, its program found from anywhere: a relative path starts at ``folder``; one without a path stays."""
    program = os.path.expanduser(words[0])
    if os.sep in program or (os.altsep and os.altsep in program):
        program = os.path.normpath(os.path.join(folder, program))
    return [program, *words[1:]]


def program_of(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> str | None:
    """The path of the program, which is looked for in PATH where it has none; None where there is no such program."""
    name = words[0]
    if os.path.isabs(name):
        return name if _can_run(name) else None
    places = [place for place in os.get_exec_path(environ) if os.path.isabs(place)]
    return next((path for place in places if _can_run(path := os.path.join(place, name))), None)


def why_not_there(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Why the program cannot be run; '' where it can."""
    if program_of(words, environ) is not None:
        return ""
    name = words[0]
    if not os.path.isabs(name):
        return f"there is no program {name!r} in PATH"
    if not os.path.exists(name):
        return f"there is no file {name}"
    return f"{name} is a folder" if os.path.isdir(name) else f"{name} may not be executed by this user (its mode lacks x)"


def check_command(words: Sequence[str] | None, environ: Mapping[str, str] = os.environ) -> None:
    """ConfigError where another user may write the program, or a file that its arguments name. A missing file is no error here.
    Raises OSError for a path of links without end."""
    for path in files_of(words, environ):
        found = doubt_about(path)
        if found is not None:
            raise ConfigError(KEY, found.problem, found.remedy)


def files_of(words: Sequence[str] | None, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """The files that a command is made of, as far as they are named by a path, and its program."""
    if not words:
        return
    program = program_of(words, environ) or words[0]
    if os.path.isabs(program):
        yield program
    yield from (word for word in words[1:] if os.path.isabs(word) and os.path.isfile(word))


def secrets_of(words: Sequence[str]) -> list[str]:
    """The arguments that are secrets by their form: the address of a hook is a secret, too: everybody who knows it can post
    there."""
    return [
        word for word in words[1:] if "://" in word or _SECRET.search(word) or (_RANDOM.fullmatch(word) and not os.path.isabs(word))
    ]


def display(words: Sequence[str]) -> str:
    """The command as a shell would take it, with a mask in the place of each secret."""
    import shlex

    hidden = set(secrets_of(words))
    return " ".join(MASK if word in hidden else shlex.quote(word) for word in words)


def _can_run(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
