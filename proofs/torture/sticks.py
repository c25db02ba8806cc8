"""A disk of its own that can be pulled, put back, and made read-only: an image with a file system on a loop device. Needs root."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .catalogue import NotHere

_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN (linux/fs.h): who has a file of it open gets EIO from now on, as when a stick is drawn out."""
_NO_FLUSH = 2


class Stick:
    """``folder``: where the stick is mounted. Each time it is put back it is another device, as for a stick that is plugged in
    again."""

    def __init__(self, folder: Path, image: Path, size: int) -> None:
        self.folder, self._image = folder, image
        self._devices: list[str] = []
        with open(image, "wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        self.put_back()

    def pull(self) -> None:
        """Pull the stick: the bytes written until now are on it."""
        if sys.platform == "win32":
            raise NotImplementedError
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            _run("sync", "-f", str(self.folder))
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NO_FLUSH))
        finally:
            os.close(handle)
        self.away()

    def away(self) -> None:
        """Unmount the stick, even while files on it are open."""
        _run("umount", "-l", str(self.folder))

    def put_back(self, options: str = "rw", *, checked: bool = False) -> None:
        """Mount the stick, by another device than before; ``checked``: after the repair that a disk with an error needs."""
        device = _run("losetup", "--find", "--show", str(self._image)).strip()
        self._devices.append(device)
        if checked:
            subprocess.run(["e2fsck", "-p", "-f", device], capture_output=True, check=False, timeout=60)
        _run("mount", "-o", f"errors=remount-ro,{options}", device, str(self.folder))

    def writable(self) -> None:
        """Remount the stick, which was put back read-only, for writing."""
        _run("mount", "-o", "remount,rw", str(self.folder))

    def fail(self) -> None:
        """Have the file system meet an error, on which it becomes read-only (ext4(5), errors=remount-ro). NotHere where the
        kernel cannot do that."""
        path = f"/sys/fs/ext4/{os.path.basename(self._devices[-1])}/trigger_fs_error"
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write("torture\n")
        except OSError as exc:
            raise NotHere(f"this kernel makes no errors by order: {exc}") from exc

    def strangers(self, known: set[str]) -> list[str]:
        """Files in the folder, as it is now, that are not ``known``."""
        found = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir()]
        return sorted(name for name in found if name not in known)

    def close(self) -> None:
        """Unmount it and free its loop devices."""
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)
        for device in self._devices:
            subprocess.run(["losetup", "-d", device], capture_output=True, check=False)


@contextmanager
def stick(folder: Path, *, image: Path | None = None, size: int = 32 << 20) -> Iterator[Stick]:
    """A stick that is mounted at ``folder``, which is created; ``image``: the path of its image, by default beside that.
    NotHere, with the reason, where that cannot be."""
    if sys.platform == "win32":
        raise NotImplementedError
    if os.geteuid() != 0:
        raise NotHere("needs root (a file system is mounted)")
    folder.mkdir()
    try:
        built = Stick(folder, image or folder.with_suffix(".img"), size)
    except (OSError, subprocess.SubprocessError) as exc:
        raise NotHere(f"no file system can be mounted here: {exc}") from exc
    try:
        yield built
    finally:
        built.close()


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise subprocess.SubprocessError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
