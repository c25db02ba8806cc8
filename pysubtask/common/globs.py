"""File name patterns: ``*`` any text, ``?`` one character, ``[abc]`` and ``[!abc]`` one of these or none of these. Pure.

A pattern is compared with the whole relative path of a file, where ``*`` takes ``/`` too; a pattern without ``/`` also
with the file's name alone. ``**/`` matches any folders or none. Upper and lower case differ on every system.
"""

import functools
import re
from collections.abc import Sequence
from fnmatch import translate


def matches(patterns: tuple[str, ...], relative: str) -> bool:
    """Whether one of the patterns matches a file, given by its path with ``/`` between the parts."""
    path, name = _compiled(patterns)[:2]
    return bool(path.match(relative) or (name is not None and name.match(relative.rpartition("/")[2])))


def match_all_in(patterns: tuple[str, ...], folder: str) -> bool:
    """Whether it is certain that the patterns match every file below this folder, at whatever depth."""
    endless = _compiled(patterns)[2]
    # A '*' at the end that has taken the slash takes whatever follows it.
    return endless is not None and bool(endless.match(folder + "/"))


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str] | None, re.Pattern[str] | None]:
    forms = list(dict.fromkeys(form for pattern in patterns for form in _forms(pattern)))
    names = [form for form in forms if "/" not in form]
    endless = [form for form in forms if form.endswith("*")]
    return _any_of(forms), _any_of(names) if names else None, _any_of(endless) if endless else None


def _forms(pattern: str) -> list[str]:
    """The pattern, and what it is where its ``**/`` stand for no folder."""
    without = pattern.replace("/**/", "/")
    return [pattern, without, pattern.removeprefix("**/"), without.removeprefix("**/")]


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns))
