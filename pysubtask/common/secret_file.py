"""Files with a secret in them: read where they belong to this user or to root, and nobody else may read them.

Each caller words the error for its user; no secret appears in one.
"""

import os
import stat

from .trust import owners

MOST_BYTES = 64 * 1024
"""What is read of a file at most: more than any key or token has, and bounded for a path such as /dev/zero."""


class NotPrivate(Exception):
    """A file with a secret belongs to another user, who could read and replace the secret, or may be read by others.

    ``is_foreign``: whether it belongs to another user; ``uid``: the number of its owner; ``mode``: its permission bits."""

    def __init__(self, found: os.stat_result, *, is_foreign: bool) -> None:
        self.is_foreign, self.uid, self.mode = is_foreign, found.st_uid, stat.S_IMODE(found.st_mode)
        super().__init__(f"owner {self.uid}, mode {self.mode:04o}")


def check(found: os.stat_result, *, pipes: bool) -> None:
    """Raise NotPrivate where a file, of which ``found`` is the fstat, is not this user's own secret. ``pipes``: what is no regular
    file, such as the pipe of a shell's <(...), passes. On a system without users and modes nothing is checked."""
    if os.name != "posix" or (pipes and not stat.S_ISREG(found.st_mode)):
        return
    if found.st_uid not in owners():
        raise NotPrivate(found, is_foreign=True)
    if found.st_mode & 0o077:
        raise NotPrivate(found, is_foreign=False)


def read(path: str, *, guarded: bool = True, pipes: bool = False) -> str:
    """The text of a file, at most ``MOST_BYTES`` of it. ``guarded``: it has to pass ``check`` (which has ``pipes``), once it is
    open. Raises NotPrivate, OSError, and UnicodeDecodeError where it is no text in UTF-8."""
    with open(path, "rb") as file:
        if guarded:
            check(os.fstat(file.fileno()), pipes=pipes)
        return file.read(MOST_BYTES).decode("utf-8")


def first_line(text: str) -> str:
    """The first line of a text, without its end."""
    return text.partition("\n")[0].strip("\r")
