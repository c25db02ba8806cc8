"""Which names are those of this program's own files and of its user's secrets: such files are never data.

Pure: names alone decide here. ``never_sent`` adds what needs the disk (links, folders of several names).
"""

import functools
import re
from collections.abc import Callable, Mapping

LOG = "a log of this program"
"""Why a log is left out; an entry that names it may send it all the same."""
_WORDS = (
    "bak|backup|bck|bkp|bkup|orig|old|new|save|saved|tmp|temp|part|rej|copy|dist|off|disabled|"
    "dpkg-[a-z]+|ucf-[a-z]+|rpmsave|rpmnew|rpmorig|merge_[A-Za-z]+"
)
_TAILS = (
    "~+",  # emacs, vim, nano, kate, gedit
    r"\.~[0-9]+~",  # numbered copies (emacs, cp --backup)
    r"\.sw[a-z]|\.(?:kate-)?swp|\.un~",  # vim, nano, kate; vim's undo file
    rf"[._-](?:{_WORDS})(?:[._-]?[0-9]+)*~?",
    r"[A-Za-z0-9]{6}\.bck",  # helix
    r"\.kak\.[A-Za-z0-9]+",  # kakoune
    r"\.tmp\.[A-Za-z0-9.]+|\.[A-Za-z0-9_-]+\.tmp",  # scripts that rename when they are done
    r"___jb_(?:tmp|old)___",  # JetBrains
    r"\.[0-9]+\.(?:[A-Za-z0-9]+\.)?part",  # our own
    r"\.(?=[^.]*[a-z])(?=[^.]*[A-Z])[A-Za-z0-9_]{6,10}",  # mkstemp and QSaveFile (kate), rsync, ssh-keygen
)
_TAILS_OF_DOTTED = (r"(?:[.-][0-9]+)+", r"\.[A-Za-z0-9_]{6}")
"""Behind a name without a dot in it (a key's) these may as well make a name of somebody's data: camera-20261129."""
_TAILS_OF_LOG = (r"(?:[.-][0-9]+)*(?:\.(?:gz|xz|bz2|zst))?",)
# Prefix and suffix of a name in the name of a copy of it; the first pair has tails of its own for each kind.
_HEADS = (
    (r"#(?:!.*!)?", "#"),  # emacs: what is not saved yet
    (r"\.#", r"(?:\..*)?"),  # emacs: its lock
    (r"\.~lock\.", "#"),
    (r"\._|~\$?|\.~", ""),  # what macOS and Windows leave beside a file
    (r"%.*%", r"|\.sw[a-z]|~|\.un~"),  # vim, where it keeps all of them in one folder
)
# Temporaries that do not have the name of what is edited: GLib (gedit), Sublime Text.
_NAMELESS = re.compile(r"\.goutputstream-[A-Za-z0-9]{6}|\.subl[A-Za-z0-9]+\.tmp")
PROBE = "4913"
"""vim makes an empty file of this name, to see whether it may write in a folder."""


@functools.cache
def _ends(dotted: bool, log: bool) -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    # Compiled when the first file beside one of this package's is met: most apps have none.
    tails = (*_TAILS, *(_TAILS_OF_DOTTED if dotted else ()), *(_TAILS_OF_LOG if log else ()))
    return tuple((re.compile(head), re.compile(tail)) for head, tail in ((r"\.?", "|".join(tails)), *_HEADS))


def is_copy(name: str, of: str, *, log: bool = False) -> bool:
    """Whether a file called ``name`` is what an editor or (``log``) a rotation leaves of the file called ``of`` beside it: a
    backup, a temporary, a lock, an older log. Not that file itself."""
    at = name.find(of)
    while at >= 0:
        head, tail = name[:at], name[at + len(of) :]
        if (head or tail) and any(before.fullmatch(head) and behind.fullmatch(tail) for before, behind in _ends("." in of, log)):
            # A hidden file with exactly the name is a file of the user.
            return head != "." or bool(tail)
        at = name.find(of, at + 1)
    return False


def is_compiled(name: str, of: str) -> bool:
    """Whether ``name``, in ``__pycache__``, is what Python has compiled from the module file ``of`` (PEP 3147)."""
    return name.startswith(of.removesuffix(".py") + ".") and ".pyc" in name


def why_in_folder(name: str, own: Mapping[str, str], is_empty: Callable[[], bool]) -> str:
    """Why a file is none of the data of its folder, '' where it is: ``own`` are the names of our files there, and what
    each of them is. ``is_empty``: whether the file holds nothing, asked only where that matters."""
    found = own.get(name)
    if found is not None:
        return found
    for other, why in own.items():
        if is_copy(name, other, log=why == LOG):
            return why if why == LOG else f"a copy or temporary of {other}, {why}"
    edited = next((other for other, why in own.items() if why != LOG), None)
    if edited is not None and (_NAMELESS.fullmatch(name) or (name == PROBE and is_empty())):
        return f"a temporary of an editor, beside {edited}"
    return ""
