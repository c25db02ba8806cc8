"""A big file that changes a little: bytes on the wire and time until the server has it, ours beside rsync, rclone and lftp.

In one round everybody reaches a real sshd through a relay that counts the bytes of both ways outside the programs; in all others
directly, and these are timed: a relay acknowledges what it takes in its own time, which is not the server's. Ours is an app
with its child, from notify to sight: warm with the connection up, cold with the login to come first. The peers are programs
from start to end, as they are. Each copy on the server is compared with the source afterwards.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pysubtask.common.errors import ConfigError

from .bench import (
    Bench,
    Failed,
    chosen,
    installed,
    main,
    not_installed,
    options,
    ordered,
    progress,
    removed,
    wait_until,
    write_random,
)
from .our_app import our_app
from .peers import IN_PLACE, RENAMED, Peer, edit_peers
from .table import Column, Table, median, ratio

_MB = 1 << 20
_SAMPLE = 4096
_QUIET_SECS = 0.3
_LIMIT_SECS = 120.0
_DEAD_MILLI = 200
_PAUSE_SECS = 2.5


class Edit(NamedTuple):
    """``make`` turns the file of a path into its new version and tells where the new bytes begin; ``size`` of them."""

    name: str
    size: Callable[[int], int]
    make: Callable[[Path, bytes], int]
    grows: bool


def _append(path: Path, piece: bytes) -> int:
    with open(path, "ab") as file:
        file.write(piece)
        return file.tell() - len(piece)


def _change(path: Path, piece: bytes) -> int:
    with open(path, "r+b") as file:
        at = file.seek(os.path.getsize(path) // 2)
        file.write(piece)
    return at


def _insert(path: Path, piece: bytes) -> int:
    fresh = path.with_name(f".{path.name}.new")
    with open(fresh, "wb") as target, open(path, "rb") as source:
        target.write(piece)
        shutil.copyfileobj(source, target, _MB)
    os.replace(fresh, path)
    return 0


_EDITS = (
    Edit("64 KB appended", lambda size: 64 * 1024, _append, True),
    # Of a small file (--quick) less.
    Edit("1 MB changed in the middle", lambda size: min(_MB, size // 8), _change, False),
    Edit("1 MB inserted in front", lambda size: min(_MB, size // 8), _insert, False),
)

# A file that has just been delivered whole was no growing file before. To the peers it is all one.
_FIRST = Edit("64 KB appended, the first time", lambda size: 64 * 1024, _append, True)


class _Ours(NamedTuple):
    """A variant to run our app: connection up or not, more keys of the entry, more settings."""

    warm: bool
    entry: dict[str, Any]
    ftp: dict[str, Any]


_OURS = {
    "pysubtask, warm": _Ours(True, {}, {}),
    "pysubtask, cold": _Ours(False, {}, {}),
    "pysubtask, 'append': True, warm": _Ours(True, {"append": True}, {}),
    "pysubtask, 'append': True, cold": _Ours(False, {"append": True}, {}),
    "pysubtask, AtomicAppend, cold": _Ours(False, {}, {"AtomicAppend": True}),
}
_YARDSTICK = "pysubtask, cold"


class _Took(NamedTuple):
    """Of a round with the relay the bytes, of one without the seconds."""

    secs: float | None
    up: int | None
    down: int | None


def _took(bench: Bench, secs: float, counted: tuple[int, int]) -> _Took:
    return _Took(secs, None, None) if bench.relay is None else _Took(None, *counted)


def _shows(remote: Path, size: int, at: int, piece: bytes) -> bool:
    """Whether the server has the new version: its size, and both ends of what is new."""
    try:
        with open(remote, "rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            for offset in (0, len(piece) - _SAMPLE):
                file.seek(at + offset)
                if file.read(_SAMPLE) != piece[offset : offset + _SAMPLE]:
                    return False
    except FileNotFoundError:
        return False
    return True


class _Meter:
    """The relay's counters since it was made; zeros where there is none."""

    def __init__(self, bench: Bench) -> None:
        self._relay = bench.relay
        self._up, self._down = self._now()

    def _now(self) -> tuple[int, int]:
        return (0, 0) if self._relay is None else (self._relay.up, self._relay.down)

    def read(self) -> tuple[int, int]:
        up, down = self._now()
        return up - self._up, down - self._down

    def settle(self) -> tuple[int, int]:
        """When nothing more passes: what the last acknowledgements took belongs to it."""
        last = self.read()
        while True:
            time.sleep(_QUIET_SECS)
            if (now := self.read()) == last:
                return now
            last = now


def _check(source: Path, remote: Path) -> None:
    if not filecmp.cmp(source, remote, shallow=False):
        raise Failed("the copy differs")


def _measure_ours(bench: Bench, variant: _Ours, old: Path, edits: list[tuple[Edit, bytes]], pause: float) -> dict[str, _Took]:
    """All edits one after the other, as one app makes them."""
    folder, place = bench.fresh("data"), bench.place()
    folder.mkdir()
    source, remote = folder / old.name, place.path / old.name
    took: dict[str, _Took] = {}
    settings = variant.ftp if variant.warm else {"DeadTimeMilli": _DEAD_MILLI, **variant.ftp}
    with removed(folder, place.path), our_app(bench, place, folder, [{"file": str(source), **variant.entry}], **settings) as master:

        def arrived(size: int, at: int, piece: bytes) -> bool:
            master.check_pending_notifications()
            return _shows(remote, size, at, piece)

        shutil.copy(old, source)
        master.notify_file_by_index(0)
        first = old.read_bytes()[:_SAMPLE]
        wait_until(lambda: arrived(old.stat().st_size, 0, first), _LIMIT_SECS, "the first version on the server")
        for edit, piece in [(_FIRST, os.urandom(_FIRST.size(0))), *edits]:
            _Meter(bench).settle()
            # The clock of the file system is coarse: what is younger than two seconds is looked at again.
            time.sleep(pause)
            if not variant.warm:
                wait_until(lambda: not bench.server.session_pids(), _LIMIT_SECS, "the connection is closed", 0.05)
            at = edit.make(source, piece)
            size = source.stat().st_size
            meter, begun = _Meter(bench), time.perf_counter()
            master.notify_file_by_index(0)
            wait_until(
                lambda size=size, at=at, piece=piece: arrived(size, at, piece),  # type: ignore[misc]
                _LIMIT_SECS,
                f"{edit.name}: on the server",
                0.001,
            )
            secs = time.perf_counter() - begun
            took[edit.name] = _took(bench, secs, meter.settle())
            _check(source, remote)
    return took


def _measure_peer(bench: Bench, peer: Peer, old: Path, new: Path) -> _Took:
    place = bench.place()
    with removed(place.path):
        shutil.copy2(old, place.path / new.name)
        argv = peer.argv(bench, new, place)
        meter = _Meter(bench)
        run = bench.run(argv)
        up, down = meter.settle()
        _check(new, place.path / new.name)
    return _took(bench, run.secs, (up, down))


def benchmark(bench: Bench, args: argparse.Namespace) -> Table:
    """Measure and compare."""
    megabytes = args.mb or (4 if args.quick else 200)
    rounds = args.rounds or (1 if args.quick else 5)
    peers = {edit.name: {peer.name: peer for peer in edit_peers(edit.grows)} for edit in _EDITS}
    took: dict[tuple[str, str], list[_Took]] = {}
    problems: dict[tuple[str, str], str] = {}
    for edit in _EDITS:
        ours = [name for name in _OURS if edit.grows or not _OURS[name].entry]
        for name in chosen([*ours, *peers[edit.name]], args.only):
            took[edit.name, name] = []
            peer = peers[edit.name].get(name)
            if peer is not None and not installed(peer.program):
                problems[edit.name, name] = not_installed(peer.program)
    for name in chosen(list(_OURS), args.only):
        took[_FIRST.name, name] = []
    near = bench.root / "direct"
    near.mkdir()
    direct = Bench(near, bench.server, args.cipher)
    for number in range(rounds + 1):
        old = bench.fresh("old") / "data.bin"
        old.parent.mkdir()
        write_random(old, megabytes)
        pieces = [(edit, os.urandom(edit.size(megabytes * _MB))) for edit in _EDITS]
        with removed(old.parent):
            # The first one brings the programs into memory, too.
            _round(direct if number else bench, old, pieces, peers, took, problems, number, 0 if args.quick else _PAUSE_SECS)
        progress(f"round {number} of {rounds}" if number else "bytes counted")
    direct.end_all()
    columns = [
        Column("name", f"{megabytes} MB, medians of {rounds}"),
        Column("up_kb", "sent KB", ",.0f"),
        Column("per_new", "sent per new byte", ",.3f"),
        Column("down_kb", "back KB", ",.0f"),
        Column("secs", "s", ".2f"),
        Column("worst", "worst s", ".2f"),
        Column("ratio", "x ours cold", ".2f"),
        Column("publish", "publishes"),
    ]
    notes = [
        f"KB is 1024 bytes, MB 1024 KB; cipher {args.cipher} for all; bytes of TCP's streams, with ssh's login where there is one.",
        "pysubtask: from notify to sight on the server, app and child running; cold: the connection was closed before.",
        "'the first time': after the file was delivered whole, before anything was appended to it.",
        "peers: from the program's start to its end. Bytes: of one round, through a relay. Seconds: of the others, without it.",
        f"'{RENAMED}' shows no reader a part of a version; '{IN_PLACE}' does, where only bytes were appended a true beginning.",
        "rsync --append and lftp put -c trust that what is there is the old version; each copy was compared afterwards.",
    ]
    return Table("append", columns, _rows(took, problems, peers, megabytes), notes)


def _round(
    bench: Bench,
    old: Path,
    pieces: list[tuple[Edit, bytes]],
    peers: dict[str, dict[str, Peer]],
    took: dict[tuple[str, str], list[_Took]],
    problems: dict[tuple[str, str], str],
    number: int,
    pause: float,
) -> None:
    for name in ordered(list(_OURS), number):
        measurable = [(edit, piece) for edit, piece in pieces if (edit.name, name) in took and (edit.name, name) not in problems]
        if not measurable:
            continue
        try:
            for edit_name, one in _measure_ours(bench, _OURS[name], old, measurable, pause).items():
                took[edit_name, name].append(one)
        except (Failed, OSError, ConfigError) as exc:
            for edit, _ in measurable:
                problems[edit.name, name] = f"failed: {exc}"
    for edit, piece in pieces:
        new = bench.fresh("new") / old.name
        new.parent.mkdir()
        with removed(new.parent):
            shutil.copy2(old, new)
            edit.make(new, piece)
            for name in ordered(list(peers[edit.name]), number):
                key = (edit.name, name)
                if key not in took or key in problems:
                    continue
                try:
                    took[key].append(_measure_peer(bench, peers[edit.name][name], old, new))
                except (Failed, OSError) as exc:
                    problems[key] = f"failed: {exc}"


def _rows(
    took: dict[tuple[str, str], list[_Took]],
    problems: dict[tuple[str, str], str],
    peers: dict[str, dict[str, Peer]],
    megabytes: int,
) -> list[dict[str, Any]]:
    rows = []
    new_bytes = {edit.name: edit.size(megabytes * _MB) for edit in (*_EDITS, _FIRST)}
    for (edit, name), each in took.items():
        up, secs, down = (_median(each, which) for which in ("up", "secs", "down"))
        yardstick = _median(took.get((edit, _YARDSTICK), []), "secs")
        rows.append(
            {
                "name": f"{edit}: {name}",
                "up_kb": up / 1024 if up is not None else None,
                "per_new": ratio(up, new_bytes[edit]),
                "down_kb": down / 1024 if down is not None else None,
                "secs": secs,
                "ratio": ratio(secs, yardstick),
                "worst": max((one.secs for one in each if one.secs is not None), default=None),
                "publish": peers[edit][name].publish if name in peers.get(edit, {}) else _publish(edit, name),
                "all": [one._asdict() for one in each],
                "problem": problems.get((edit, name)),
            }
        )
    return rows


def _median(each: list[_Took], which: str) -> float | None:
    return median([value for one in each if (value := getattr(one, which)) is not None])


def _publish(edit: str, name: str) -> str:
    return IN_PLACE if edit in (_EDITS[0].name, _FIRST.name) and "Atomic" not in name else RENAMED


if __name__ == "__main__":
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, help="size of the file in MB (default: 200)")
    sys.exit(main(benchmark, parser.parse_args(), "relay"))
