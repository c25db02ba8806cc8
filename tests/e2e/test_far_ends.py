"""Stations on servers with habits and limits: programs that take temporary files away, servers that allow less than usual, folders
that are made their own way, links, bans."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pysubtask.common.receipts import read_receipts
from pysubtask.control.config.toml_words import in_toml
from pysubtask.testing import Relay, quirk_sftp_server
from pysubtask.testing.servers import proftpd, sshd
from pysubtask.testing.servers.proftpd import proftpd_server
from pysubtask.testing.servers.sshd import openssh_server
from tests.support.helpers import wait_until
from tests.support.other_station import MakeStation, OtherStation, kinds, station, through
from tests.support.other_user import HIM, give_him, needs_root, open_folder
from tests.support.station import pause

__all__ = ["station"]


class Eater(threading.Thread):
    """A program on the server that takes every file away some time after it appears, temporary ones, too; ``deep``: in all folders.
    ``taken``: name and content."""

    def __init__(self, folder: Path, away: Path, *, deep: bool) -> None:
        super().__init__(daemon=True)
        self.folder, self.away, self.deep = folder, away, deep
        self.taken: list[tuple[str, bytes]] = []
        self._over = threading.Event()
        away.mkdir()

    def run(self) -> None:
        seen: dict[tuple[str, int], float] = {}
        while not self._over.wait(0.01):
            for path in list(self.folder.rglob("*") if self.deep else self.folder.iterdir()):
                with contextlib.suppress(OSError):
                    if not path.is_file():
                        continue
                    first = seen.setdefault((str(path), path.stat().st_ino), time.monotonic())
                    if time.monotonic() - first > 0.5:
                        place = self.away / str(len(self.taken))
                        path.rename(place)
                        self.taken.append((str(path.relative_to(self.folder)), place.read_bytes()))

    def contents(self, name: str) -> list[bytes]:
        return [data for taken, data in self.taken if taken == name]

    def __enter__(self) -> Eater:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join()


def doctor(one: OtherStation, **more: Any) -> list[dict[str, Any]]:
    """The findings of ``pysubtask doctor`` that are no praise."""
    config = one.root / "station.toml"
    lines = [f"{key} = {in_toml(value)}" for key, value in {**one.ftp, **more}.items() if value is not None]
    config.write_text("\n".join(["[ftp]", *lines, "[[watch]]", f'dir = "{one.data}"', ""]))
    config.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "pysubtask", "doctor", "--json", str(config)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return [row for rows in json.loads(done.stdout)["groups"].values() for row in rows if row["state"] in ("fail", "warn")]


@pytest.mark.slow
@kinds("openssh", "vsftpd")
def test_a_program_on_the_server_takes_temporary_files_too(tmp_path: Path, station: MakeStation, make: Any):
    """A file that is long on its way goes through a folder of its own; each arrives whole and once, at a bounded cost."""
    with make(tmp_path / "server") as server, Eater(server.files, tmp_path / "away", deep=False) as eater:
        one = station(server.files, {**server.settings(), "RateLimit": 300_000})
        big = os.urandom(600_000)
        one.write_whole("big.bin", big)
        for number in range(4):
            one.write_whole(f"small{number}.bin", b"%d" % number * 3_000)
        one.master.start()
        contents = {"big.bin": big, **{f"small{number}.bin": b"%d" % number * 3_000 for number in range(4)}}
        wait_until(lambda: all(eater.contents(name) for name in contents), 60, what="everything in the program's hands")
        wait_until(lambda: one.page()["queue"]["waiting"] == one.page()["queue"]["sending"] == 0, what="rest")
        assert {name: eater.contents(name) for name in contents} == {name: [data] for name, data in contents.items()}
        assert not one.reasons("parked")
        assert not one.reasons("connection_lost")
        [receipt] = [receipt for receipt in read_receipts(str(one.state)) if receipt.name == "big.bin"]
        assert receipt.bytes_sent <= 5 * len(big)
        after = os.urandom(600_000)
        one.write_whole("later.bin", after)
        wait_until(lambda: eater.contents("later.bin"), what="the next one")
        assert eater.contents("later.bin") == [after]
        wait_until(lambda: any(receipt.name == "later.bin" for receipt in read_receipts(str(one.state))), what="its receipt")
        [receipt] = [receipt for receipt in read_receipts(str(one.state)) if receipt.name == "later.bin"]
        assert receipt.bytes_sent <= 2 * len(after), "nothing was learned, or a trial of a better name went through all of them"
        wait_until(lambda: not one.left(), what="nothing of ours there")


@pytest.mark.slow
@kinds("openssh")
def test_a_program_that_accepts_anything_is_named(tmp_path: Path, station: MakeStation, make: Any):
    """Each kind of temporary name is tried once, then the file is parked with the setting that helps."""
    with make(tmp_path / "server") as server, Eater(server.files, tmp_path / "away", deep=True) as eater:
        one = station(server.files, {**server.settings(), "RateLimit": 400_000})
        one.write_whole("big.bin", os.urandom(400_000))
        one.master.start()
        wait_until(lambda: one.reasons("parked"), 60, what="the file parked")
        assert "went away" in one.reasons("parked")[0] and "StoreInPlace" in one.reasons("parked")[0]
        pause(3)
        assert sum(len(data) for _, data in eater.taken) <= 5 * 400_000
        assert not one.reasons("connection_lost")


@pytest.mark.slow
def test_a_server_that_puts_all_bytes_behind_the_end(tmp_path: Path, station: MakeStation, monkeypatch: pytest.MonkeyPatch):
    """Whatever place they are for: nothing wrong is ever under a name, and nothing is parked."""
    from pysubtask.testing.servers._quirk_sftp_session import QuirkFiles

    write = QuirkFiles.write
    monkeypatch.setattr(QuirkFiles, "write", lambda self, file, offset, data: write(self, file, file.seek(0, os.SEEK_END), data))
    with quirk_sftp_server(tmp_path / "server", user="pi") as server, Relay(server.host, server.port) as relay:
        one = station(Path(server.root), {**server.settings(), "Host": relay.host, "HostPort": relay.port})
        one.write("grow.csv", "0,first\n" * 100)
        one.master.start()
        one.notify("grow.csv")
        one.all_there()
        versions, seen, over = [os.urandom(4_000_000) for _ in range(2)], set(), threading.Event()

        def read_remote() -> None:
            while not over.wait(0.005):
                with contextlib.suppress(OSError):
                    seen.add((one.server / "cut.bin").read_bytes())

        reader = threading.Thread(target=read_remote)
        reader.start()
        try:
            for number, version in enumerate(versions):
                before = len(one.reasons("connection_lost"))
                relay.drop("up", after=1_500_000)
                one.write_whole("cut.bin", version)
                wait_until(lambda before=before: len(one.reasons("connection_lost")) > before, what="the cut")
                relay.heal()
                one.grow(b"%d,more\n" % number)
                one.all_there()
        finally:
            over.set()
            reader.join()
        assert seen <= set(versions)
        assert not one.reasons("parked")
        wait_until(lambda: not one.left(), what="nothing of ours there")


class Watched(NamedTuple):
    """What a reader on the server saw of two names; ``gone``: the longest that nothing was under one, seconds."""

    seen: dict[str, set[bytes]]
    gone: dict[str, float]


@contextlib.contextmanager
def watched(folder: Path, *names: str) -> Iterator[Watched]:
    found = Watched({name: set() for name in names}, dict.fromkeys(names, 0.0))
    over = threading.Event()

    def read_remote() -> None:
        missing: dict[str, float] = {}
        while not over.wait(0.002):
            for name in names:
                try:
                    found.seen[name].add((folder / name).read_bytes())
                    missing.pop(name, None)
                except PermissionError:
                    missing.pop(name, None)
                except OSError:
                    if found.seen[name]:
                        since = missing.setdefault(name, time.monotonic())
                        found.gone[name] = max(found.gone[name], time.monotonic() - since)

    reader = threading.Thread(target=read_remote)
    reader.start()
    try:
        yield found
    finally:
        over.set()
        reader.join()


def work(one: OtherStation, relay: Relay, *, kills: bool = False) -> None:
    """A file grows, one is rewritten, and an upload is cut in its middle; readers see whole versions only."""
    versions = [os.urandom(30_000 + number) for number in range(4)]
    one.write("grow.csv", b"0,first\n" * 500)
    one.write_whole("again.bin", versions[0])
    with watched(one.server, "grow.csv", "again.bin") as reader:
        one.master.start()
        one.notify("grow.csv")
        one.all_there()
        for number, version in enumerate(versions[1:]):
            one.grow(b"%d,more\n" % number * 20)
            one.write_whole("again.bin", version)
            if kills:
                wait_until(lambda: one.differs() != ["again.bin", "grow.csv"], what="one of the two")
                one.kill()
            one.all_there()
        relay.drop("up", after=1_000_000)
        one.write_whole("cut.bin", os.urandom(3_000_000))
        pause(2)
        relay.heal()
        one.all_there()
    grown = (one.data / "grow.csv").read_bytes()
    assert reader.seen["again.bin"] <= set(versions)
    assert all(grown.startswith(data) for data in reader.seen["grow.csv"])
    if not kills:
        assert max(reader.gone.values()) < 2, "for longer than a swap"
    assert not one.reasons("parked")
    wait_until(lambda: not one.left(), what="nothing of ours there")


@pytest.mark.slow
@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize(
    "protocol",
    [
        "ftp",
        pytest.param("sftp", marks=pytest.mark.skipif(proftpd.missing("sftp") is not None, reason=str(proftpd.missing("sftp")))),
    ],
)
@pytest.mark.skipif(proftpd.missing() is not None, reason=str(proftpd.missing()))
def test_a_server_that_overwrites_nothing(tmp_path: Path, station: MakeStation, protocol: str, kills: bool):
    """ProFTPD's own defaults: no file is overwritten and none gone on with."""
    off = {"AllowOverwrite": "off", "AllowStoreRestart": "off", "AllowRetrieveRestart": "off"}
    with proftpd_server(tmp_path / "server", protocol, **off) as server, Relay(server.host, server.port) as relay:
        work(station(server.files, through(relay, server.settings(), tmp_path)), relay, kills=kills)


@pytest.mark.slow
@pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))
def test_a_server_that_sets_no_times_or_modes(tmp_path: Path, station: MakeStation):
    """It is reported once, nothing is refused for it, and an append costs what was appended."""
    with openssh_server(tmp_path / "server", deny=("setstat", "fsetstat")) as server, Relay(server.host, server.port) as relay:
        one = station(server.files, through(relay, server.settings(), tmp_path))
        work(one, relay)
        grown = [receipt.bytes_sent for receipt in read_receipts(str(one.state)) if receipt.name == "grow.csv"]
        assert all(sent < 1_000 for sent in grown[1:])
        assert one.log().count("does not let the time of a file be set") == 1


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize(
    "protocol",
    [
        "ftp",
        pytest.param("sftp", marks=pytest.mark.skipif(proftpd.missing("sftp") is not None, reason=str(proftpd.missing("sftp")))),
    ],
)
@pytest.mark.skipif(proftpd.missing() is not None, reason=str(proftpd.missing()))
def test_an_account_that_may_read_nothing_of_what_it_wrote(tmp_path: Path, station: MakeStation, protocol: str):
    """Umask 0777: whole files go on arriving, and no attempt to go on with one is made again and again."""
    with open_folder() as folder:
        files, users = folder / "files", folder / "users"
        files.mkdir()
        give_him(files)
        users.write_text(f"pi:{OF_X}:{HIM}:{HIM}::{files}:/bin/sh\n")
        users.chmod(0o600)
        how = {"AuthUserFile": users, "Umask": "0777 0022", "User": "nobody", "Group": "nogroup", "RootLogin": "off"}
        with proftpd_server(tmp_path / "server", protocol, **how) as server, Relay(server.host, server.port) as relay:
            settings = {**server.settings(), **({"Password": "x"} if protocol == "ftp" else {})}
            one = station(files, through(relay, settings, tmp_path))
            work(one, relay)
            assert (files / "cut.bin").stat().st_mode & 0o777 == 0
            assert len(one.reasons("not_as_left")) <= 2


@pytest.mark.slow
@needs_root
@pytest.mark.skipif(sshd.missing() is not None, reason=str(sshd.missing()))
def test_an_account_that_may_write_in_one_folder_only(tmp_path: Path, station: MakeStation):
    """A root that it cannot even list: what is missing below is made, and nothing else; doctor is content."""
    with (
        chroot_for("nobody") as (root, lines),
        open_folder() as place,
        openssh_server(place / "server", subsystem="internal-sftp", lines=lines) as server,
    ):
        server.root.chmod(0o755)
        (server.root / "authorized_keys").chmod(0o644)
        settings = {**server.settings(), "User": "nobody", "HostPath": "upload/st7/2026"}
        one = station(root / "upload" / "st7" / "2026", settings)
        (one.data / "day" / "x").mkdir(parents=True)
        (one.data / "day" / "x" / "b.csv").write_bytes(b"2\n")
        one.write_whole("a.csv", b"1\n")
        one.master.start()
        one.all_there()
        assert not one.reasons("parked")
        assert sorted(os.listdir(root)) == ["upload"] and os.listdir(root / "upload") == ["st7"]
        assert doctor(one) == []


OF_X = "$5$pysubtask$aie/PsbbGO0ta070cDBRYrNvuLw8MnGnVkgpQLfNaD1"
"""SHA-256 crypt of the password x."""


@contextlib.contextmanager
def chroot_for(user: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A root that this user may pass through and not list, with a folder of his own; sshd wants all above it to be root's alone."""
    root = Path(tempfile.mkdtemp(prefix="pysubtask-root-", dir="/run"))
    try:
        root.chmod(0o711)
        (root / "upload").mkdir()
        shutil.chown(root / "upload", user)
        yield root, (f"ChrootDirectory {root}", "ForceCommand internal-sftp")
    finally:
        shutil.rmtree(root)
