"""What each setting takes, for type checkers. Made from ``defaults_config`` by ``python -m tests.make_settings_types``.

For a config that is made of dicts: ``ftp: FTPSettings = {'Host': 'files.example.org'}``. Every setting of ``base`` may
also stand in ``ftp`` and ``dropbox``. What each one means is in docs/config.md. No app loads this unless it asks for it.
"""

from typing import Literal, TypedDict


class BaseSettings(TypedDict, total=False):
    """Section ``base``: every child."""

    TaskName: str
    RunAs: str | None
    StatusGroup: str | None
    SubtaskDescription: str
    TimerIntervalSecs: float
    BakToFolder: str | None
    StateFolder: str | None
    MinFreeBytes: int
    ArchiveToFolder: str | None
    ArchiveAfterDaysOld: int
    MakeFolders: bool
    RequiresMount: str | None
    Master_Log_FileName: str | None
    Subtask_Log_FileName: str | None
    LogLevel: Literal["debug", "info", "warning", "error"]
    LogFormat: Literal["text", "json"]
    LogMaxBytes: int
    LogKeep: int
    HeartbeatIntervalSecs: float
    HeartbeatName: str | None
    HeartbeatStatus: bool
    RetryCount: int
    RetryWaitSecs: float
    RetryLongWaitSecs: float
    ParkedRetrySecs: float
    ConnectTimeoutSecs: float
    StallSecs: float
    LoginsPerMinute: int
    Concurrency: int
    RateLimit: float
    StopWaitSecs: float
    OrphanLingerSecs: float


class BurstSettings(TypedDict, total=False):
    """Section ``burst_mode``: when the master holds notifies back."""

    start_trigger_milli: float
    start_trigger_count: int
    start_trigger_bytes: int | None
    start_trigger_mode: Literal["count", "bytes", "either"]
    expire_milli: float


class FTPSettings(BaseSettings, total=False):
    """Section ``ftp``: SFTP, FTP and FTPS; also all of ``base``."""

    UseFTP: bool | None
    UseSFTP: bool
    Host: str
    HostPort: int
    HostPath: str
    HostSFTPPath: str | None
    HostFTPPath: str | None
    User: str
    Password: str | None
    KeyFile: str | None
    HostKey: str | None
    HostKeyPolicy: Literal["strict", "accept-new"]
    KnownHostsFile: str | None
    SFTPLibrary: Literal["pysftp"] | None
    SSHProgram: str
    SSHConfigFile: str | None
    KeepAliveSecs: int
    KeepAliveCount: int
    UseTLS: Literal["explicit", "implicit"] | None
    CAFile: str | None
    TLSFingerprint: str | None
    PassiveMode: bool
    Connections: int
    StoreInPlace: bool
    AtomicAppend: bool
    RemoteLinks: Literal["follow", "replace"]
    VerifyChecksum: Literal["size", "auto", "always", "shell", "required"]
    DeltaTransfer: bool
    DeadTimeMilli: float


class DropboxSettings(BaseSettings, total=False):
    """Section ``dropbox``; also all of ``base``."""

    UseDropbox: bool | None
    AppKey: str
    RefreshToken: str | None
    RefreshTokenFile: str | None
    AccessToken: str | None
    HostPath: str
    ChunkBytes: int
    Connections: int
    Proxy: str | None
    CAFile: str | None
    DeadTimeMilli: float


class AlertSettings(TypedDict, total=False):
    """Section ``alerts``: the program that is run when a task is held, has parked files, lacks disk or is silent."""

    Command: str | list[str] | None
    SilentSecs: float
    SettleSecs: float
    RepeatSecs: float
    TimeoutSecs: float


class LiveSettings(TypedDict, total=False):
    """What a running child takes anew: ``master.set(RateLimit=50_000)``."""

    TimerIntervalSecs: float
    MinFreeBytes: int
    LogLevel: Literal["debug", "info", "warning", "error"]
    HeartbeatIntervalSecs: float
    RetryCount: int
    RetryWaitSecs: float
    RetryLongWaitSecs: float
    ParkedRetrySecs: float
    LoginsPerMinute: int
    Concurrency: int
    RateLimit: float
    DeadTimeMilli: float


class AnySettings(TypedDict, total=False):
    """Every setting of any section: what ``Section(...)`` takes."""

    TaskName: str
    RunAs: str | None
    StatusGroup: str | None
    SubtaskDescription: str
    TimerIntervalSecs: float
    BakToFolder: str | None
    StateFolder: str | None
    MinFreeBytes: int
    ArchiveToFolder: str | None
    ArchiveAfterDaysOld: int
    MakeFolders: bool
    RequiresMount: str | None
    Master_Log_FileName: str | None
    Subtask_Log_FileName: str | None
    LogLevel: Literal["debug", "info", "warning", "error"]
    LogFormat: Literal["text", "json"]
    LogMaxBytes: int
    LogKeep: int
    HeartbeatIntervalSecs: float
    HeartbeatName: str | None
    HeartbeatStatus: bool
    RetryCount: int
    RetryWaitSecs: float
    RetryLongWaitSecs: float
    ParkedRetrySecs: float
    ConnectTimeoutSecs: float
    StallSecs: float
    LoginsPerMinute: int
    Concurrency: int
    RateLimit: float
    StopWaitSecs: float
    OrphanLingerSecs: float
    start_trigger_milli: float
    start_trigger_count: int
    start_trigger_bytes: int | None
    start_trigger_mode: Literal["count", "bytes", "either"]
    expire_milli: float
    UseFTP: bool | None
    UseSFTP: bool
    Host: str
    HostPort: int
    HostPath: str
    HostSFTPPath: str | None
    HostFTPPath: str | None
    User: str
    Password: str | None
    KeyFile: str | None
    HostKey: str | None
    HostKeyPolicy: Literal["strict", "accept-new"]
    KnownHostsFile: str | None
    SFTPLibrary: Literal["pysftp"] | None
    SSHProgram: str
    SSHConfigFile: str | None
    KeepAliveSecs: int
    KeepAliveCount: int
    UseTLS: Literal["explicit", "implicit"] | None
    CAFile: str | None
    TLSFingerprint: str | None
    PassiveMode: bool
    Connections: int
    StoreInPlace: bool
    AtomicAppend: bool
    RemoteLinks: Literal["follow", "replace"]
    VerifyChecksum: Literal["size", "auto", "always", "shell", "required"]
    DeltaTransfer: bool
    DeadTimeMilli: float
    UseDropbox: bool | None
    AppKey: str
    RefreshToken: str | None
    RefreshTokenFile: str | None
    AccessToken: str | None
    ChunkBytes: int
    Proxy: str | None
    Command: str | list[str] | None
    SilentSecs: float
    SettleSecs: float
    RepeatSecs: float
    TimeoutSecs: float


class SectionAttributes:
    """The attributes of a ``Section``, for type checkers alone."""

    TaskName: str
    RunAs: str | None
    StatusGroup: str | None
    SubtaskDescription: str
    TimerIntervalSecs: float
    BakToFolder: str | None
    StateFolder: str | None
    MinFreeBytes: int
    ArchiveToFolder: str | None
    ArchiveAfterDaysOld: int
    MakeFolders: bool
    RequiresMount: str | None
    Master_Log_FileName: str | None
    Subtask_Log_FileName: str | None
    LogLevel: Literal["debug", "info", "warning", "error"]
    LogFormat: Literal["text", "json"]
    LogMaxBytes: int
    LogKeep: int
    HeartbeatIntervalSecs: float
    HeartbeatName: str | None
    HeartbeatStatus: bool
    RetryCount: int
    RetryWaitSecs: float
    RetryLongWaitSecs: float
    ParkedRetrySecs: float
    ConnectTimeoutSecs: float
    StallSecs: float
    LoginsPerMinute: int
    Concurrency: int
    RateLimit: float
    StopWaitSecs: float
    OrphanLingerSecs: float
    start_trigger_milli: float
    start_trigger_count: int
    start_trigger_bytes: int | None
    start_trigger_mode: Literal["count", "bytes", "either"]
    expire_milli: float
    UseFTP: bool | None
    UseSFTP: bool
    Host: str
    HostPort: int
    HostPath: str
    HostSFTPPath: str | None
    HostFTPPath: str | None
    User: str
    Password: str | None
    KeyFile: str | None
    HostKey: str | None
    HostKeyPolicy: Literal["strict", "accept-new"]
    KnownHostsFile: str | None
    SFTPLibrary: Literal["pysftp"] | None
    SSHProgram: str
    SSHConfigFile: str | None
    KeepAliveSecs: int
    KeepAliveCount: int
    UseTLS: Literal["explicit", "implicit"] | None
    CAFile: str | None
    TLSFingerprint: str | None
    PassiveMode: bool
    Connections: int
    StoreInPlace: bool
    AtomicAppend: bool
    RemoteLinks: Literal["follow", "replace"]
    VerifyChecksum: Literal["size", "auto", "always", "shell", "required"]
    DeltaTransfer: bool
    DeadTimeMilli: float
    UseDropbox: bool | None
    AppKey: str
    RefreshToken: str | None
    RefreshTokenFile: str | None
    AccessToken: str | None
    ChunkBytes: int
    Proxy: str | None
    Command: str | list[str] | None
    SilentSecs: float
    SettleSecs: float
    RepeatSecs: float
    TimeoutSecs: float
