"""What is wrong with one setting or watch entry: a record whose texts each front end writes in its own spelling.

A text is a str, or a tuple of str and of parts: ``(spelt(70000), " is out of range")``. A program in Python reads ``None``,
``True``, ``watchfilesdirs[0]`` where the writer of a config file reads ``"none"``, ``true``, ``watch[1]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from .errors import ConfigError

_ENTRIES = "watchfilesdirs"
_Result = TypeVar("_Result")

Path = tuple[str | int, ...]
"""The parts of a key: ``('ftp', 'HostPort')``, ``('watchfilesdirs', 2, 'as')``; an index counts from 0."""
NOT_GIVEN: Any = ...
"""The value of a problem that is not about a value, or whose value is not to be shown."""


class Part(NamedTuple):
    """A piece of a text whose spelling depends on the front end. ``form``: what it is, ``content``: as the function
    that makes it says."""

    form: str
    content: Any


Text = str | tuple[str | Part, ...]
Spelling = Mapping[str, Callable[[Any], str]]
"""For each form of a part: the function that writes its content."""


def spelt(content: Any) -> Part:
    """A value of a setting, as the front end writes it. It must not be a secret."""
    return Part("value", content)


def type_of(content: Any) -> Part:
    """The type of a value, after "is": "of type str". The value itself, which may be a secret, is not kept."""
    return Part("type", type(content).__name__)


def pair(key: str, content: Any) -> Part:
    """A key of a watch entry with a value."""
    return Part("pair", (key, content))


def entry_at(index: int) -> Part:
    """The watch entry with this index, from 0."""
    return Part("entry", index)


def entry_of(kind: str, key: str = "") -> Part:
    """An example of an entry. ``kind``: 'file' or 'dir'; ``key``: another key that it has."""
    return Part("example", (kind, key))


def known_keys(names: tuple[str, ...]) -> Part:
    """A sentence with the keys that are known."""
    return Part("known", names)


def _example(content: tuple[str, str]) -> str:
    kind, key = content
    return f"{{{kind!r}: ..., {key!r}: ...}}" if key else f"{{{kind!r}: path}}"


PYTHON: Spelling = {
    "value": repr,
    "type": lambda name: f"of type {name}",
    "pair": lambda content: f"{content[0]!r}: {content[1]!r}",
    "entry": lambda index: f"watchfilesdirs[{index}]",
    "example": _example,
    "known": lambda names: f"Known here: {', '.join(names)}.",
}


def written(text: Text, spelling: Spelling = PYTHON) -> str:
    """The text in the spelling of a front end."""
    if isinstance(text, str):
        return text
    return "".join(piece if isinstance(piece, str) else spelling[piece.form](piece.content) for piece in text)


def joined(*texts: Text) -> Text:
    """Several texts as one."""
    return tuple(piece for text in texts for piece in ((text,) if isinstance(text, str) else text))


def path_of(key: str) -> Path:
    """The parts of a dotted key; a key that is no dotted name, such as the path of a file, is one part."""
    parts = key.split(".")
    return tuple(parts) if all(part.isidentifier() for part in parts) else (key,)


def key_of(path: Path, first: int = 0) -> str:
    """The key as it is shown: ``ftp.HostPort``, ``watchfilesdirs[2].as``; '' for an empty path. ``first``: the number of the first
    entry."""
    return "".join(f"[{part + first}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


class Problem(NamedTuple):
    """One thing that is wrong. ``path``: the key's parts; ``what``: the problem without a full stop, ``advice``: what to do, a
    sentence, both as texts with parts; ``given``: the value, masked where it is secret (NOT_GIVEN: none to be shown);
    ``where``: the place where it was written, where the front end knows one."""

    path: Path
    what: Text
    advice: Text
    given: Any = NOT_GIVEN
    where: Any = None

    @property
    def key(self) -> str:
        """The key, as ``ftp.HostPort``."""
        return key_of(self.path)

    @property
    def problem(self) -> str:
        """What is wrong, without a full stop."""
        return written(self.what)

    @property
    def remedy(self) -> str:
        """What to do, as a sentence."""
        return written(self.advice)

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}. {self.remedy}"


class Problems:
    """Collects what one pass over a config finds wrong, so that all of it is told at once.

    Used as a context it takes the ConfigError of its block, which then ends. ``doubtful``: keys that were found wrong before, and
    whose values are therefore not known.
    """

    def __init__(self, doubtful: Iterable[Path] = ()) -> None:
        self.found: list[Problem] = []
        self._doubtful = frozenset(doubtful)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> bool:
        from .errors import ConfigError

        if not isinstance(exc, ConfigError):
            return False
        self.take(exc)
        return True

    def take(self, error: ConfigError) -> None:
        """Add the problems of an error, for each setting the first one that is found."""
        for one in error.problems:
            self._add(one)

    def _add(self, one: Problem) -> None:
        if len(one.path) == 1 or not self.doubts(*one.path):
            self.found.append(one)

    def add(self, key: str | Path, problem: Text, remedy: Text, given: Any = NOT_GIVEN) -> None:
        """Add one problem; the arguments are those of ConfigError."""
        self._add(Problem(path_of(key) if isinstance(key, str) else key, problem, remedy, given))

    def result(self, default: _Result, check: Callable[..., _Result], *args: Any) -> _Result:
        """The result of a check, or ``default`` where it raises ConfigError, whose problems are taken."""
        from .errors import ConfigError

        try:
            return check(*args)
        except ConfigError as exc:
            self.take(exc)
            return default

    def doubts(self, *path: str | int) -> bool:
        """Whether this key was found wrong, so that nothing can be said about what depends on its value."""
        return path in self._doubtful or any(one.path == path for one in self.found)

    def doubts_a_section(self) -> bool:
        """Whether the name of a section was found wrong, so that settings may be missing."""
        paths = (*self._doubtful, *(one.path for one in self.found))
        return any((len(path) == 1 and path[0] != _ENTRIES) or path[0] == "config" for path in paths)

    def raise_all(self) -> None:
        """ConfigError with everything that was found; nothing where nothing was."""
        from .errors import ConfigError

        if self.found:
            raise ConfigError.of(self.found)
