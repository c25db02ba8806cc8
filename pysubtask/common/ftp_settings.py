"""The settings of section ``ftp``, the destination by SFTP, FTP or FTPS: a row for each, with default, unit, meaning and range."""

from __future__ import annotations

from .config import Setting

_DAY = 86400

ROWS = (
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
        "ServerSync",
        True,
        "",
        "SFTP only: True has the server write each file to its disk before its name shows it, where it can "
        "(fsync@openssh.com), so that a delivered file survives a power cut of the server. False is faster on a server "
        "with slow disks and gives that up: after such a cut the server may have lost, emptied or cut short the files "
        "delivered in the last half minute or so, of which this side believes that they arrived.",
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
