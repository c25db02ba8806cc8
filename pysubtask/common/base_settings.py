"""The settings of section ``base``, every child: a row for each, with default, unit, meaning and range."""

from __future__ import annotations

from .config import Setting

_DAY = 86400

ROWS = (
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
        "ReceiptKeepMonths",
        24,
        "months",
        "Receipts are kept in a file for each month; of more files than so many the oldest are removed. The newest receipt of each "
        "data file that is still there is kept in any case.",
        low=1,
        high=1200,
        live=True,
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
    Setting(
        "Guard",
        True,
        "",
        "A small process of its own starts a child that died again, also while the app makes no call. Not on Windows, not without "
        "/bin/sh and not in a frozen app; there, and with False, the app's next call does it.",
    ),
)
