"""Mistakes in a config, in the terms of its writer: file, line, key, and the expected value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...common.config import SECTIONS
from ...common.errors import ConfigError
from ...common.problem import Path, Problem, Text, key_of, written
from .toml_words import TOML


class Where(NamedTuple):
    """Where a setting was written. ``place``: the path of a file, or the name of an environment variable; ``line``: the line in the
    file, counted from 1 (None: the file as a whole, or an environment variable)."""

    place: str
    line: int | None = None

    def __str__(self) -> str:
        return self.place if self.line is None else f"{self.place}:{self.line}"


class LocatedProblem(Problem):
    """One mistake in a config, in the words of a config file. ``where`` it was written, a :class:`Where`; ``key``: dotted, as
    ``ftp.Host`` or ``watch[1].dir`` ('' for the whole file); ``problem`` and ``remedy``: see :class:`Problem`."""

    __slots__ = ()

    @property
    def key(self) -> str:
        """The key, as the file names it; entries are counted from 1."""
        return key_of(self.path, 1)

    @property
    def problem(self) -> str:
        """What is wrong, without a full stop."""
        return written(self.what, TOML)

    @property
    def remedy(self) -> str:
        """What to do, as a sentence."""
        return written(self.advice, TOML)

    def __str__(self) -> str:
        return f"{self.where}: {self.key + ': ' if self.key else ''}{self.problem}. {self.remedy}"


class ConfigProblems(ConfigError):
    """A config with mistakes, all of them in ``problems``; nothing was started or changed."""

    problems: tuple[LocatedProblem, ...]

    def __init__(self, problems: Sequence[LocatedProblem]) -> None:
        self._take(problems)
        count = "one problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        self.args = ("\n  ".join([f"the config cannot be used ({count}):", *map(str, self.problems)]),)

    def lines(self) -> list[str]:
        """A heading, and a line for each problem."""
        return str(self).split("\n  ")


def problem_at(where: Where, path: Path, what: Text, advice: Text) -> LocatedProblem:
    """A mistake that was found in a config file. ``path``: the parts of the key as the file names it."""
    return LocatedProblem(path, what, advice, where=where)


def located(where: Where, found: Problem, path: Path | None = None) -> LocatedProblem:
    """A problem of a check that does not know of files, with its place. ``path``: that of the problem, unless given."""
    return LocatedProblem(found.path if path is None else path, found.what, found.advice, found.given, where)


def of_error(where: Where, error: ConfigError, path: Path | None = None) -> LocatedProblem:
    """The same for an error about one setting."""
    return located(where, error.problems[0], path)


def doubtful_keys(problems: Iterable[LocatedProblem], prefix: Path) -> set[tuple[str | int, ...]]:
    """The settings of a task about whose values nothing is known, since a problem concerns them, and the sections whose name is
    wrong. ``prefix``: the path of the task's own table (none where it is the file's only task)."""
    found: set[tuple[str | int, ...]] = set()
    for one in problems:
        path = one.path
        if path[:1] == ("tasks",):
            path = path[2:] if prefix and path[:2] == prefix else ()
        if not path or path[0] == "watch":
            continue
        found.add(path)
        if path[0] in SECTIONS and str(path[-1]).endswith("File"):
            found.add((*path[:-1], str(path[-1]).removesuffix("File")))
    return found


def in_order(problems: Iterable[LocatedProblem], files: Iterable[str]) -> list[LocatedProblem]:
    """The problems in the order of the files and of their lines, each once. What is in no file comes first."""
    order = {path: number for number, path in enumerate(files)}

    def place(one: LocatedProblem) -> tuple[int, int]:
        where: Any = one.where
        return order.get(where.place, -1), where.line or 0

    return list({str(one): one for one in sorted(problems, key=place)}.values())
