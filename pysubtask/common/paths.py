"""The parts of a path and its bytes, for what is asked several times of each file: plain string work.

For absolute paths in the system's own form (as os.path.abspath gives them), with no separator at their end.
"""

import os
import sys

_SEP = os.sep
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


def name_of(path: str) -> str:
    """The name of a file in its folder."""
    return path.rpartition(_SEP)[2]


def folder_of(path: str) -> str:
    """The folder that a file is in."""
    folder = path.rpartition(_SEP)[0]
    return folder if _SEP in folder else os.path.dirname(path)  # right in the root, or in that of a drive


def encoded(name: str) -> bytes:
    """As os.fsencode, of text."""
    return name.encode(_ENCODING, _ERRORS)


def decoded(name: bytes) -> str:
    """As os.fsdecode, of bytes."""
    return name.decode(_ENCODING, _ERRORS)
