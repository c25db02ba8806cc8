"""The settings of section ``dropbox``, the destination in Dropbox: a row for each, with default, unit, meaning and range."""

from __future__ import annotations

from .config import Setting

_DAY = 86400

ROWS = (
    Setting("SubtaskDescription", "Dropbox Uploader", "", "What the child calls itself in its log."),
    Setting(
        "UseDropbox",
        None,
        "",
        "Switches this destination on or off in a TaskMaster; None means: on when RefreshToken, "
        "RefreshTokenFile or AccessToken is set. A token of asterisks alone counts as not set.",
        kind=bool,
    ),
    Setting("AppKey", "", "", "App key of your Dropbox app; RefreshToken and RefreshTokenFile need it."),
    Setting(
        "RefreshToken",
        None,
        "",
        "What 'python -m pysubtask.dropbox --login' prints: it stands for your consent until you withdraw it.",
        kind=str,
    ),
    Setting(
        "RefreshTokenFile",
        None,
        "",
        "File with the refresh token in it that only you may read, as '--login --store FILE' makes it.",
        kind=str,
        names="file",
    ),
    Setting(
        "AccessToken",
        None,
        "",
        "Access token of the Dropbox app; those given out today end after four hours. Where there is "
        "a refresh token, that one is used.",
        kind=str,
    ),
    Setting(
        "HostPath",
        "",
        "",
        "Folder in Dropbox, made where missing; empty is the app's own folder, or the whole Dropbox of an app with full access.",
    ),
    Setting(
        "ChunkBytes",
        4 * 1024 * 1024,
        "bytes",
        "A file above this goes up in pieces of at most so much, and a cut costs one piece; on a bad link pieces get smaller.",
        low=64 * 1024,
        high=150 * 1024 * 1024,
    ),
    Setting("Connections", 4, "calls", "How many calls go on at once.", low=1, high=32),
    Setting("Concurrency", 256, "files", "Files in flight at once; one call publishes many.", low=1, high=256, live=True),
    Setting(
        "Proxy",
        None,
        "",
        "'http://host:port' goes through this proxy, '' through none; None does what the environment says (HTTPS_PROXY, NO_PROXY).",
        kind=str,
    ),
    Setting(
        "CAFile",
        None,
        "",
        "File of the certificates (PEM) that may vouch for Dropbox, for a company's proxy that signs with "
        "its own; None takes the library's.",
        kind=str,
        names="file",
    ),
    Setting(
        "DeadTimeMilli",
        180000,
        "milliseconds",
        "No notify for this long closes the connection; the next one opens it again.",
        kind=float,
        low=0,
        high=_DAY * 1000,
        live=True,
    ),
    Setting(
        "BakToFolder",
        "upload/dropbox",
        "",
        "Folder of the snapshots, relative to the first entry's folder. None uploads the live files themselves.",
        optional=True,
        names="folder",
    ),
    Setting(
        "TimerIntervalSecs",
        2,
        "seconds",
        "How often the child looks for new stamps at the latest.",
        kind=float,
        low=0.05,
        high=3600,
        live=True,
    ),
    Setting(
        "Master_Log_FileName",
        "./logs/dropbox_taskmaster.log.txt",
        "",
        "The master's log. None logs to no file.",
        optional=True,
        names="log",
    ),
    Setting(
        "Subtask_Log_FileName",
        "./logs/dropbox_subtask.log.txt",
        "",
        "The child's log. None logs to no file.",
        optional=True,
        names="log",
    ),
)
