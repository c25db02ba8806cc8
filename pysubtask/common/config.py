"""Settings: what a user wrote, laid over the defaults, checked, and masked where it is secret.

A *section* is a bag of named values (``base``, ``burst_mode``, ``ftp``, ``dropbox``, ``alerts``). A *row* describes
one setting. Nothing here changes an object of the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .problem import NOT_GIVEN, Part, Path, Problems, Text, joined, known_keys, path_of, spelt, type_of

if TYPE_CHECKING:
    from typing import Unpack

    from .any_settings_types import AnySettings
    from .section_attributes_types import SectionAttributes
else:
    SectionAttributes = object

SECTIONS = ("base", "burst_mode", "ftp", "dropbox", "alerts")
ALONE = ("burst_mode", "alerts")
"""Sections of a whole task: those of base do not stand in them."""
MASK = "********"
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_FACTORS = {"k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
"""The units of IEC 80000-13, as all amounts are shown: a k is 1,000, a Ki 1,024."""
_SECRET_WORDS = ("password", "passphrase", "token", "secret")


def is_secret(key: str) -> bool:
    """Whether a setting of this name holds something that must never be shown.

    ``PasswordFile`` and the like name a file and may be shown.
    """
    low = key.lower()
    return not low.endswith("file") and any(word in low for word in _SECRET_WORDS)


def masked_value(key: str, value: Any) -> Any:
    """A value as it may be shown: asterisks for what is secret and set, and for the login inside a proxy's URL, or in
    ``Host`` with a password in it (which is refused)."""
    if not value or not (is_secret(key) or key.lower().endswith("proxy") or key == "Host"):
        return value
    if key == "Host":
        _, _, rest = str(value).rpartition("://")
        if ":" not in rest.rpartition("@")[0]:
            return value
    if is_secret(key) or not isinstance(value, str):
        return MASK
    head, at, place = value.rpartition("@")
    scheme, slashes, _ = head.partition("//")
    return f"{scheme if slashes else ''}{slashes}{MASK}@{place}" if at else value


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, as they may be shown."""
    return {key: masked_value(key, value) for key, value in values.items()}


class Section(SectionAttributes):
    """A bag of settings: ``ftp = Section('my station', Host='...'); ftp.User = '...'``.

    ``comment`` is free text. A later attribute assignment adds or replaces a setting, and so does an attribute of a subclass:
    ``class ftp(Section): Host = '...'``. A type checker knows every setting by its name and what it takes; at run time a wrong one
    is a ConfigError when the master is made.
    """

    def __init__(self, comment: str = "", /, **values: Unpack[AnySettings]) -> None:
        self.__dict__["_comment"] = str(comment)
        self.__dict__.update(values)

    def __iter__(self) -> Iterator[str]:
        return iter(values_of(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Section) and values_of(self) == values_of(other)

    __hash__ = None  # type: ignore[assignment]

    if TYPE_CHECKING:
        _comment: str
    else:

        def __getattr__(self, key: str) -> Any:
            raise AttributeError(f"this section has no setting {key!r}")

    def __repr__(self) -> str:
        words = ", ".join(f"{key}={value!r}" for key, value in masked(values_of(self)).items())
        return f"Section({self._comment!r}, {words})" if words else f"Section({self._comment!r})"


class Setting:
    """One row of the settings table.

    ``kind`` is the accepted type: ``bool``, ``int``, ``float`` (takes int too), ``str``, ``list``
    (of str); ``optional`` adds None. ``low``/``high`` bound numbers, ``choices`` lists the only words.
    ``live`` says whether a running child can take a new value. ``names``: what on this machine a text names: a
    'file' of the user's, a 'log', a 'folder' of this package, a 'place' (a folder of the user's); '' for anything else.
    """

    __slots__ = ("choices", "default", "high", "key", "kind", "live", "low", "meaning", "names", "optional", "unit")

    def __init__(
        self,
        key: str,
        default: Any,
        unit: str,
        meaning: str,
        *,
        kind: type | None = None,
        optional: bool = False,
        low: float | None = None,
        high: float | None = None,
        choices: tuple[str, ...] = (),
        live: bool = False,
        names: str = "",
    ) -> None:
        self.key = key
        self.default = default
        self.unit = unit
        self.meaning = meaning
        self.kind: type = kind or type(default)
        self.optional = optional or default is None
        self.low = low
        self.high = high
        self.choices = choices
        self.live = live
        self.names = names

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown (``is_secret``)."""
        return is_secret(self.key)

    def check(self, section: str, value: Any) -> Any:
        """The value as the child will get it; ConfigError names ``section.key`` and the remedy."""
        if value is None:
            if self.optional:
                return None
            raise self._wrong(section, (spelt(None), " is not a value for it"), None)
        given = self._quoted(value)
        if self.kind is list and isinstance(value, (list, tuple)):
            value = list(value)
            if not all(isinstance(item, str) for item in value):
                raise self._wrong(section, (given, " holds something else than text"), value)
        elif isinstance(value, bool) or self.kind is bool:
            if type(value) is not self.kind:
                raise self._wrong(section, (given, " is ", type_of(value)), value)
        elif not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise self._wrong(section, (given, " is ", type_of(value)), value)
        if self.kind in (int, float):
            low, high = self.low, self.high
            # A comparison written this way also turns away NaN.
            if not ((low is None or value >= low) and (high is None or value <= high)):
                raise self._wrong(section, (given, " is out of range"), value)
        if self.choices and value not in self.choices:
            raise self._wrong(section, (given, " is not known"), value)
        if self.kind is str and "\0" in value:
            raise self._wrong(section, "it holds a NUL character", value)
        # Members of an IntEnum, numpy's floats and the like travel to the child as what they stand for.
        if self.kind is str:
            return str.__str__(value)
        if self.kind is int or (self.kind is float and isinstance(value, int)):
            return int(value)
        return float(value) if self.kind is float else value

    def read(self, section: str, text: str) -> Any:
        """The value that a person writes as ``text`` (an environment variable, a command line): yes or no, none, a
        number, for bytes also with k, M or G behind it (1,000 each) or Ki, Mi, Gi (1,024). ConfigError as for ``check``."""
        low = text.strip().lower()
        if self.optional and low in ("none", "null"):
            return None
        if self.kind is bool:
            if low in _YES or low in _NO:
                return low in _YES
        elif self.kind is list:
            return self.check(section, [part.strip() for part in text.split(",") if part.strip()])
        elif self.kind is not str:
            try:
                return self.check(section, self._number(low))
            except (ValueError, OverflowError) as exc:
                if isinstance(exc, ConfigError):
                    raise
        else:
            return self.check(section, text)
        given = MASK if self.secret else spelt(text)
        raise self._wrong(section, joined((given, " is not "), self._expected()), text)

    def _wrong(self, section: str, problem: Text, given: Any) -> ConfigError:
        given = MASK if self.secret and given is not None else masked_value(self.key, given)
        return ConfigError((section, self.key), problem, joined("Give ", self._expected(), "."), given)

    def _quoted(self, given: Any) -> str | Part:
        if self.secret:
            return MASK
        safe = masked_value(self.key, given)
        return spelt(given) if safe is given else repr(safe)

    def _number(self, text: str) -> float | int:
        factor = 1
        if self.unit.startswith("bytes"):
            word = text.removesuffix("b")
            unit = next((unit for unit in ("ki", "mi", "gi", "k", "m", "g") if word.endswith(unit)), None)
            if unit is not None:
                text, factor = word.removesuffix(unit).rstrip(), _FACTORS[unit]
        try:
            return int(text) * factor
        except ValueError:
            number = float(text) * factor
            return int(number) if self.kind is int and number.is_integer() else number

    def _expected(self) -> Text:
        if self.kind is bool:
            return joined((spelt(True), " or ", spelt(False)), (" or ", spelt(None)) if self.optional else "")
        words = {int: "a whole number", float: "a number", str: "text", list: "a list of texts"}
        expected = "one of " + ", ".join(repr(word) for word in self.choices) if self.choices else words[self.kind]
        if self.low is not None and self.high is not None:
            expected += f" from {self.low} to {self.high}"
        elif self.low is not None:
            expected += f" not below {self.low}"
        if self.unit:
            expected += f" ({self.unit})"
        return (expected, " or ", spelt(None)) if self.optional else expected


class CommandSetting(Setting):
    """A row whose value is a program with its arguments: a list of texts, or one text that is split as a shell does, quotes
    included, though no shell runs it. The value is a list."""

    __slots__ = ()

    def __init__(self, key: str, meaning: str) -> None:
        super().__init__(key, None, "", meaning, kind=list)

    def check(self, section: str, value: Any) -> Any:
        """The words of the command; a text is split as a shell does. ConfigError as for ``Setting.check``."""
        if isinstance(value, str):
            value = self._split(section, str.__str__(value))
        if isinstance(value, (list, tuple)) and not all(isinstance(word, str) for word in value):
            raise self._wrong(section, "it holds something else than text", NOT_GIVEN)  # it may hold a secret, too
        words = super().check(section, value)
        if words is not None and not (words and words[0]):
            raise self._wrong(section, "it names no program", NOT_GIVEN)
        if words is not None and any("\0" in word for word in words):
            raise self._wrong(section, "it holds a NUL character", NOT_GIVEN)
        return None if words is None else [str.__str__(word) for word in words]

    def read(self, section: str, text: str) -> Any:
        """As ``check``, and None for 'none' or 'null'."""
        return None if text.strip().lower() in ("none", "null") else self.check(section, text)

    def _split(self, section: str, text: str) -> list[str]:
        import shlex  # who sets no command does not pay for it

        try:
            return shlex.split(text)
        except ValueError as exc:
            problem = f"it cannot be split into a program and its arguments ({str(exc).lower()})"
            raise ConfigError(f"{section}.{self.key}", problem, "Close each quote, or give a list of texts.") from exc

    def _expected(self) -> Text:
        return ("a program and its arguments, as ['/usr/local/bin/alert', 'me'] or '/usr/local/bin/alert me', or ", spelt(None))


Table = Mapping[str, tuple[Setting, ...]]


def rows_of(table: Table, extension: str | None) -> dict[str, Setting]:
    """The rows of a child, by key: those of base, and in their place those of its own section, where ``extension`` has one."""
    return {row.key: row for row in (*table["base"], *table.get(extension or "base", ()))}


def values_of(section: Any) -> dict[str, Any]:
    """The settings of a section: a Section, a mapping, a module, a class, or any object with attributes.

    Names that begin with an underscore are not settings; nor are, where others than settings are to be
    expected (not in a Section or mapping), callables, modules and what ``from __future__`` leaves.
    """
    if section is None:
        return {}
    if isinstance(section, Mapping):
        return {str(key): value for key, value in section.items()}
    if isinstance(section, Section):
        found = {name: value for name, value in _of_subclasses(type(section)).items() if not callable(value)}
        return {name: value for name, value in {**found, **vars(section)}.items() if not name.startswith("_")}
    names = [name for name in dir(section) if not name.startswith("_")]
    found = {name: getattr(section, name) for name in names if hasattr(section, name)}
    return {name: value for name, value in found.items() if not callable(value) and not _is_python(value)}


def _of_subclasses(kind: type) -> dict[str, Any]:
    """What the subclasses of Section set as attributes, the last one winning."""
    own = kind.__mro__[: kind.__mro__.index(Section)]
    return {name: value for each in reversed(own) for name, value in vars(each).items() if not isinstance(value, property)}


def _is_python(value: Any) -> bool:
    return type(value).__name__ in ("module", "_Feature")


def section_of(config: Any, name: str) -> Any:
    """One section of a config (module, object or mapping), or None."""
    if isinstance(config, Mapping):
        return config.get(name)
    return getattr(config, name, None)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that differs least, or None where nothing is close (an edit distance above a third of the word)."""
    # difflib suggests "burstmode" for "burst" before it suggests "ftp" for "fpt".
    best: tuple[int, str] | None = None
    for other in known:
        cost = _distance(word.lower(), other.lower())
        if best is None or cost < best[0]:
            best = (cost, other)
    return best[1] if best and best[0] <= max(2, len(word) // 3) else None


def _distance(a: str, b: str) -> int:
    """The edits (insert, remove, replace one character) that make one word of the other (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[len(b)]


def unknown_key(where: str | Path, key: str, known: Iterable[str]) -> ConfigError:
    """The error for a key nobody knows, with the nearest one that exists."""
    names = sorted(known)
    near = nearest(key, names)
    remedy = f"Did you mean {near!r}?" if near else (known_keys(tuple(names)),)
    return ConfigError((*(path_of(where) if isinstance(where, str) else where), key), "this setting is not known", remedy)


def check_section(table: Table, name: str, user: Any, problems: Problems | None = None) -> dict[str, Any]:
    """What the user set in one section, checked against its rows and base's. ConfigError with all that is wrong; where
    ``problems`` are collected it is added there, and what is wrong is left out."""
    found = Problems() if problems is None else problems
    rows = {row.key: row for row in table[name]} if name in ALONE else rows_of(table, name)
    checked = {}
    for key, value in values_of(user).items():
        with found:
            if key not in rows:
                raise unknown_key((name,), key, rows)
            checked[key] = rows[key].check(name, value)
    if problems is None:
        found.raise_all()
    return checked


def resolve(table: Table, defaults: Any, config: Any, extension: str | None, problems: Problems | None = None) -> dict[str, Any]:
    """The settings of one child, flat.

    A value the user set in the extension's section wins over one set in ``base``, that over the section's default, that over
    base's default. ``defaults`` is the defaults module; a value assigned to a section of it counts as set by the user, after
    those of ``config``. ``extension`` is None for a child without a section of its own. ConfigError with all that is wrong;
    where ``problems`` are collected it is added there, and what is wrong counts as not set.
    """
    found = Problems() if problems is None else problems
    names = ["base"] if extension is None else ["base", extension]
    merged = {key: row.default for key, row in rows_of(table, extension).items()}
    for name in names:
        rows = {row.key: row.default for row in table[name]}
        given = check_section(table, name, section_of(defaults, name), found)
        merged.update({key: value for key, value in given.items() if key not in rows or value != rows[key]})
    for name in names:
        merged.update(check_section(table, name, section_of(config, name), found))
    if problems is None:
        found.raise_all()
    from .redact import know_settings

    know_settings(merged)
    return merged


def resolve_burst(table: Table, defaults: Any, config: Any, problems: Problems | None = None) -> dict[str, Any]:
    """The ``burst_mode`` section: the user's values over the defaults; see :func:`resolve` for what is wrong."""
    return resolve_alone(table, "burst_mode", defaults, config, problems)


def resolve_alone(table: Table, name: str, defaults: Any, config: Any, problems: Problems | None = None) -> dict[str, Any]:
    """A section of a whole task (see ``ALONE``): the user's values over the defaults; see :func:`resolve` for what is wrong."""
    found = Problems() if problems is None else problems
    merged = {row.key: row.default for row in table[name]}
    merged.update(check_section(table, name, section_of(defaults, name), found))
    merged.update(check_section(table, name, section_of(config, name), found))
    if problems is None:
        found.raise_all()
    return merged


def defaults_section(comment: str, rows: Iterable[Setting]) -> Section:
    """A section that carries the default of every row."""
    return Section(comment, **{row.key: row.default for row in rows})
