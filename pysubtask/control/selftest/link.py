"""The relay between the child and the user's own server, and the settings that lead through it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...common.program import for_others
from ...testing.link.relay import Relay
from ...transports.shared.known_hosts import keys_on_file, name_of
from ..doctor import prepare
from ..doctor.finding import port_of
from ..doctor.source import Target
from .ftp_link import FTPLink

_SYSTEM = "/etc/ssh/ssh_known_hosts"
_SHOW_SECS = 5.0  # for ssh -G


class Link(NamedTuple):
    """``relay``: None where no relay is possible, for the reason ``why``; ``settings``: the settings that lead through the
    relay."""

    relay: Relay | None
    settings: dict[str, Any]
    why: str = ""


def open_link(target: Target, folder: str) -> Link:
    """A relay for this destination. ``folder``: a private folder for files of the relay's settings. Blocks for as long as ``ssh
    -G`` takes."""
    settings = dict(target.settings)
    if target.section == "dropbox":
        return Link(None, settings, "no relay can be put in front of Dropbox")
    if target.transport == "ftp":
        return _ftp(settings)
    return _sftp(settings, folder)


def _ftp(settings: dict[str, Any]) -> Link:
    if settings.get("UseTLS"):
        return Link(None, settings, "under TLS a relay cannot see where FTP's data connections go")
    if not settings.get("PassiveMode", True):
        return Link(None, settings, "with PassiveMode = False the server's data connections come in by another way")
    try:
        relay = FTPLink(str(settings["Host"]).strip("[]"), port_of(settings))
    except OSError as exc:
        return Link(None, settings, f"no relay can listen on this machine ({exc.strerror})")
    return Link(relay, {**settings, "Host": relay.host, "HostPort": relay.port})


def _sftp(settings: dict[str, Any], folder: str) -> Link:
    place = prepare.endpoint(settings)
    if not place.direct:
        return Link(None, settings, "ssh's configuration goes through another host")
    relay = Relay(place.host, place.port)
    through = {**settings, "Host": relay.host, "HostPort": relay.port, "User": place.user or settings.get("User", "")}
    if not settings.get("HostKey"):
        # known_hosts has a host with its port, so the server's keys are written under the relay's name and port.
        files = [os.path.expanduser(path) for path in place.known_hosts or ("~/.ssh/known_hosts",)]
        if not settings.get("KnownHostsFile"):
            files.append(_SYSTEM)
        known = keys_on_file(files, place.host, place.port).keys or keys_on_file(files, str(settings["Host"]), place.port).keys
        if not known:
            relay.close()
            return Link(None, settings, "the server's key is in no known_hosts file that could be read")
        path = os.path.join(folder, "known_hosts")
        name = name_of(relay.host, relay.port)
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"{name} {kind} {base64.b64encode(key).decode()}\n" for kind, key in sorted(known))
        through |= {"KnownHostsFile": path, "HostKeyPolicy": "strict"}
    if not settings.get("KeyFile") and (key := _key_of_its_own(settings, place.user)):
        through["KeyFile"] = key
    return Link(relay, through)


def _key_of_its_own(settings: Mapping[str, Any], user: str) -> str | None:
    """The key that ssh's configuration names for this host alone: ssh would not use it under the relay's name."""
    if settings.get("SFTPLibrary") or str(settings.get("SSHConfigFile") or "").lower() == "none":
        return None
    own, usual = (_identities(settings, host) for host in (str(settings["Host"]), "127.0.0.1"))
    return next((path for path in own if path not in usual and os.path.exists(path)), None)


def _identities(settings: Mapping[str, Any], host: str) -> list[str]:
    program = shutil.which(str(settings.get("SSHProgram") or "ssh"))
    if program is None:
        return []
    config = settings.get("SSHConfigFile")
    argv = [program, "-G", *(["-F", os.path.expanduser(str(config))] if config else []), "--", host.strip("[]")]
    try:
        result = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SHOW_SECS, check=False, env=for_others()
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [line.partition(" ") for line in result.stdout.decode("utf-8", "replace").splitlines()]
    return [os.path.expanduser(value) for key, _, value in rows if key == "identityfile"]
