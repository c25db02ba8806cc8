"""Which children a config asks for, and with which settings: checked before anything is started."""

import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import defaults_config
from ..common.config import (
    SECTIONS,
    Section,
    is_secret,
    masked,
    masked_value,
    resolve,
    resolve_alone,
    resolve_burst,
    section_of,
    unknown_key,
    values_of,
)
from ..common.entries import Entry, first_folder
from ..common.errors import ConfigError
from ..common.label import FIRST_TASK, label_of

UPLOADERS = ("ftp", "dropbox")
_CHILD_NAMES = {"ftp": "FTPSubtask", "dropbox": "DropboxSubtask"}
_TOKENS = ("RefreshToken", "RefreshTokenFile", "AccessToken")
_LOGIN = "set what 'python -m pysubtask.dropbox --login' prints"
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


def plan(extension: str, module: str, config: Any, folder: str, config_file: str = "") -> Plan:
    """The child ``extension``, run by ``module``; ``folder`` is the first entry's, ``config_file`` the file that the config was
    read from. ConfigError names key and remedy."""
    section = extension if extension in UPLOADERS else None
    settings = resolve(defaults_config.SETTINGS, defaults_config, config, section)
    if extension == "ftp":
        if ":" in settings["Host"]:
            from .host_address import spread  # an app whose config has no URL does not load it

            rows = {row.key: row for row in defaults_config.SETTINGS["ftp"]}
            spread(settings, values_of(section_of(config, "ftp")), rows)
        _check_ftp(settings)
    elif extension == "dropbox":
        _check_dropbox(settings)
    task = _check_task_name(settings["TaskName"])
    for key in ("Master_Log_FileName", "Subtask_Log_FileName"):
        default = {row.key: row.default for name in ("base", section or "base") for row in defaults_config.SETTINGS[name]}[key]
        if task != FIRST_TASK and settings[key] == default:
            settings[key] = _log_of_its_own(default, task)
    if config_file:
        settings["BakToFolder"] = _out_of_view(extension, settings["BakToFolder"], config)
    bak = settings["BakToFolder"]
    if bak is not None and not bak.strip():
        raise ConfigError(f"{section or 'base'}.BakToFolder", "it is empty", "Give a folder, or None for no snapshots.")
    _check_place(section, settings, "RequiresMount", "Give the folder that the disk is mounted on, as '/media/usb'.")
    if settings["RunAs"] is not None:
        from ..common.run_as import identity

        identity(settings["RunAs"])
    if settings["StatusGroup"] is not None:
        from ..common import status_group

        status_group.check(settings["StatusGroup"])
    archive = settings["ArchiveToFolder"]
    if archive is not None and not archive.strip():
        raise ConfigError(f"{section or 'base'}.ArchiveToFolder", "it is empty", "Give a folder, or None for no archive.")
    _check_place(section, settings, "StateFolder", "Give a folder of this user's own, as '/var/lib/station'.")
    label = label_of(task, config_file, folder)
    for key in _WITH_PLACEHOLDERS:
        if "{" in str(settings.get(key) or ""):
            from ..common.placeholders import filled

            settings[key] = filled(f"{section or 'base'}.{key}", settings[key], label)
    alerts = resolve_alone(defaults_config.SETTINGS, "alerts", defaults_config, config)
    if alerts["Command"] is not None:
        from ..common.alert_command import absolute

        alerts["Command"] = absolute(alerts["Command"], os.getcwd())  # one of a config file is absolute by now
    from .excluded_files import of_command, of_config, of_settings

    rows = {row.key: row for name in ("base", section or "base") for row in defaults_config.SETTINGS[name]}
    built = Plan(
        extension,
        module,
        _CHILD_NAMES.get(extension, "BaseSubtask"),
        task,
        settings,
        resolve_burst(defaults_config.SETTINGS, defaults_config, config),
        "",
        None,
        label,
        config_file,
        of_config(config, config_file) | of_settings(section or "base", rows.values(), settings) | of_command(alerts["Command"]),
        alerts=alerts,
    )
    return placed(built, folder)


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


def check_state(plans: Sequence[Plan]) -> None:
    """ConfigError where the state is not kept in the watched folder, and cannot be kept where it is to be: nothing is begun there
    or anywhere else then."""
    for one in plans:
        if not one.state_why or not hasattr(os, "geteuid"):
            continue
        from ..common.place import existing
        from ..common.state_place import base_of
        from ..common.trust import doubt_about

        base, key = base_of(one.state_dir), one.state_named_by
        there = existing(base)
        explicit = key == "StateFolder"
        if explicit and there != base:
            continue  # it is waited for
        remedy = "Name a folder of this user's own that nobody else may write."
        if explicit:
            doubt = doubt_about(there)
            if doubt is not None:
                raise ConfigError("base.StateFolder", f"{doubt}, so the state would not be safe in {base}", remedy)
        if os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            continue
        problem = f"the state cannot be kept in {base} ({key}), which this user may not write here"
        if not explicit:
            problem += f"; it is not kept beside the data, since {one.state_why}"
        raise ConfigError(
            "base.StateFolder",
            problem,
            f"{remedy} A systemd unit has to let it be written: one that "
            "'pysubtask service --install' makes anew does (StateDirectory=, ReadWritePaths=).",
        )


def _check_place(section: str | None, settings: dict[str, Any], name: str, remedy: str) -> None:
    """A folder that a setting names. Also makes it a plain absolute path."""
    place, key = settings[name], f"{section or 'base'}.{name}"
    if place is None:
        return
    found = os.path.normpath(os.path.expanduser(place))
    if not os.path.isabs(found):
        raise ConfigError(key, f"{place!r} is no absolute path", remedy)
    if os.path.exists(found) and not os.path.isdir(found):
        raise ConfigError(key, f"{found} is a file", remedy)
    settings[name] = found


def check_mount_covers(entries: Sequence[Entry], plans: Sequence[Plan]) -> None:
    """ConfigError where nothing that is watched lies in the folder of RequiresMount."""
    for one in plans:
        place = one.settings["RequiresMount"]
        if place is not None and not any(f"{entry.path}{os.sep}".startswith(os.path.join(place, "")) for entry in entries):
            remedy = f"Watch a folder in it (now: {', '.join(entry.path for entry in entries) or 'nothing'}), or set it to None."
            raise ConfigError("base.RequiresMount", f"nothing that is watched lies in {place}", remedy)


def _log_of_its_own(default: str, task: str) -> str:
    """The default log of a task with a name of its own: two tasks share a log only where the config says so."""
    head, dot, tail = default.partition(".log")
    return f"{head}.{task}{dot}{tail}"


def closed_paths(entries: Sequence[Entry], plans: Sequence[Plan], logs: Sequence[str]) -> tuple[str, ...]:
    """What is left out where it lies inside a recursive folder: folders for snapshots and archive, log files and theirs, and
    what this program or ssh keeps in the user's home.

    ConfigError where old files would be moved to a place from which they are taken for new ones.
    """
    first = first_folder(entries)
    closed = [plan.bak_dir for plan in plans if plan.bak_dir is not None]
    for plan in plans:
        if plan.state_why:
            # The place itself, and files that an earlier version left beside the data.
            closed.append(os.path.dirname(os.path.dirname(plan.state_dir)))
            if plan.settings["BakToFolder"] is not None:
                closed.append(os.path.normpath(os.path.join(first, plan.settings["BakToFolder"])))
        if plan.config_file:
            # The folder that an earlier version kept the copies in.
            closed.append(os.path.normpath(os.path.join(first, default_bak(plan.extension))))
    for plan in plans:
        if plan.settings["ArchiveToFolder"] is None:
            continue
        archive = os.path.normpath(os.path.join(first, plan.settings["ArchiveToFolder"]))
        if any(entry.recursive and entry.path == archive for entry in entries):
            problem = f"{archive} is watched with all that is in it"
            raise ConfigError("base.ArchiveToFolder", problem, "Give it a folder of its own, or None for no archive.")
        if archive != first:
            closed.append(archive)
    return tuple(dict.fromkeys([*closed, *logs, *map(os.path.dirname, logs), *_of_the_home(entries)]))


def _of_the_home(entries: Sequence[Entry]) -> list[str]:
    """Keys, configs and records, where a home folder is watched with its subfolders."""
    above = tuple(os.path.join(entry.path, "") for entry in entries if entry.recursive)
    if not above:
        return []
    from ..common import registry, state_place

    config = os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "pysubtask")
    own = (os.path.expanduser("~/.ssh"), config, os.path.abspath(registry.folder()), os.path.abspath(state_place.home_base()))
    return [path for path in own if path.startswith(above)]


def switched_on(config: Any) -> list[str]:
    """The extensions a config switches on; ConfigError where there is none."""
    ftp, dropbox = (resolve(defaults_config.SETTINGS, defaults_config, config, name) for name in UPLOADERS)
    enabled = {
        "ftp": bool(ftp["Host"]) if ftp["UseFTP"] is None else ftp["UseFTP"],
        "dropbox": any(_is_set(dropbox[key]) for key in _TOKENS) if dropbox["UseDropbox"] is None else dropbox["UseDropbox"],
    }
    on = [name for name in UPLOADERS if enabled[name]]
    if not on:
        off = "it is False, and no other destination is switched on" if ftp["UseFTP"] is False else "no destination is switched on"
        remedy = f"Set ftp.Host to the server's name (and UseFTP = True), or for Dropbox {_LOGIN}."
        raise ConfigError("ftp.UseFTP", off, remedy)
    return on


def check_config(config: Any) -> Any:
    """A config with sections, as it was given; ConfigError where a section's name is not known."""
    if isinstance(config, str) or config is None:
        problem = f"it is of type {type(config).__name__}"
        raise ConfigError("config", problem, f"Give a module or object with the sections {', '.join(SECTIONS)}.")
    if isinstance(config, Mapping):
        names = [str(name) for name in config]
    else:
        # A module or object may hold other things; only an instance of Section counts as a section.
        names = [name for name, value in values_of(config).items() if isinstance(value, Section)]
    for name in names:
        if name not in SECTIONS:
            raise unknown_key("config", name, SECTIONS)
    return config


def with_sections(config: Any) -> Any:
    """A config with sections; a flat base section, as version 1 took it, is put where it belongs."""
    if config is None:
        return {}
    for name in SECTIONS:
        if not isinstance(section_of(config, name), (type(None), str, int, float, list, tuple)):
            return check_config(config)
    return {"base": config}


def own_module(name: Any, script: str | None) -> str:
    """The module to run for ``SubtaskModuleName``; ``script`` is the app's own file, for a name of '__main__'. ConfigError for
    what is not the name of a module."""
    where, remedy = "SubtaskModuleName", "Give the dotted name of a module that 'python -m' can run."
    if not isinstance(name, str):
        raise ConfigError(where, f"it is of type {type(name).__name__}", remedy)
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
        raise ConfigError("base.TaskName", f"{name!r} cannot be the name of a folder", remedy)
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise ConfigError("base.TaskName", f"it is longer than {_LONGEST_NAME} bytes", remedy)
    return name


def _check_ftp(settings: Mapping[str, Any]) -> None:
    host = settings["Host"]
    if not host:
        raise ConfigError("ftp.Host", "it is not set", "Give the server's name or address.")
    # A host that begins with a dash would be an option of the ssh program.
    if host.startswith("-") or any(sign in "/@" or sign.isspace() or not sign.isprintable() for sign in host):
        remedy = "Give the name or address alone (the login name is ftp.User), or a URL such as 'sftp://user@host/folder'."
        raise ConfigError("ftp.Host", f"{host!r} is not the name of a server", remedy)
    user = settings["User"]
    if user.startswith("-") or not user.isprintable():
        raise ConfigError("ftp.User", f"{user!r} is not a login name", "Give the login name, or leave it empty.")
    _check_protocol(settings)
    if settings["HostPort"] == 0:
        raise ConfigError("ftp.HostPort", "0 is not a port", "Give a number from 1 to 65535, or -1 for the protocol's own.")
    if any("\\" in (settings[key] or "") for key in ("HostPath", "HostSFTPPath", "HostFTPPath")):
        from ..common.address import check_paths

        check_paths(settings)


def _check_protocol(settings: Mapping[str, Any]) -> None:
    """ConfigError for settings of the other protocol: they show a misunderstanding about how safe this one is."""
    if settings["UseSFTP"]:
        for key in ("UseTLS", "CAFile", "TLSFingerprint"):
            if settings[key] is not None:
                problem = "it is for FTPS, and UseSFTP is True; SFTP is encrypted by itself"
                raise ConfigError(f"ftp.{key}", problem, f"Set {key} = None, or UseSFTP = False for an FTPS server.")
        if settings["StoreInPlace"] and settings["SFTPLibrary"] is not None:
            remedy = "Set StoreInPlace = False, or SFTPLibrary = None."
            raise ConfigError("ftp.StoreInPlace", f"{settings['SFTPLibrary']} does not know it", remedy)
        if settings["SFTPLibrary"] is not None and (settings["SSHConfigFile"] or "none").lower() != "none":
            problem = f"{settings['SFTPLibrary']} does not read it"
            raise ConfigError("ftp.SSHConfigFile", problem, "Set SFTPLibrary = None, or SSHConfigFile = None.")
        return
    if settings["SFTPLibrary"] is not None:
        raise ConfigError("ftp.SFTPLibrary", "it is for SFTP, and UseSFTP is False", "Set SFTPLibrary = None, or UseSFTP = True.")
    for key in ("KeyFile", "HostKey", "KnownHostsFile"):
        if settings[key] is not None:
            remedy = f"Set {key} = None (FTP has User and Password, FTPS also TLSFingerprint or CAFile), or UseSFTP = True."
            raise ConfigError(f"ftp.{key}", "it is for SFTP, and UseSFTP is False", remedy)
    for key in ("CAFile", "TLSFingerprint"):
        if settings[key] is not None and settings["UseTLS"] is None:
            raise ConfigError(f"ftp.{key}", "it is for FTPS, and UseTLS is None", "Set UseTLS = 'explicit' or UseTLS = 'implicit'.")


def _is_set(token: str | None) -> bool:
    """Whether a token, or the name of its file, is one: version 1 had asterisks as its default."""
    return bool(token and token.strip("*"))


def _check_dropbox(settings: dict[str, Any]) -> None:
    """Also makes what is not set None, and file names absolute: a restart may come after the app has changed its folder."""
    for key in _TOKENS:
        if not _is_set(settings[key]):
            settings[key] = None
    tokens = [key for key in _TOKENS if settings[key] is not None]
    if not tokens:
        raise ConfigError("dropbox.RefreshToken", "it is not set, nor is another token", f"To log in, {_LOGIN}.")
    if settings["RefreshToken"] is not None and settings["RefreshTokenFile"] is not None:
        remedy = "Set RefreshToken = None, or RefreshTokenFile = None."
        raise ConfigError("dropbox.RefreshTokenFile", "RefreshToken is set too", remedy)
    for key in ("AppKey", "RefreshToken", "AccessToken"):
        value = settings[key]
        if value and not (value.isascii() and value.isprintable() and " " not in value):
            raise ConfigError(f"dropbox.{key}", "it holds a space or a sign that no key or token has", "Copy it once more.")
    if not settings["AppKey"] and tokens[0] != "AccessToken":
        raise ConfigError("dropbox.AppKey", f"it is not set, and {tokens[0]} needs it", f"To log in, {_LOGIN}.")
    parts = settings["HostPath"].split("/")
    if "\\" in settings["HostPath"] or ".." in parts or "." in parts:
        remedy = "Name the folder as Dropbox shows it, such as 'incoming/station7'."
        raise ConfigError("dropbox.HostPath", f"{settings['HostPath']!r} is not a folder in Dropbox", remedy)
    _check_proxy(settings["Proxy"])
    for key in ("RefreshTokenFile", "CAFile"):
        if settings[key] is None:
            continue
        settings[key] = os.path.abspath(os.path.expanduser(settings[key]))
        if not os.path.isfile(settings[key]):
            log_in = f"Run: python -m pysubtask.dropbox --login --store {settings[key]}"
            remedy = "Set CAFile = None." if key == "CAFile" else log_in
            raise ConfigError(f"dropbox.{key}", f"there is no file {settings[key]}", remedy)


def _check_proxy(proxy: str | None) -> None:
    if not proxy:
        return
    scheme, _, rest = proxy.partition("://")
    place = rest.rpartition("@")[2].removesuffix("/")
    host, _, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    if not host:
        host, port = port, ""
    numbered = not port or (port.isascii() and port.isdecimal() and 0 < int(port) < 65536)
    plain = proxy.isprintable() and not any(sign in "/ " for sign in place)
    if scheme not in ("http", "https") or not host or not numbered or not plain:
        remedy = "Give it as 'http://host:port' or 'http://user:password@host:port', '' for none, None for the environment's."
        raise ConfigError("dropbox.Proxy", f"{masked_value('Proxy', proxy)!r} is not the URL of an HTTP proxy", remedy)
