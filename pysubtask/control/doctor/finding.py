"""What a check found, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...common.config import is_secret
from ..config.problems import in_file_words, in_toml

OK, NOTE, WARN, FAIL, SKIP = "ok", "note", "warn", "fail", "skip"
"""As it should be; worth knowing; works, but not as it should; does not work; not looked at, and why."""


class Remedy(NamedTuple):
    """``settings``: key and value for the destination's section of the config; ``commands`` for a shell; ``words`` where
    neither says it all. Any of the settings does, the first is the likeliest, unless ``words`` say otherwise."""

    settings: tuple[tuple[str, Any], ...] = ()
    commands: tuple[str, ...] = ()
    words: str = ""


class Finding(NamedTuple):
    """``check``: what was looked at ("login"); ``state``: one of the five; ``text``: what was found, in plain words;
    ``cause``: a short fixed name of what is wrong ("password-refused"), empty where nothing is; ``remedy``: what to do about it."""

    check: str
    state: str
    text: str
    cause: str = ""
    remedy: Remedy = Remedy()


def ok(check: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(check, OK, text)


def fail(check: str, cause: str, text: str, *settings: tuple[str, Any], commands: Iterable[str] = (), words: str = "") -> Finding:
    """It does not work."""
    return Finding(check, FAIL, text, cause, Remedy(settings, tuple(commands), words))


def warn(check: str, cause: str, text: str, *settings: tuple[str, Any], commands: Iterable[str] = (), words: str = "") -> Finding:
    """It works, but not as it should."""
    return fail(check, cause, text, *settings, commands=commands, words=words)._replace(state=WARN)


def setting_line(section: str, key: str, value: Any, style: str) -> str:
    """The line for a config. ``style``: "python" (``ftp.HostPort = 22``) or "toml" (``HostPort = 22`` below ``[ftp]``)."""
    if style != "toml":
        return f"{section}.{key} = {value!r}"
    # A secret is better gone than "none", and of SSHConfigFile "none" is a value of its own.
    if value is None and (is_secret(key) or is_secret(key.removesuffix("File")) or key == "SSHConfigFile"):
        return f"remove the line {key} from [{section}]"
    return f"{key} = {in_toml(value)}    (in the section [{section}])"


def remedy_lines(finding: Finding, section: str, style: str) -> list[str]:
    """What to do, a line each: words, lines for the config, commands."""
    remedy = finding.remedy
    words = in_words(remedy.words, style)
    lines = [words] if words else []
    lines += [f"in the config:  {setting_line(section, key, value, style)}" for key, value in remedy.settings]
    return lines + [f"run:  {command}" for command in remedy.commands]


def in_words(text: str, style: str) -> str:
    """A text about settings in the words of the config it is for."""
    return in_file_words(text) if style == "toml" else text


def as_json(finding: Finding, section: str, style: str) -> dict[str, Any]:
    """For programs."""
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
    """The gravest state among them; OK where there is none."""
    order = (OK, SKIP, NOTE, WARN, FAIL)
    return max((finding.state for finding in findings), key=order.index, default=OK)


def size(count: float) -> str:
    """Bytes as people read them: ``1.5 MB``."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if count >= 100 or unit == "bytes" else f"{count:.1f} {unit}"


def port_of(settings: Mapping[str, Any]) -> int:
    """The port the settings mean."""
    port = int(settings.get("HostPort", -1))
    if port > 0:
        return port
    return 22 if settings.get("UseSFTP", True) else 990 if settings.get("UseTLS") == "implicit" else 21
