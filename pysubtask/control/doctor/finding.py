"""The result of a check, and the remedy. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...common.config import is_secret
from ..config.toml_words import in_file_words, in_toml

OK, NOTE, WARN, FAIL, SKIP = "ok", "note", "warn", "fail", "skip"
"""The five states: as it should be; worth knowing; works, but not as it should; does not work; not checked."""


class Remedy(NamedTuple):
    """``settings``: key and value for the destination's section of the config; ``commands``: lines for a shell; ``words``:
    sentences for the rest. One of the settings is enough and the first is the likeliest, unless ``words`` say otherwise."""

    settings: tuple[tuple[str, Any], ...] = ()
    commands: tuple[str, ...] = ()
    words: str = ""


class Finding(NamedTuple):
    """``check``: the subject of the check ("login"); ``state``: one of OK, NOTE, WARN, FAIL, SKIP; ``text``: the result, in
    plain words; ``cause``: a short fixed name of the defect ("password-refused"), empty where there is none; ``remedy``: the
    way to remove the defect."""

    check: str
    state: str
    text: str
    cause: str = ""
    remedy: Remedy = Remedy()


def ok(check: str, text: str) -> Finding:
    """The subject is as it should be."""
    return Finding(check, OK, text)


def fail(check: str, cause: str, text: str, *settings: tuple[str, Any], commands: Iterable[str] = (), words: str = "") -> Finding:
    """The subject does not work."""
    return Finding(check, FAIL, text, cause, Remedy(settings, tuple(commands), words))


def warn(check: str, cause: str, text: str, *settings: tuple[str, Any], commands: Iterable[str] = (), words: str = "") -> Finding:
    """The subject works, but not as it should."""
    return fail(check, cause, text, *settings, commands=commands, words=words)._replace(state=WARN)


def setting_line(section: str, key: str, value: Any, style: str) -> str:
    """The line for a config. ``style``: "python" (``ftp.HostPort = 22``) or "toml" (``HostPort = 22`` below ``[ftp]``)."""
    if style != "toml":
        return f"{section}.{key} = {value!r}"
    # An empty secret is better removed than written as "none", and "none" is a meaningful value of SSHConfigFile.
    if value is None and (is_secret(key) or is_secret(key.removesuffix("File")) or key == "SSHConfigFile"):
        return f"remove the line {key} from [{section}]"
    return f"{key} = {in_toml(value)}    (in the section [{section}])"


def remedy_lines(finding: Finding, section: str, style: str) -> list[str]:
    """The remedy as lines: the words, the lines for the config, the commands."""
    remedy = finding.remedy
    words = in_words(remedy.words, style)
    lines = [words] if words else []
    lines += [f"in the config:  {setting_line(section, key, value, style)}" for key, value in remedy.settings]
    return lines + [f"run:  {command}" for command in remedy.commands]


def in_words(text: str, style: str) -> str:
    """A text about settings, with the settings written as in a config of this ``style``."""
    return in_file_words(text) if style == "toml" else text


def as_json(finding: Finding, section: str, style: str) -> dict[str, Any]:
    """The object for ``pysubtask doctor --json``."""
    return {
        "check": finding.check,
        "state": finding.state,
        "text": finding.text,
        "cause": finding.cause or None,
        "words": in_words(finding.remedy.words, style) or None,
        "config": [setting_line(section, key, value, style) for key, value in finding.remedy.settings],
        "commands": list(finding.remedy.commands),
    }


def worst(findings: Iterable[Finding]) -> str:
    """The most severe state of the findings; OK where there are none."""
    order = (OK, SKIP, NOTE, WARN, FAIL)
    return max((finding.state for finding in findings), key=order.index, default=OK)


def size(count: float) -> str:
    """A number of bytes for people: ``1.5 MB`` (decimal units)."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if count >= 100 or unit == "bytes" else f"{count:.1f} {unit}"


def port_of(settings: Mapping[str, Any]) -> int:
    """The port of the settings, or the usual one of their protocol: 22 (SFTP), 21 (FTP), 990 (implicit TLS)."""
    port = int(settings.get("HostPort", -1))
    if port > 0:
        return port
    return 22 if settings.get("UseSFTP", True) else 990 if settings.get("UseTLS") == "implicit" else 21
