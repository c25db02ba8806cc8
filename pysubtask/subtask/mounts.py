"""What kind of file system a path lies on."""

from __future__ import annotations

from ..common.mount_table import TABLE, mount_of

_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "orangefs", "davfs"}
    | {"virtiofs", "vboxsf", "vmhgfs", "prl_fs", "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"}
    | {"fuse.curlftpfs", "fuse.davfs", "fuse.vmhgfs-fuse"}
)


def filesystem_of(path: str, table: str = TABLE) -> str:
    """The kernel's name for the file system under a path (``ext4``, ``nfs4``); empty where it cannot be told.

    The format of ``table`` is that of proc(5).
    """
    found = mount_of(path, table)
    return "" if found is None else found.kind


def on_network(path: str) -> bool:
    """Whether a path lies on a file system that others can change behind this kernel's back."""
    return filesystem_of(path) in _REMOTE
