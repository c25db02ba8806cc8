"""Every setting, once: default, unit, meaning, range, and whether a running child takes a new value.

The rows of ``base``, ``ftp`` and ``dropbox`` stand in ``common/base_settings``, ``common/ftp_settings`` and
``common/dropbox_settings``; those of the sections of a whole task, ``burst_mode`` and ``alerts``, stand here.

``base``, ``burst_mode``, ``ftp`` and ``dropbox`` are the sections of version 1, ``alerts`` is another; assign to them before a
master is made to change a default for the whole program. ``SETTINGS`` is the table they come from.
"""

from __future__ import annotations

from .common import base_settings, dropbox_settings, ftp_settings
from .common.config import CommandSetting, Setting, Table, defaults_section

_DAY = 86400

_BURST = (
    Setting(
        "start_trigger_milli",
        1000,
        "milliseconds",
        "Two notifies closer than this count towards a burst.",
        kind=float,
        low=0,
        high=_DAY * 1000,
    ),
    Setting("start_trigger_count", 2, "notifies", "Close notifies in a row that start a burst.", low=1, high=10**6),
    Setting(
        "start_trigger_bytes",
        None,
        "bytes",
        "So many bytes written between two notifies start a burst too, however slow they come; None or 0 asks for no bytes.",
        kind=int,
        low=0,
        high=2**62,
    ),
    Setting(
        "start_trigger_mode",
        "either",
        "",
        "What starts a burst: the 'count' of close notifies, the 'bytes', or 'either'.",
        choices=("count", "bytes", "either"),
    ),
    Setting(
        "expire_milli",
        5000,
        "milliseconds",
        "Longest time a burst holds data back; the child sends it then even if the app never calls again.",
        kind=float,
        low=0,
        high=_DAY * 1000,
    ),
)


_ALERTS = (
    CommandSetting(
        "Command",
        "A program of your own that is run when something goes wrong, and when it is over: a list of the "
        "program and its arguments, or one text, split as a shell does but run without one. What happened is in its "
        "environment and, as JSON, on its stdin. None alerts nobody.",
    ),
    Setting(
        "SilentSecs",
        3600,
        "seconds",
        "A task is silent when a file waits to be sent and none was delivered for so long, or "
        "when its child is dead, stopped by a signal, hanging or unable to work for so long.",
        kind=float,
        low=1,
        high=30 * _DAY,
    ),
    Setting(
        "SettleSecs",
        60,
        "seconds",
        "How long a condition lasts before it is reported, and how long it has been over before "
        "that is; the latter four times as long with each return within a day, so that one that comes and goes alerts a few "
        "times and not all day.",
        kind=float,
        low=0.1,
        high=_DAY,
    ),
    Setting(
        "RepeatSecs", _DAY, "seconds", "A condition that lasts is reported again this often.", kind=float, low=10, high=30 * _DAY
    ),
    Setting(
        "TimeoutSecs",
        30,
        "seconds",
        "How long the program may take; it is ended then, with all that it has started.",
        kind=float,
        low=0.5,
        high=3600,
    ),
)

SETTINGS: Table = {
    "base": base_settings.ROWS,
    "burst_mode": _BURST,
    "ftp": ftp_settings.ROWS,
    "dropbox": dropbox_settings.ROWS,
    "alerts": _ALERTS,
}

base = defaults_section("base: every child", base_settings.ROWS)
burst_mode = defaults_section("burst_mode: when the master holds notifies back", _BURST)
ftp = defaults_section("ftp: SFTP and FTP", ftp_settings.ROWS)
dropbox = defaults_section("dropbox", dropbox_settings.ROWS)
alerts = defaults_section("alerts: which program is run when something goes wrong", _ALERTS)
