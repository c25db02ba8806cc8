"""The command lines of the peers: a file, or a folder of files, to a place on the server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .bench import Bench, Place
from .where import version_of

IN_PLACE = "in place"
RENAMED = "temp, rename"

TUNED = (
    "--sftp-concurrency",
    "64",
    "--sftp-chunk-size",
    "255Ki",
    "--sftp-disable-hashcheck",
    "--ignore-checksum",
    "--no-check-dest",
)


class Peer(NamedTuple):
    """``name``: of the row. ``program``: must be installed. ``publish``: what a reader of the remote name sees meanwhile.
    ``argv``: makes the command line for a source and a place on the server, and what it needs, before the clock runs."""

    name: str
    program: str
    publish: str
    argv: Callable[[Bench, Path, Place], list[str]]


def _ssh(bench: Bench) -> str:
    return f"ssh -F '{bench.ssh_config}'"


def sftp(bench: Bench, batch: str) -> list[str]:
    """OpenSSH sftp with a batch of commands."""
    path = bench.fresh("batch")
    path.write_text(batch)
    return ["sftp", "-q", "-F", str(bench.ssh_config), "-b", str(path), "bench"]


def rclone(verb: str, source: Path, target: str, *more: str) -> list[str]:
    """The remote ``bench:`` is described in the environment."""
    return ["rclone", verb, *more, str(source), f"bench:{target}"]


def rsync(bench: Bench, source: str, target: Path, *more: str) -> list[str]:
    return ["rsync", *more, "-e", _ssh(bench), source, f"bench:{target}"]


def lftp(bench: Bench, *commands: str) -> list[str]:
    """lftp asks for no password where one is given, if an empty one; by itself it would try again for ever."""
    connect = f'set sftp:connect-program "ssh -a -x -F {bench.ssh_config}"'
    login = f"open -u {bench.server.user}, sftp://bench"
    return ["lftp", "-c", "; ".join(["set cmd:fail-exit yes", "set net:max-retries 1", connect, login, *commands])]


def lsyncd(bench: Bench, source: Path, target: Path, *, delay: int | None = None, whole: bool = False) -> list[str]:
    """lsyncd on a folder, with its configuration. ``delay``: seconds (None: its own); ``whole``: rsync sends whole files."""
    config, log = bench.fresh("lsyncd"), bench.fresh("lsyncd-log")
    after = "" if delay is None else f" delay = {delay},"
    manner = "whole_file = true, " if whole else ""
    config.write_text(
        f'settings {{ nodaemon = true, logfile = "{log}" }}\n'
        f'sync {{ default.rsync, source = "{source}", target = "bench:{target}",{after}\n'
        f'  rsync = {{ archive = true, {manner}rsh = "ssh -F {bench.ssh_config}" }} }}\n'
    )
    return ["lsyncd", "-nodaemon", str(config)]


def rclone_publish() -> str:
    """It writes in place before 1.63."""
    return RENAMED if version_of("rclone") >= (1, 63) else IN_PLACE


def file_peers() -> list[Peer]:
    """One big file."""
    return [
        Peer("OpenSSH sftp", "sftp", IN_PLACE, lambda b, s, p: sftp(b, f'put "{s}" "{p.name}/{s.name}"\n')),
        Peer("OpenSSH sftp -f (fsync)", "sftp", IN_PLACE, lambda b, s, p: sftp(b, f'put -f "{s}" "{p.name}/{s.name}"\n')),
        Peer("rclone copyto, default", "rclone", rclone_publish(), lambda b, s, p: rclone("copyto", s, f"{p.name}/{s.name}")),
        Peer("rclone copyto, tuned", "rclone", rclone_publish(), lambda b, s, p: rclone("copyto", s, f"{p.name}/{s.name}", *TUNED)),
        Peer("rsync -W", "rsync", RENAMED, lambda b, s, p: rsync(b, str(s), p.path / s.name, "-tW")),
        Peer("lftp put", "lftp", IN_PLACE, lambda b, s, p: lftp(b, f'put "{s}" -o "{p.name}/{s.name}"')),
        Peer(
            "paramiko put (what pysftp does)",
            "paramiko",
            IN_PLACE,
            lambda b, s, p: [sys.executable, "-m", "benchmarks.with_paramiko", str(s), f"{p.name}/{s.name}"],
        ),
    ]


def _sftp_batch(bench: Bench, source: Path, place: Place) -> list[str]:
    lines = []
    for path in sorted(source.iterdir()):
        lines.append(f'put "{path}" "{place.name}/.{path.name}.part"\n')
        lines.append(f'rename "{place.name}/.{path.name}.part" "{place.name}/{path.name}"\n')
    return sftp(bench, "".join(lines))


def _rclone_tuned(number: int) -> Peer:
    """Each transfer has a login of its own, which more of them must earn first."""
    more = (*TUNED, "--transfers", str(number), "--checkers", str(number))
    name = f"rclone copy, tuned, {number} transfers"
    return Peer(name, "rclone", rclone_publish(), lambda b, s, p: rclone("copy", s, p.name, *more))


def folder_peers() -> list[Peer]:
    """Many small files."""
    return [
        Peer("OpenSSH sftp -b, put + rename", "sftp", RENAMED, _sftp_batch),
        Peer("rclone copy, default", "rclone", rclone_publish(), lambda b, s, p: rclone("copy", s, p.name)),
        *(_rclone_tuned(number) for number in (8, 16)),
        Peer("rsync -rt", "rsync", RENAMED, lambda b, s, p: rsync(b, f"{s}/", p.path, "-rt")),
        Peer("rsync -rt --fsync", "rsync", RENAMED, lambda b, s, p: rsync(b, f"{s}/", p.path, "-rt", "--fsync")),
        Peer("lftp mirror -R", "lftp", IN_PLACE, lambda b, s, p: lftp(b, f'mirror -R "{s}" "{p.name}"')),
        Peer("lftp mirror -R -P 4", "lftp", IN_PLACE, lambda b, s, p: lftp(b, f'mirror -R -P 4 "{s}" "{p.name}"')),
    ]


def edit_peers(grows: bool) -> list[Peer]:
    """A big file of which the server has an older version; ``grows``: bytes were appended and nothing else happened."""
    appending = [
        Peer("rsync --append", "rsync", IN_PLACE, lambda b, s, p: rsync(b, str(s), p.path / s.name, "-t", "--append")),
        Peer("lftp put -c", "lftp", IN_PLACE, lambda b, s, p: lftp(b, f'put -c "{s}" -o "{p.name}/{s.name}"')),
    ]
    return [
        *(appending if grows else []),
        Peer("rsync, default (delta)", "rsync", RENAMED, lambda b, s, p: rsync(b, str(s), p.path / s.name, "-t")),
        Peer("rsync --inplace", "rsync", IN_PLACE, lambda b, s, p: rsync(b, str(s), p.path / s.name, "-t", "--inplace")),
        Peer("rclone copyto, default", "rclone", rclone_publish(), lambda b, s, p: rclone("copyto", s, f"{p.name}/{s.name}")),
        Peer("rclone copyto, tuned", "rclone", rclone_publish(), lambda b, s, p: rclone("copyto", s, f"{p.name}/{s.name}", *TUNED)),
    ]
