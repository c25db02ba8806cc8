"""The kind of the file system that a path is on."""

from __future__ import annotations

from ...common.mount_table import TABLE, mount_of

_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "orangefs", "davfs"}
    | {"virtiofs", "vboxsf", "vmhgfs", "prl_fs", "fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"}
    | {"fuse.curlftpfs", "fuse.davfs", "fuse.vmhgfs-fuse"}
)

_FROM_BELOW = frozenset({"fakeowner", "osxfs", "drvfs", "wslfs"})
"""File systems by which virtual machines share folders of their host."""


def filesystem_of(path: str, table: str = TABLE) -> str:
    """The kernel's name for the file system under a path (``ext4``, ``nfs4``); empty where it cannot be told.

    The format of ``table`` is that of proc(5).
    """
    found = mount_of(path, table)
    return "" if found is None else found.kind


def on_network(path: str) -> bool:
    """Whether a path lies on a file system that others can change behind this kernel's back."""
    return filesystem_of(path) in _REMOTE


def misses_events(path: str) -> str:
    """Why changes below a path may come without file events, in words; '' where each change has one.

    A file system that a program serves (FUSE: bindfs, sshfs, mergerfs and others) shows changes made below it without any event.
    One that such a program keeps on a disk of its own (``fuseblk``: NTFS, exFAT) is changed by this kernel alone.
    """
    kind = filesystem_of(path)
    if kind in _REMOTE:
        return "on a network file system, where changes by others make no events"
    if kind == "fuse" or kind.startswith("fuse.") or kind in _FROM_BELOW:
        return f"on a file system ({kind}) that may be changed another way, of which no events tell"
    return ""
