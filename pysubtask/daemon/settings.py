"""The config folder of a daemon: one file and drop-ins with free sections and keys, each value typed by its default."""

from __future__ import annotations

import configparser
import logging
import os
from collections.abc import Mapping
from typing import Any

from ..common.errors import ConfigError
from ..common.secret_file import read

VARIABLE = "PYSUBTASK_DAEMON_DIR"
"""Environment variable: the config folder, unless a program names one of its own."""
DEFAULT = "/etc/pysubtask/daemons"
MAIN = "daemon.cfg"
DROP_INS = "conf.d"
_BOOLS = configparser.ConfigParser.BOOLEAN_STATES
log = logging.getLogger("pysubtask.daemon")


class Settings:
    """The values of a config folder. ``folder``: where they were read."""

    def __init__(self, folder: str, values: Mapping[str, Mapping[str, str]], environ: Mapping[str, str]) -> None:
        self.folder = folder
        self._values, self._environ = values, environ

    @classmethod
    def of_environment(
        cls, variable: str = VARIABLE, environ: Mapping[str, str] = os.environ, *, main: str = MAIN, drop_ins: str = DROP_INS
    ) -> Settings:
        """Those of the folder that the environment variable names, else of ``/etc/pysubtask/daemons``: the file ``main``, then each
        ``*.cfg`` of the folder ``drop_ins`` by name, later values over earlier ones. A file or folder that is not there costs a
        warning. ConfigError where a file cannot be read as one."""
        folder = environ.get(variable) or DEFAULT
        parser = configparser.ConfigParser(interpolation=None, default_section="")
        names = [os.path.join(folder, main)]
        try:
            found = sorted(os.listdir(os.path.join(folder, drop_ins)))
            names += [os.path.join(folder, drop_ins, name) for name in found if name.endswith(".cfg")]
        except OSError as exc:
            log.warning("No drop-ins: %s", exc)
        for name in names:
            try:
                parser.read_string(read(name, guarded=False), name)
            except OSError as exc:
                log.warning("No config file: %s", exc)
            except (configparser.Error, UnicodeDecodeError) as exc:
                problem = str(exc).replace("\n", " ")
                raise ConfigError(os.path.basename(name), f"it cannot be read: {problem}", f"Mend {name}.") from exc
        return cls(folder, {section: dict(parser[section]) for section in parser.sections()}, environ)

    def sections(self) -> list[str]:
        """The names of all sections, in the order of their first appearance."""
        return list(self._values)

    def get(self, section: str, name: str, default: Any = None) -> Any:
        """A value, of the type of ``default``, with ``$VAR`` and ``${VAR}`` expanded; the default where there is none. ConfigError
        where it is of another type."""
        text = self._values.get(section, {}).get(name.lower())
        if text is None:
            return default
        text = self._expanded(text)
        if default is None or isinstance(default, str):
            return text
        try:
            return _typed(text, default)
        except ValueError:
            kind = type(default).__name__
            raise ConfigError(f"{section}.{name}", f"{text!r} is no {kind}", f"Write one, such as {default!r}.") from None

    def _expanded(self, text: str) -> str:
        for name in sorted(self._environ, key=len, reverse=True):
            text = text.replace("${" + name + "}", self._environ[name]).replace("$" + name, self._environ[name])
        return text


def _typed(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() not in _BOOLS:
            raise ValueError
        return _BOOLS[text.lower()]
    if isinstance(default, (list, tuple)):
        return type(default)(word.strip() for word in text.split(",") if word.strip())
    return type(default)(text)
