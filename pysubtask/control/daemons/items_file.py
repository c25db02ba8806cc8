"""A daemon without code: a store of the items that a TOML file declares, a table for each."""

from __future__ import annotations

import tomllib

from ...common.errors import ConfigError
from ...common.secret_file import read
from ...daemon.daemon import Daemon
from ...daemon.declared import DaemonType
from ...daemon.items import item

_TYPES = {"float": float, "int": int, "str": str, "bool": bool, "list": list, "dict": dict}


def daemon_of_file(path: str) -> type[Daemon]:
    """The class of a daemon with the items of the file: ``[azimuth]`` with ``default``, ``type``, ``unit``, ``low``, ``high``,
    ``choices``, ``read_only``, ``keep``, ``doc`` as for :func:`item`. ConfigError, with the file and the item, where one is
    wrong."""
    try:
        found = tomllib.loads(read(path, guarded=False))
    except (OSError, ValueError) as exc:
        raise ConfigError("--items", f"{path} cannot be read: {exc}", "Give a TOML file with a table for each item.") from exc
    body = DaemonType.__prepare__("Store", (Daemon,))
    for name, declared in found.items():
        if not isinstance(declared, dict):
            raise ConfigError("--items", f"{path}: {name} is no table", f"Write [{name}] and below it default = ...")
        kind = declared.pop("type", None)
        if kind is not None and kind not in _TYPES:
            raise ConfigError("--items", f"{path}: {name}: {kind!r} is no type", f"Write one of {', '.join(_TYPES)}.")
        try:
            body[name] = item(declared.pop("default", None), type=_TYPES[kind] if kind else None, **declared)
        except TypeError as exc:
            raise ConfigError("--items", f"{path}: {name}: {exc}", "Mend it.") from exc
    try:
        return DaemonType("Store", (Daemon,), body)  # type: ignore[return-value]
    except TypeError as exc:
        raise ConfigError("--items", f"{path}: {exc}", "Mend it.") from exc
