"""Which children a config asks for, with which settings (checked before anything is started), and what each is handed."""

import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import defaults_config
from ..common.config import (
    SECTIONS,
    Section,
    Setting,
    is_secret,
    masked,
    resolve,
    resolve_alone,
    resolve_burst,
    section_of,
    unknown_key,
    values_of,
)
from ..common.errors import ConfigError
from ..common.label import FIRST_TASK, label_of
from ..common.problem import Problems, Text, spelt, type_of

if TYPE_CHECKING:
    from ..common.entries import Entry
    from ..common.handoff import Handoff

UPLOADERS = ("ftp", "dropbox")
_CHILD_NAMES = {"ftp": "FTPSubtask", "dropbox": "DropboxSubtask"}
_LONGEST_NAME = 100  # bytes of a TaskName, which becomes part of file names (255 at most), and of a module name
_WITH_PLACEHOLDERS = ("HostPath", "HostSFTPPath", "HostFTPPath", "HeartbeatName")
"""Settings in which ``{hostname}`` and ``{task}`` are replaced by what differs from station to station."""


class Plan(NamedTuple):
    """What a master needs to start one child. Folders are absolute. The repr shows no secret."""

    extension: str
    """'ftp', 'dropbox', or a name of the app's own; also the name of the child's part of the state folder."""
    module: str
    """The module that ``python -m`` runs."""
    child_name: str
    """Name of the child in the log."""
    task: str
    """``TaskName``."""
    settings: dict[str, Any]
    """The resolved settings of the child, secrets included; log files as the user wrote them."""
    burst: dict[str, Any]
    """The resolved settings of the section ``burst_mode``."""
    state_dir: str
    """The state folder of the child."""
    bak_dir: str | None
    """The folder of the snapshots; None uploads the live files."""
    label: str = ""
    """What people call the task."""
    config_file: str = ""
    """The config file; '' for an app's own config."""
    own: Mapping[str, str] = {}
    """Files of this config that are no data and are never sent (absolute path -> what the file is)."""
    state_why: str = ""
    """Why the state is not kept in the first folder; '' where it is."""
    state_named_by: str = ""
    """The setting or environment variable that names the place of the state then."""
    state_elsewhere: tuple[str, ...] = ()
    """Other state folders that may hold a queue of this child, from before the state was moved."""
    alerts: Mapping[str, Any] = {}
    """The ``alerts`` values of its task; a program that is named by a path is so by an absolute one."""

    @property
    def settings_fingerprint(self) -> str:
        """A checksum (CRC-32) of the settings, without live settings and secrets: receipts count as proof only if the child that
        wrote them ran with this one."""
        live = {row.key for rows in defaults_config.SETTINGS.values() for row in rows if row.live}
        compared = {key: value for key, value in masked(self.settings).items() if not is_secret(key) and key not in live}
        text = repr((self.module, sorted(compared.items())))
        return f"{zlib.crc32(text.encode('utf-8', 'surrogateescape')):08x}"

    def __repr__(self) -> str:
        return f"Plan({self.extension!r}, {self.module!r}, {masked(self.settings)!r}, {self.state_dir!r})"


class Shared(NamedTuple):
    """What all children of a task are handed alike."""

    entries: "list[Entry]"
    """What is watched."""
    cwd: str
    """The folder that relative log files are in."""
    console: bool
    """Whether lines go to the console, too."""
    master_pid: int
    """The process id of the master."""
    master_start: str
    """When the master was started (``process_start``)."""
    closed: tuple[str, ...]
    """Absolute paths of what is left out where it lies inside a recursive folder."""
    own: Mapping[str, str]
    """Files that are no data (absolute path -> what it is)."""
    log_lines: bool
    """Whether the master reads the lines of the children's logs."""


def handoff(plan: Plan, shared: Shared, residual: Sequence[str], *, owns_heartbeat: bool) -> "Handoff":
    """What the child of ``plan`` is handed. ``residual``: paths of files of earlier runs; ``owns_heartbeat``: whether this child
    keeps the local heartbeat file."""
    from ..common.handoff import Handoff

    log_file = plan.settings["Subtask_Log_FileName"]
    return Handoff(
        task=plan.task,
        extension=plan.extension,
        module=plan.module,
        entries=shared.entries,
        settings=plan.settings,
        burst=plan.burst,
        state_dir=plan.state_dir,
        bak_dir=plan.bak_dir,
        log_file=os.path.normpath(os.path.join(shared.cwd, log_file)) if log_file is not None else None,
        log_to_console=shared.console,
        master_pid=shared.master_pid,
        master_start=shared.master_start,
        residual=list(residual),
        owns_heartbeat=owns_heartbeat,
        mark=plan.settings_fingerprint,
        left_out=shared.closed,
        label=plan.label,
        config_file=plan.config_file,
        own=shared.own,
        state_why=plan.state_why,
        state_elsewhere=plan.state_elsewhere,
        log_lines=shared.log_lines,
    )


def plan(extension: str, module: str, config: Any, folder: str, config_file: str = "", problems: Problems | None = None) -> Plan:
    """The child ``extension``, run by ``module``; ``folder`` is the first entry's, ``config_file`` the file that the config was
    read from. ConfigError names key and remedy, and has everything that is wrong; where ``problems`` are collected it is added
    there, and the plan has defaults in its place."""
    found = Problems() if problems is None else problems
    section = extension if extension in UPLOADERS else "base"
    settings = _checked_settings(extension, section, config, found)
    task = found.result(FIRST_TASK, _check_task_name, settings["TaskName"])
    rows = {row.key: row for name in ("base", section) for row in defaults_config.SETTINGS[name]}
    for key in ("Master_Log_FileName", "Subtask_Log_FileName"):
        default = rows[key].default
        if task != FIRST_TASK and settings[key] == default:
            settings[key] = _log_of_its_own(default, task)
    if config_file:
        settings["BakToFolder"] = _out_of_view(extension, settings["BakToFolder"], config)
    _check_folders_and_users(section, settings, rows, found)
    label = label_of(task, config_file, folder)
    _fill_placeholders(section, settings, label, found)
    alerts = _alerts_of(config, found)
    burst = resolve_burst(defaults_config.SETTINGS, defaults_config, config, found)
    if problems is None:
        found.raise_all()
    from .excluded_files import of_command, of_config, of_settings

    built = Plan(
        extension,
        module,
        _CHILD_NAMES.get(extension, "BaseSubtask"),
        task,
        settings,
        burst,
        "",
        None,
        label,
        config_file,
        of_config(config, config_file) | of_settings(section, rows.values(), settings) | of_command(alerts["Command"]),
        alerts=alerts,
    )
    return placed(built, folder)


def _alerts_of(config: Any, problems: Problems) -> dict[str, Any]:
    """The ``alerts`` values."""
    alerts = resolve_alone(defaults_config.SETTINGS, "alerts", defaults_config, config, problems)
    if alerts["Command"] is not None:
        from ..common.alert_command import absolute

        alerts["Command"] = absolute(alerts["Command"], os.getcwd())  # one of a config file is absolute by now
    return alerts


def _checked_settings(extension: str, section: str, config: Any, problems: Problems) -> dict[str, Any]:
    """The resolved settings of a child, those of its destination checked."""
    settings = resolve(defaults_config.SETTINGS, defaults_config, config, section if extension in UPLOADERS else None, problems)
    if extension == "ftp":
        given = values_of(section_of(config, "ftp"))
        if ":" in settings["Host"]:
            from .host_address import spread  # an app whose config has no URL does not load it

            rows = {row.key: row for row in defaults_config.SETTINGS["ftp"]}
            spread(settings, given, rows, problems)
        from .destination_checks import check_ftp

        check_ftp(settings, given, problems)
    elif extension == "dropbox":
        from .destination_checks import check_dropbox

        check_dropbox(settings, problems)
    return settings


def _fill_placeholders(section: str, settings: dict[str, Any], label: str, problems: Problems) -> None:
    for key in _WITH_PLACEHOLDERS:
        if "{" in str(settings.get(key) or ""):
            from ..common.placeholders import filled

            settings[key] = problems.result(settings[key], filled, (section, key), settings[key], label)


def _check_folders_and_users(section: str, settings: dict[str, Any], rows: Mapping[str, Setting], problems: Problems) -> None:
    """The folders and users that settings name. Folders become plain absolute paths; what cannot be one gets its default."""
    _check_not_blank(section, settings, rows["BakToFolder"], "snapshots", problems)
    _check_place(section, settings, "RequiresMount", "Give the folder that the disk is mounted on, as '/media/usb'.", problems)
    if settings["RunAs"] is not None:
        from ..common.run_as import identity

        problems.result(None, identity, settings["RunAs"])
    if settings["StatusGroup"] is not None:
        from ..common import status_group

        problems.result(None, status_group.check, settings["StatusGroup"])
    _check_not_blank(section, settings, rows["ArchiveToFolder"], "archive", problems)
    _check_place(section, settings, "StateFolder", "Give a folder of this user's own, as '/var/lib/station'.", problems)


def _check_not_blank(section: str, settings: dict[str, Any], row: Setting, purpose: str, problems: Problems) -> None:
    if settings[row.key] is not None and not settings[row.key].strip():
        problems.add((section, row.key), "it is empty", ("Give a folder, or ", spelt(None), f" for no {purpose}."))
        settings[row.key] = row.default


def placed(built: Plan, folder: str) -> Plan:
    """The plan with the folders for state and snapshots as they have to be now; ``folder`` is the first entry's."""
    from ..common.state_place import place

    where = place(folder, built.task, built.extension, built.settings["StateFolder"])
    return built._replace(
        state_dir=where.state_dir,
        bak_dir=bak_of(built.extension, built.settings["BakToFolder"], folder, where.state_dir),
        state_why=where.why,
        state_named_by=where.named_by,
        state_elsewhere=where.others,
    )


def bak_of(extension: str, bak: str | None, folder: str, state_dir: str) -> str | None:
    """The folder of the snapshots, absolute; ``bak`` is BakToFolder, ``folder`` the first entry's."""
    from ..common.state_place import snapshots_in

    return snapshots_in(bak, default_bak(extension), folder, state_dir)


def default_bak(extension: str) -> str:
    """The default of BakToFolder for a config in Python."""
    sections = ("base", extension if extension in UPLOADERS else "base")
    return str({row.key: row.default for name in sections for row in defaults_config.SETTINGS[name]}["BakToFolder"])


def _out_of_view(extension: str, bak: str | None, config: Any) -> str | None:
    """BakToFolder of a task of a config file: what nobody has set is a hidden folder, so that a program that shows the watched one,
    as a gallery of photos does, does not show copies."""
    names = ("base", extension if extension in UPLOADERS else "base")
    asked = any("BakToFolder" in values_of(section_of(config, name)) for name in names)
    return f".{bak}" if bak == default_bak(extension) and not asked else bak


def _check_place(section: str, settings: dict[str, Any], name: str, remedy: str, problems: Problems) -> None:
    """A folder that a setting names. Also makes it a plain absolute path; None where it cannot be one."""
    place, key = settings[name], (section, name)
    if place is None:
        return
    settings[name] = found = os.path.normpath(os.path.expanduser(place))
    if not os.path.isabs(found):
        problems.add(key, (spelt(place), " is no absolute path"), remedy, place)
        settings[name] = None
    elif os.path.exists(found) and not os.path.isdir(found):
        problems.add(key, f"{found} is a file", remedy, place)
        settings[name] = None


def _log_of_its_own(default: str, task: str) -> str:
    """The default log of a task with a name of its own: two tasks share a log only where the config says so."""
    head, dot, tail = default.partition(".log")
    return f"{head}.{task}{dot}{tail}"


def switched_on(config: Any, problems: Problems | None = None) -> list[str]:
    """The extensions a config switches on; ConfigError where there is none, with all settings that are wrong. Where ``problems``
    are collected it is added there; that there is none only where nothing makes this doubtful."""
    from .destination_checks import LOGIN, TOKENS, is_set  # whoever only imports a master does not load them

    found = Problems() if problems is None else problems
    ftp, dropbox = (resolve(defaults_config.SETTINGS, defaults_config, config, name, found) for name in UPLOADERS)
    enabled = {
        "ftp": bool(ftp["Host"]) if ftp["UseFTP"] is None else ftp["UseFTP"],
        "dropbox": any(is_set(dropbox[key]) for key in TOKENS) if dropbox["UseDropbox"] is None else dropbox["UseDropbox"],
    }
    on = [name for name in UPLOADERS if enabled[name]]
    doubtful = found.doubts_a_section() or found.doubts("ftp", "Host") or any(found.doubts("dropbox", key) for key in TOKENS)
    if not on and (ftp["UseFTP"] is False or not doubtful):
        none = "no destination is switched on"
        off: Text = ("it is ", spelt(False), ", and no other destination is switched on") if ftp["UseFTP"] is False else none
        found.add(
            "ftp.UseFTP", off, ("Set ftp.Host to the server's name (and UseFTP = ", spelt(True), f"), or for Dropbox {LOGIN}.")
        )
    if problems is None:
        found.raise_all()
    return on


def check_config(config: Any, problems: Problems | None = None) -> Any:
    """A config with sections, as it was given; ConfigError where a section's name is not known. Where ``problems`` are collected,
    names that are not known are added there."""
    found = Problems() if problems is None else problems
    if isinstance(config, str) or config is None:
        remedy = f"Give a module or object with the sections {', '.join(SECTIONS)}."
        raise ConfigError("config", ("it is ", type_of(config)), remedy)
    if isinstance(config, Mapping):
        names = [str(name) for name in config]
    else:
        # A module or object may hold other things; only an instance of Section counts as a section.
        names = [name for name, value in values_of(config).items() if isinstance(value, Section)]
    for name in names:
        if name not in SECTIONS:
            found.take(unknown_key("config", name, SECTIONS))
    if problems is None:
        found.raise_all()
    return config


def with_sections(config: Any) -> Any:
    """A config with sections; a flat base section, as version 1 took it, is put where it belongs."""
    if config is None:
        return {}
    for name in SECTIONS:
        if not isinstance(section_of(config, name), (type(None), str, int, float, list, tuple)):
            return check_config(config)
    return {"base": config}


def script_of_app() -> str | None:
    """The file of the app's main module; None where it has none."""
    return getattr(sys.modules.get("__main__"), "__file__", None)


def own_module(name: Any, script: str | None) -> str:
    """The module to run for ``SubtaskModuleName``; ``script`` is the app's own file, for a name of '__main__'. ConfigError for
    what is not the name of a module."""
    where, remedy = "SubtaskModuleName", "Give the dotted name of a module that 'python -m' can run."
    if not isinstance(name, str):
        raise ConfigError(where, ("it is ", type_of(name)), remedy)
    module: str = name
    if module == "__main__":
        module, ending = os.path.splitext(os.path.basename(script or ""))
        if ending not in (".py", ".pyw"):
            raise ConfigError(where, "it is '__main__', but the program is not a script file", remedy)
    plain = not module.startswith("-") and not any(sign in module for sign in "/\\\0") and len(module) <= _LONGEST_NAME
    if not plain or not all(module.split(".")):
        raise ConfigError(where, f"{module!r} is not the name of a module", remedy)
    return module


def _check_task_name(name: str) -> str:
    remedy = "Give a short plain name, such as 'main' or 'station-7'."
    if not name.strip() or name in (".", "..") or any(sign in name for sign in "/\\"):
        raise ConfigError("base.TaskName", (spelt(name), " cannot be the name of a folder"), remedy, name)
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise ConfigError("base.TaskName", f"it is longer than {_LONGEST_NAME} bytes", remedy)
    return name
