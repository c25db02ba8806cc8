"""The settings of all sections in one, for type checkers. Made from ``defaults_config`` by ``python -m tests.make_settings_types``.

docs/config.md has the defaults, too. No app loads this unless it asks for it.
"""

from typing import Literal, TypedDict


class AnySettings(TypedDict, total=False):
    """Every setting of any section: what ``Section(...)`` takes."""

    TaskName: str
    """Name of the task: its state lives in .pysubtask/<TaskName>/."""
    RunAs: str | None
    """Whose rights the task has, as 'pi' or in numbers as '1000:1000' (no entry in passwd is needed): a run started by
    root becomes that user before it opens anything."""
    StatusGroup: str | None
    """A group, by name or number, whose members see this task by 'pysubtask status': its status page and its record
    become readable to the group (0640), and nothing else of it."""
    SubtaskDescription: str
    """What the child calls itself in its log."""
    TimerIntervalSecs: float
    """How often the child looks for new stamps at the latest; file events wake it at once. Unit: seconds."""
    BakToFolder: str | None
    """Folder of the snapshots, relative to the first entry's folder; the default one goes with the state where that is
    kept elsewhere (StateFolder)."""
    StateFolder: str | None
    """Folder to keep the state (the queue, receipts, snapshots) in instead of the first entry's folder, as
    '/var/lib/station': it must be there, and nobody else may write it."""
    ReceiptKeepMonths: int
    """Receipts are kept in a file for each month; of more files than so many the oldest are removed. Unit: months."""
    MinFreeBytes: int
    """Disk space that snapshots leave free, on the disk that they are kept on; below it notifies stay due. Unit: bytes."""
    ArchiveToFolder: str | None
    """Folder for old files, relative to the first entry's folder; they go to YYYYMM/DD in it."""
    ArchiveAfterDaysOld: int
    """A file last changed before the midnight of so many days ago is archived; one this task uploads not before every
    destination has confirmed it. Unit: days."""
    MakeFolders: bool
    """True makes a watched folder that is missing, and the folder of a named file."""
    RequiresMount: str | None
    """A folder that has a disk mounted on it, as '/media/usb': what is watched in it waits until that is so, and
    nothing is written there before."""
    Master_Log_FileName: str | None
    """The master's log."""
    Subtask_Log_FileName: str | None
    """The child's log."""
    LogLevel: Literal["debug", "info", "warning", "error"]
    """What the logs show: from 'debug' (everything) to 'error' (errors alone)."""
    LogFormat: Literal["text", "json"]
    """'text' for people, or 'json': an object a line with at, level, task, who, pid, message."""
    LogMaxBytes: int
    """A log file that would grow above this is put aside as FILE.1, the one before as FILE.2 and so on; 0 lets it grow.
    Unit: bytes."""
    LogKeep: int
    """How many log files that were put aside are kept. Unit: files."""
    HeartbeatIntervalSecs: float
    """How often a heartbeat file is sent; 0 sends none. Unit: seconds."""
    HeartbeatName: str | None
    """Name of the heartbeat file; None takes the host's name."""
    HeartbeatStatus: bool
    """Also send <name>.heartbeat.json: queued, oldest age, last delivery, last error, free disk, clock, version."""
    RetryCount: int
    """Tries in a row before the long wait. Unit: tries."""
    RetryWaitSecs: float
    """Wait after a failed try. Unit: seconds."""
    RetryLongWaitSecs: float
    """Wait after RetryCount failed tries in a row; then the tries go on. Unit: seconds."""
    ParkedRetrySecs: float
    """How long a file the server refused is left alone before it is offered again. Unit: seconds."""
    ConnectTimeoutSecs: float
    """Time limit of a connect with its login. Unit: seconds."""
    StallSecs: float
    """No answer from the server for this long, while one is due, is a lost connection. Unit: seconds."""
    LoginsPerMinute: int
    """How many logins that are refused, or lost again, the server gets to see in a minute: many ban an address for
    more. Unit: logins."""
    Concurrency: int
    """Files in flight at once on one connection; at most 64 where an SFTP server does not tell how many it takes. Unit:
    files."""
    RateLimit: float
    """How fast one child may send at most, all its uploads together; 0 sets no limit. Unit: bytes per second."""
    StopWaitSecs: float
    """How long stop(forcekill=False) lets the child upload what is queued. Unit: seconds."""
    OrphanLingerSecs: float
    """How long a child whose master is gone goes on uploading. Unit: seconds."""
    Guard: bool
    """A small process of its own starts a child that died again, also while the app makes no call."""
    start_trigger_milli: float
    """Two notifies closer than this count towards a burst. Unit: milliseconds."""
    start_trigger_count: int
    """Close notifies in a row that start a burst. Unit: notifies."""
    start_trigger_bytes: int | None
    """So many bytes written between two notifies start a burst too, however slow they come; None or 0 asks for no
    bytes. Unit: bytes."""
    start_trigger_mode: Literal["count", "bytes", "either"]
    """What starts a burst: the 'count' of close notifies, the 'bytes', or 'either'."""
    expire_milli: float
    """Longest time a burst holds data back; the child sends it then even if the app never calls again. Unit:
    milliseconds."""
    UseFTP: bool | None
    """Switches this destination on or off in a TaskMaster; None means: on when Host is set."""
    UseSFTP: bool
    """True speaks SFTP (over ssh), False FTP or, with UseTLS, FTPS."""
    Host: str
    """The server's name or address, or a URL that says protocol, login, port and folder too:
    'ftp://web1234@example.org:2121/public_html' (also sftp://, ftps://)."""
    HostPort: int
    """The server's port; -1 takes the protocol's own (22, 21, with implicit TLS 990)."""
    HostPath: str
    """Folder on the server, made where missing; empty is the login's own."""
    HostSFTPPath: str | None
    """Wins over HostPath with SFTP."""
    HostFTPPath: str | None
    """Wins over HostPath with FTP."""
    User: str
    """Login name; empty leaves it to ssh's own configuration, and with FTP means anonymous."""
    Password: str | None
    """Password; never needed with a key or an agent."""
    KeyFile: str | None
    """Private key file; None leaves the choice to ssh (its config, its agent)."""
    HostKey: str | None
    """The server's pinned key, as 'SHA256:...' (ssh-keygen shows it); None looks in known_hosts."""
    HostKeyPolicy: Literal["strict", "accept-new"]
    """'strict' takes only a known host key; 'accept-new' also takes and remembers the key of a host never seen before."""
    KnownHostsFile: str | None
    """A known_hosts file of your own; None takes ssh's."""
    SFTPLibrary: Literal["pysftp"] | None
    """Who speaks SFTP: None is the client of this package, 'pysftp' the old library of that name (extra
    pysubtask[pysftp]), which is slower and reads no configuration of ssh."""
    SSHProgram: str
    """The ssh program; where it is missing, asyncssh is used instead if installed."""
    SSHConfigFile: str | None
    """ssh's configuration file; 'none' reads none at all."""
    KeepAliveSecs: int
    """ssh asks the server for a sign of life this often. Unit: seconds."""
    KeepAliveCount: int
    """Missed signs of life after which ssh gives up. Unit: signs."""
    UseTLS: Literal["explicit", "implicit"] | None
    """FTP only: 'explicit' asks for TLS at the server's usual port, 'implicit' speaks it from the start; None sends
    password and data in the clear."""
    CAFile: str | None
    """FTPS only: file of the certificates (PEM) that may vouch for the server's; None takes the system's."""
    TLSFingerprint: str | None
    """FTPS only: SHA-256 fingerprint of the server's own certificate, for one that nobody vouches for ('openssl x509
    -noout -fingerprint -sha256' shows it); nothing else of it is looked at then."""
    PassiveMode: bool
    """FTP only: True connects to the server for data, too, and has it connect to here where it gives no port for that;
    False has the server connect to here."""
    Connections: int
    """FTP only: how many to open side by side, each for one file; fewer where the server takes no more. Unit:
    connections."""
    StoreInPlace: bool
    """For servers that cannot rename, or take no temporary files: stores under the final name at once, so a reader may
    find half a file, and a cut upload leaves one."""
    AtomicAppend: bool
    """False lets a file that only grew grow on the server, too: what it lacks is appended in place, and a reader finds
    a true beginning of it at any moment."""
    RemoteLinks: Literal["follow", "replace"]
    """What is done where a name on the server is a symbolic link: 'follow' keeps the link and writes the file it points
    to, beside which the temporary name stands then; 'replace' puts a file in the link's place."""
    VerifyChecksum: Literal["size", "auto", "always", "shell", "required"]
    """How an upload is verified, besides by its size: 'auto' by a hash where the server offers one (SFTP: check-file;
    FTP: HASH, XSHA256 and the like), but not after an append, as the server has to read the whole file for it; 'always'
    after an append, too; 'shell' (SFTP by ssh) with sha256sum, run on the server in a second login, where it offers
    none; 'required' delivers nothing without a hash; 'size' asks for none."""
    ServerSync: bool
    """SFTP only: True has the server write each file to its disk before its name shows it, where it can
    (fsync@openssh.com), so that a delivered file survives a power cut of the server."""
    DeltaTransfer: bool
    """SFTP only, where the server can copy by itself (OpenSSH 9.0 or later): True sends of a file of 256 KiB or more
    only what changed, wherever that is, and reads each version once more for it; best with the extra pysubtask[delta]."""
    DeadTimeMilli: float
    """No notify for this long closes the connection; the next one opens it again. Unit: milliseconds."""
    UseDropbox: bool | None
    """Switches this destination on or off in a TaskMaster; None means: on when RefreshToken, RefreshTokenFile or
    AccessToken is set."""
    AppKey: str
    """App key of your Dropbox app; RefreshToken and RefreshTokenFile need it."""
    RefreshToken: str | None
    """What 'python -m pysubtask.dropbox --login' prints: it stands for your consent until you withdraw it."""
    RefreshTokenFile: str | None
    """File with the refresh token in it that only you may read, as '--login --store FILE' makes it."""
    AccessToken: str | None
    """Access token of the Dropbox app; those given out today end after four hours."""
    ChunkBytes: int
    """A file above this goes up in pieces of at most so much, and a cut costs one piece; on a bad link pieces get
    smaller. Unit: bytes."""
    Proxy: str | None
    """'http://host:port' goes through this proxy, '' through none; None does what the environment says (HTTPS_PROXY,
    NO_PROXY)."""
    Command: str | list[str] | None
    """A program of your own that is run when something goes wrong, and when it is over: a list of the program and its
    arguments, or one text, split as a shell does but run without one."""
    SilentSecs: float
    """A task is silent when a file waits to be sent and none was delivered for so long, or when its child is dead,
    stopped by a signal, hanging or unable to work for so long. Unit: seconds."""
    SettleSecs: float
    """How long a condition lasts before it is reported, and how long it has been over before that is; the latter four
    times as long with each return within a day, so that one that comes and goes alerts a few times and not all day.
    Unit: seconds."""
    RepeatSecs: float
    """A condition that lasts is reported again this often. Unit: seconds."""
    TimeoutSecs: float
    """How long the program may take; it is ended then, with all that it has started. Unit: seconds."""
