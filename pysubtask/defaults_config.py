"""Every setting, once: default, unit, meaning, range, and whether a running child takes a new value.

``base``, ``burst_mode``, ``ftp`` and ``dropbox`` are the sections of version 1, ``alerts`` is another; assign to them before a
master is made to change a default for the whole program. ``SETTINGS`` is the table they come from.
"""

from __future__ import annotations

from .common.config import CommandSetting, Setting, Table, defaults_section

_DAY = 86400

_BASE = (
    Setting(
        "TaskName",
        "main",
        "",
        "Name of the task: its state lives in .pysubtask/<TaskName>/. Two masters that share a first folder need two names.",
    ),
    Setting(
        "RunAs",
        None,
        "",
        "Whose rights the task has, as 'pi' or in numbers as '1000:1000' (no entry in passwd is needed): a "
        "run started by root becomes that user before it opens anything. Root does not work over a folder of another user "
        "without it. None: those of who starts it.",
        kind=str,
    ),
    Setting(
        "StatusGroup",
        None,
        "",
        "A group, by name or number, whose members see this task by 'pysubtask status': its "
        "status page and its record become readable to the group (0640), and nothing else of it. The task's user must be in "
        "the group. None: nobody else sees it.",
        kind=str,
    ),
    Setting("SubtaskDescription", "BaseSubtask Scheduler", "", "What the child calls itself in its log."),
    Setting(
        "TimerIntervalSecs",
        2,
        "seconds",
        "How often the child looks for new stamps at the latest; file events wake it at once.",
        kind=float,
        low=0.05,
        high=3600,
        live=True,
    ),
    Setting(
        "BakToFolder",
        "upload",
        "",
        "Folder of the snapshots, relative to the first entry's folder; the default one goes with "
        "the state where that is kept elsewhere (StateFolder). None uploads the live files themselves.",
        optional=True,
        names="folder",
    ),
    Setting(
        "StateFolder",
        None,
        "",
        "Folder to keep the state (the queue, receipts, snapshots) in instead of the first entry's "
        "folder, as '/var/lib/station': it must be there, and nobody else may write it. None keeps it in the first entry's "
        "folder; where others may write that, in $STATE_DIRECTORY (systemd), else $XDG_STATE_HOME/pysubtask/state, else "
        "~/.local/state/pysubtask/state.",
        kind=str,
        names="place",
    ),
    Setting(
        "MinFreeBytes",
        32 * 1024 * 1024,
        "bytes",
        "Disk space that snapshots leave free, on the disk that they are kept on; below it notifies stay due.",
        low=0,
        live=True,
    ),
    Setting(
        "ArchiveToFolder",
        "archive",
        "",
        "Folder for old files, relative to the first entry's folder; they go to YYYYMM/DD in it. None archives nothing.",
        optional=True,
        names="folder",
    ),
    Setting(
        "ArchiveAfterDaysOld",
        3,
        "days",
        "A file last changed before the midnight of so many days ago is archived; one "
        "this task uploads not before every destination has confirmed it. A time of before the clock was set does not count.",
        low=0,
        high=36500,
    ),
    Setting(
        "MakeFolders",
        False,
        "",
        "True makes a watched folder that is missing, and the folder of a named file. False waits "
        "for it and tells: its name may be mistyped, or its disk not mounted.",
    ),
    Setting(
        "RequiresMount",
        None,
        "",
        "A folder that has a disk mounted on it, as '/media/usb': what is watched in it waits until "
        "that is so, and nothing is written there before. For disks that come and go.",
        kind=str,
        names="place",
    ),
    Setting(
        "Master_Log_FileName",
        "./logs/base_taskmaster.log.txt",
        "",
        "The master's log. None logs to no file.",
        optional=True,
        names="log",
    ),
    Setting(
        "Subtask_Log_FileName",
        "./logs/base_subtask.log.txt",
        "",
        "The child's log. None logs to no file. A task with a TaskName of its own has its name in the default.",
        optional=True,
        names="log",
    ),
    Setting(
        "LogLevel",
        "info",
        "",
        "What the logs show: from 'debug' (everything) to 'error' (errors alone).",
        choices=("debug", "info", "warning", "error"),
        live=True,
    ),
    Setting(
        "LogFormat",
        "text",
        "",
        "'text' for people, or 'json': an object a line with at, level, task, who, pid, message.",
        choices=("text", "json"),
    ),
    Setting(
        "LogMaxBytes",
        5_000_000,
        "bytes",
        "A log file that would grow above this is put aside as FILE.1, the one before as FILE.2 and so on; 0 lets it grow.",
        low=0,
        high=2**40,
    ),
    Setting("LogKeep", 3, "files", "How many log files that were put aside are kept.", low=1, high=1000),
    Setting(
        "HeartbeatIntervalSecs",
        0,
        "seconds",
        "How often a heartbeat file is sent; 0 sends none.",
        kind=float,
        low=0,
        high=7 * _DAY,
        live=True,
    ),
    Setting(
        "HeartbeatName",
        None,
        "",
        "Name of the heartbeat file; None takes the host's name. {hostname} and {task} in it "
        "stand for the machine's name and the task's label.",
        kind=str,
    ),
    Setting(
        "HeartbeatStatus",
        False,
        "",
        "Also send <name>.heartbeat.json: queued, oldest age, last delivery, last error, free disk, clock, version.",
    ),
    Setting("RetryCount", 5, "tries", "Tries in a row before the long wait.", low=1, high=1000, live=True),
    Setting("RetryWaitSecs", 3, "seconds", "Wait after a failed try.", kind=float, low=0, high=3600, live=True),
    Setting(
        "RetryLongWaitSecs",
        30,
        "seconds",
        "Wait after RetryCount failed tries in a row; then the tries go on.",
        kind=float,
        low=0,
        high=_DAY,
        live=True,
    ),
    Setting(
        "ParkedRetrySecs",
        300,
        "seconds",
        "How long a file the server refused is left alone before it is offered again.",
        kind=float,
        low=1,
        high=7 * _DAY,
        live=True,
    ),
    Setting("ConnectTimeoutSecs", 20, "seconds", "Time limit of a connect with its login.", kind=float, low=0.5, high=600),
    Setting(
        "StallSecs",
        60,
        "seconds",
        "No answer from the server for this long, while one is due, is a lost connection.",
        kind=float,
        low=1,
        high=3600,
    ),
    Setting(
        "LoginsPerMinute",
        6,
        "logins",
        "How many logins that are refused, or lost again, the server gets to see in a minute: "
        "many ban an address for more. Where nobody answers after several, the next one waits 75 s and longer. One that "
        "'pysubtask retry' asks for is not held back. 0 sets no limit.",
        low=0,
        high=1000,
        live=True,
    ),
    Setting(
        "Concurrency",
        128,
        "files",
        "Files in flight at once on one connection; at most 64 where an SFTP server does not tell how many it takes.",
        low=1,
        high=256,
        live=True,
    ),
    Setting(
        "RateLimit",
        0,
        "bytes per second",
        "How fast one child may send at most, all its uploads together; 0 sets no limit.",
        kind=float,
        low=0,
        high=10**12,
        live=True,
    ),
    Setting(
        "StopWaitSecs",
        10,
        "seconds",
        "How long stop(forcekill=False) lets the child upload what is queued.",
        kind=float,
        low=0,
        high=3600,
    ),
    Setting(
        "OrphanLingerSecs", 60, "seconds", "How long a child whose master is gone goes on uploading.", kind=float, low=0, high=_DAY
    ),
)

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

_FTP = (
    Setting("SubtaskDescription", "S/FTP Uploader", "", "What the child calls itself in its log."),
    Setting("UseFTP", None, "", "Switches this destination on or off in a TaskMaster; None means: on when Host is set.", kind=bool),
    Setting("UseSFTP", True, "", "True speaks SFTP (over ssh), False FTP or, with UseTLS, FTPS."),
    Setting(
        "Host",
        "",
        "",
        "The server's name or address, or a URL that says protocol, login, port and folder too: "
        "'ftp://web1234@example.org:2121/public_html' (also sftp://, ftps://). A folder is relative to the login's own; from "
        "the root with two slashes.",
    ),
    Setting(
        "HostPort", -1, "", "The server's port; -1 takes the protocol's own (22, 21, with implicit TLS 990).", low=-1, high=65535
    ),
    Setting(
        "HostPath",
        "",
        "",
        "Folder on the server, made where missing; empty is the login's own. {hostname} and {task} "
        "in it stand for the machine's name and the task's label.",
    ),
    Setting("HostSFTPPath", None, "", "Wins over HostPath with SFTP.", kind=str),
    Setting("HostFTPPath", None, "", "Wins over HostPath with FTP.", kind=str),
    Setting("User", "", "", "Login name; empty leaves it to ssh's own configuration, and with FTP means anonymous."),
    Setting("Password", None, "", "Password; never needed with a key or an agent.", kind=str),
    Setting(
        "KeyFile", None, "", "Private key file; None leaves the choice to ssh (its config, its agent).", kind=str, names="file"
    ),
    Setting(
        "HostKey", None, "", "The server's pinned key, as 'SHA256:...' (ssh-keygen shows it); None looks in known_hosts.", kind=str
    ),
    Setting(
        "HostKeyPolicy",
        "strict",
        "",
        "'strict' takes only a known host key; 'accept-new' also takes and remembers the key of a host never seen before.",
        choices=("strict", "accept-new"),
    ),
    Setting("KnownHostsFile", None, "", "A known_hosts file of your own; None takes ssh's.", kind=str, names="file"),
    Setting(
        "SFTPLibrary",
        None,
        "",
        "Who speaks SFTP: None is the client of this package, 'pysftp' the old library of that name "
        "(extra pysubtask[pysftp]), which is slower and reads no configuration of ssh.",
        kind=str,
        choices=("pysftp",),
    ),
    Setting("SSHProgram", "ssh", "", "The ssh program; where it is missing, asyncssh is used instead if installed.", names="file"),
    Setting(
        "SSHConfigFile",
        None,
        "",
        "ssh's configuration file; 'none' reads none at all. Where this is not set, ssh reads the user's own (~/.ssh/config).",
        kind=str,
        names="file",
    ),
    Setting("KeepAliveSecs", 15, "seconds", "ssh asks the server for a sign of life this often.", low=1, high=3600),
    Setting("KeepAliveCount", 3, "signs", "Missed signs of life after which ssh gives up.", low=1, high=100),
    Setting(
        "UseTLS",
        None,
        "",
        "FTP only: 'explicit' asks for TLS at the server's usual port, 'implicit' speaks it from the "
        "start; None sends password and data in the clear.",
        kind=str,
        choices=("explicit", "implicit"),
    ),
    Setting(
        "CAFile",
        None,
        "",
        "FTPS only: file of the certificates (PEM) that may vouch for the server's; None takes the system's.",
        kind=str,
        names="file",
    ),
    Setting(
        "TLSFingerprint",
        None,
        "",
        "FTPS only: SHA-256 fingerprint of the server's own certificate, for one that nobody "
        "vouches for ('openssl x509 -noout -fingerprint -sha256' shows it); nothing else of it is looked at then.",
        kind=str,
    ),
    Setting(
        "PassiveMode",
        True,
        "",
        "FTP only: True connects to the server for data, too, and has it connect to here where it "
        "gives no port for that; False has the server connect to here.",
    ),
    Setting(
        "Connections",
        4,
        "connections",
        "FTP only: how many to open side by side, each for one file; fewer where the server takes no more.",
        low=1,
        high=32,
    ),
    Setting(
        "StoreInPlace",
        False,
        "",
        "For servers that cannot rename, or take no temporary files: stores under the final name at "
        "once, so a reader may find half a file, and a cut upload leaves one. FTP does so for every file; SFTP only where the "
        "server has been found to need it.",
    ),
    Setting(
        "AtomicAppend",
        False,
        "",
        "False lets a file that only grew grow on the server, too: what it lacks is appended in "
        "place, and a reader finds a true beginning of it at any moment. True shows complete versions only.",
    ),
    Setting(
        "RemoteLinks",
        "follow",
        "",
        "What is done where a name on the server is a symbolic link: 'follow' keeps the link and "
        "writes the file it points to, beside which the temporary name stands then; 'replace' puts a file in the link's place. "
        "Where a link cannot be followed (it points to nothing, out of reach, or the server does not tell where) it is "
        "replaced. An event and a log line say once for each name what was done.",
        choices=("follow", "replace"),
    ),
    Setting(
        "VerifyChecksum",
        "auto",
        "",
        "How an upload is verified, besides by its size: 'auto' by a hash where the server "
        "offers one (SFTP: check-file; FTP: HASH, XSHA256 and the like), but not after an append, as the server has to read "
        "the whole file for it; 'always' after an append, too; 'shell' (SFTP by ssh) with sha256sum, run on the server in a "
        "second login, where it offers none; 'required' delivers nothing without a hash; 'size' asks for none.",
        choices=("size", "auto", "always", "shell", "required"),
    ),
    Setting(
        "DeltaTransfer",
        True,
        "",
        "SFTP only, where the server can copy by itself (OpenSSH 9.0 or later): True sends of a "
        "file of 256 KiB or more only what changed, wherever that is, and reads each version once more for it; best with the "
        "extra pysubtask[delta]. False sends all of it, unless it only grew.",
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
        "upload/ftp",
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
        "./logs/ftp_taskmaster.log.txt",
        "",
        "The master's log. None logs to no file.",
        optional=True,
        names="log",
    ),
    Setting(
        "Subtask_Log_FileName",
        "./logs/ftp_subtask.log.txt",
        "",
        "The child's log. None logs to no file.",
        optional=True,
        names="log",
    ),
)

_DROPBOX = (
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

SETTINGS: Table = {"base": _BASE, "burst_mode": _BURST, "ftp": _FTP, "dropbox": _DROPBOX, "alerts": _ALERTS}

base = defaults_section("base: every child", _BASE)
burst_mode = defaults_section("burst_mode: when the master holds notifies back", _BURST)
ftp = defaults_section("ftp: SFTP and FTP", _FTP)
dropbox = defaults_section("dropbox", _DROPBOX)
alerts = defaults_section("alerts: which program is run when something goes wrong", _ALERTS)
