"""What kind of file system a path lies on."""

from __future__ import annotations

import re

from ..common.place import real_path

_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "orangefs", "davfs"}
    | {"virtiofs", "vboxsf", "vmhgfs", "prl_fs", "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"}
    | {"fuse.curlftpfs", "fuse.davfs", "fuse.vmhgfs-fuse"}
)


def filesystem_of(path: str, table: str = "/proc/self/mountinfo") -> str:
    """The kernel's name for the file system under a path (``ext4``, ``nfs4``); empty where it cannot be told.

    The format of ``table`` is that of proc(5).
    """
    found, length = "", -1
    real = real_path(path)
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                fields = line.split(" ")
                mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
                # Of two mounts on one folder the later one is on top.
                if len(mount) >= length and (real == mount or real.startswith(mount.rstrip("/") + "/")):
                    found, length = fields[fields.index("-") + 1], len(mount)
    except (OSError, ValueError, IndexError):
        return ""
    return found


def on_network(path: str) -> bool:
    """Whether a path lies on a file system that others can change behind this kernel's back."""
    return filesystem_of(path) in _REMOTE
