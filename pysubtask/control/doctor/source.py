"""The destinations to examine: those of a config, or those of the known tasks of this machine."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any, NamedTuple

from ...common import address
from ...common.config import MASK, resolve
from ...common.entries import Entry, filled_in
from ...common.errors import ConfigError
from ...common.settings_file import read_settings_page
from ...master.checked_config import entries_and_plans
from ...master.child_config import Plan, bak_of, check_config, plan, switched_on
from ..config import obeyed
from ..config.task_config import TaskConfig
from ..tasks.find import Task

_ENTRIES = "watchfilesdirs"
_MODULES = {"ftp": "pysubtask.ftp", "dropbox": "pysubtask.dropbox"}


class Target(NamedTuple):
    """One destination. ``label``: the label of its task, a slash and the section. ``section``: "ftp" or "dropbox".
    ``settings``: resolved, secrets included. ``state_dir``: the folder of its queue. ``bak_dir``: the folder of its
    snapshots, None where it makes none. ``entries``: the watch entries, None where the config names none. ``style``: how its
    config writes a setting, see ``finding``. ``hidden``: names of the secrets that are set and not known here."""

    label: str
    section: str
    settings: dict[str, Any]
    state_dir: str
    bak_dir: str | None
    entries: list[Entry] | None
    style: str
    hidden: tuple[str, ...] = ()
    config_file: str | None = None
    """The Python file of the settings, None for settings of another origin."""
    remembered: bool = False
    """Whether the settings are from the page that its child left, and not from a config."""
    task_config: str = ""
    """Where ``remembered``: the config file from which the child was started, '' for the config of an app."""
    host: str = ""
    """``Host`` as the config writes it, possibly a URL, which ``settings`` have in parts; '' where the config is unknown."""
    secret_files: Mapping[str, str] = {}
    """The files that hold secrets: ``Password`` -> path."""

    @property
    def transport(self) -> str:
        """The name of the transport, a key of ``transports.TRANSPORTS``."""
        if self.section != "ftp":
            return self.section
        return str(self.settings.get("SFTPLibrary") or "sftp") if self.settings.get("UseSFTP", True) else "ftp"

    @property
    def login_words(self) -> tuple[str, str]:
        """The config's names of the user and the password."""
        before = "" if self.style == "toml" else "ftp."
        in_url = address.is_address(self.host) and "@" in self.host
        path = self.secret_files.get("Password")
        password = f"the password in the first line of {path} (PasswordFile)" if path else f"{before}Password"
        return f"the user name in {before}Host" if in_url else f"{before}User", password

    def __repr__(self) -> str:
        return f"Target({self.label!r})"


class Config(NamedTuple):
    """A loaded config. ``sections``: a module, object or mapping with sections; ``watch``: its watch entries as they are
    written, None where it has none; ``style``: as for a Target; ``folder``: the base of its relative paths; ``file``: the
    Python file."""

    sections: Any
    watch: Any
    style: str
    folder: str
    file: str | None = None


def load_python(word: str) -> Config:
    """Load ``station.py``, ``station`` or ``package.module:name``: a module with sections, or an object in it that has them.
    Raises ConfigError where it cannot be loaded."""
    where, _, name = word.partition(":") if not os.path.exists(word) else (word, "", "")
    remedy = "Give a Python file with the sections (demo_config.py), a module:name, or a .toml file."
    try:
        if where.endswith(".py"):
            module = _from_file(os.path.abspath(where))
        else:
            if os.getcwd() not in sys.path:
                sys.path.insert(0, os.getcwd())
            parts = where.split(".")
            for count in range(
                len(parts)
            ):  # find_spec imports the package of a module, so each package is checked before its import
                _check(importlib.util.find_spec(".".join(parts[: count + 1])))
            module = importlib.import_module(where)
    except ConfigError:
        raise
    except FileNotFoundError as exc:
        raise ConfigError("CONFIG", f"there is no file {where}", remedy) from exc
    except ModuleNotFoundError as exc:
        raise ConfigError("CONFIG", f"there is no module {exc.name!r}", remedy) from exc
    except Exception as exc:  # the module is the user's own program and may raise any exception
        raise ConfigError("CONFIG", f"{where} cannot be loaded: {type(exc).__name__}: {exc}", "Mend the file.") from exc
    found = module
    for part in name.split(".") if name else ():
        if not hasattr(found, part):
            raise ConfigError("CONFIG", f"{where} has no {part!r}", remedy)
        found = getattr(found, part)
    watch = getattr(found, _ENTRIES, getattr(module, _ENTRIES, None))
    return Config(found, watch, "python", os.getcwd(), getattr(module, "__file__", None))


def _check(spec: ModuleSpec | None) -> None:
    """Raises ConfigError where other users may write the module: an import runs its code."""
    if spec is not None and spec.has_location and spec.origin is not None:
        with open(spec.origin, "rb") as file:
            obeyed.check_config(spec.origin, os.fstat(file.fileno()))


def _from_file(path: str) -> Any:
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    _check(spec)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(path))  # the module may import modules beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(os.path.dirname(path))
    return module


def of_config(config: Config) -> list[Target]:
    """The destinations that a config switches on. Raises ConfigError as TaskMaster does."""
    entries: list[Entry] | None = None
    sections = config.sections
    if config.watch is None:
        sections = check_config(sections)
        plans = [plan(name, _MODULES[name], sections, config.folder) for name in switched_on(sections)]
    else:
        entries, plans = entries_and_plans(config.watch, sections, cwd=config.folder)
    host = host_in(sections)
    return [
        of_plan(child_plan, entries if entries is None else filled_in(entries, child_plan.label), config.style)._replace(
            config_file=config.file, host=host
        )
        for child_plan in plans
    ]


def of_task_config(task: TaskConfig) -> list[Target]:
    """The destinations of a task of a config file."""
    host = host_in(task.config)
    return [
        of_plan(child_plan, list(task.entries), "toml")._replace(
            host=host,
            secret_files={
                name.partition(".")[2]: path
                for name, path in task.secret_files.items()
                if name.startswith(f"{child_plan.extension}.")
            },
        )
        for child_plan in task.plans
    ]


def host_in(sections: Any) -> str:
    """``ftp.Host`` as it is written in a config."""
    from ... import defaults_config

    return str(resolve(defaults_config.SETTINGS, defaults_config, sections, "ftp")["Host"])


def of_plan(child_plan: Plan, entries: list[Entry] | None, style: str) -> Target:
    """A destination from the resolved settings of a child."""
    return Target(
        f"{child_plan.label}/{child_plan.extension}",
        child_plan.extension,
        child_plan.settings,
        child_plan.state_dir,
        child_plan.bak_dir,
        entries,
        style,
    )


def of_task(task: Task) -> Target | None:
    """A destination from the settings that its child left in the state folder, where secrets are hidden. None where there are
    none, or the folder belongs to another user: programs and files that the settings name are run and read."""
    settings = read_settings_page(task.state_dir, any_owner=False).get("settings")
    if not isinstance(settings, dict) or task.extension not in _MODULES:
        return None
    hidden = tuple(sorted(key for key, value in settings.items() if isinstance(value, str) and MASK in value))
    settings.update(dict.fromkeys(hidden))
    bak = settings.get("BakToFolder")
    bak_dir = bak_of(task.extension, bak, task.folder, os.path.abspath(task.state_dir)) if isinstance(bak, str) and bak else None
    style = "toml" if task.config_file.endswith(".toml") else "python"
    return Target(
        task.label,
        task.extension,
        settings,
        task.state_dir,
        bak_dir,
        None,
        style,
        hidden,
        remembered=True,
        task_config=task.config_file,
    )


def as_sections(target: Target) -> SimpleNamespace:
    """The settings of a target as a config with sections, for another TaskMaster."""
    from ...defaults_config import SETTINGS

    own = {row.key for row in SETTINGS[target.section]}
    base = {row.key for row in SETTINGS["base"]} - own
    return SimpleNamespace(
        **{
            target.section: {key: value for key, value in target.settings.items() if key in own},
            "base": {key: value for key, value in target.settings.items() if key in base},
        }
    )
