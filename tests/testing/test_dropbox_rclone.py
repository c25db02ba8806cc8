"""The stand-in for Dropbox and a client that shares nothing with the SDK: rclone, in both directions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.testing import DropboxServer, dropbox_server

pytestmark = pytest.mark.skipif(shutil.which("rclone") is None, reason="no rclone program (package rclone)")

BLOCK = 4 * 1024 * 1024
FILES = {
    "small.csv": b"1;2;3\n",
    "empty": b"",
    "In Grün/übrig.txt": "schön".encode(),
    "deep/er/0.bin": os.urandom(20_000),
    "deep/big.bin": os.urandom(BLOCK + 1_500_000),
    "deep/block.bin": os.urandom(BLOCK),
    **{f"many/{count:02}.txt": os.urandom(2000 + count) for count in range(12)},
}
SUMS = {
    name: hashlib.sha256(b"".join(hashlib.sha256(data[at : at + BLOCK]).digest() for at in range(0, len(data), BLOCK))).hexdigest()
    for name, data in FILES.items()
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DropboxServer]:
    with dropbox_server(tmp_path_factory.mktemp("box")) as found:
        yield found


@pytest.fixture(scope="module")
def config(server: DropboxServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    token = {
        "access_token": "sl.over",
        "token_type": "bearer",
        "refresh_token": server.refresh_token,
        "expiry": "2020-01-01T00:00:00Z",
    }
    path = tmp_path_factory.mktemp("rclone") / "rclone.conf"
    path.write_text(f"[box]\ntype = dropbox\nclient_id = {server.app_key}\ntoken = {json.dumps(token)}\n")
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for count, (name, data) in enumerate(FILES.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_600_000_000 + count, 1_600_000_000 + count))
    return folder


def rclone(server: DropboxServer, config: Path, *words: str | Path) -> str:
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy") and not key.startswith("RCLONE_")}
    line = ["rclone", "--config", config, "--ca-cert", server.ca_file, "--retries", "1", "--dropbox-chunk-size", "1M", *words]
    done = subprocess.run(line, env=env | {"HTTPS_PROXY": server.proxy}, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sums(words: str) -> dict[str, str]:
    return {name: value for value, name in (line.split("  ", 1) for line in words.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["sync", "off"])
def test_round_trip(server: DropboxServer, config: Path, source: Path, tmp_path: Path, batch: str):
    before = server.count("files/upload"), server.count("files/upload_session/finish_batch_v2")
    rclone(server, config, "copy", source, f"box:{batch}", "--dropbox-batch-mode", batch)
    singles, batches = server.count("files/upload") - before[0], server.count("files/upload_session/finish_batch_v2") - before[1]
    assert (singles == 0 and 0 < batches < len(FILES)) if batch == "sync" else (singles == len(FILES) - 2 and batches == 0)
    for name, data in FILES.items():
        assert (server.folder / batch / name).read_bytes() == data
        assert (server.folder / batch / name).stat().st_mtime == (source / name).stat().st_mtime
    rclone(server, config, "check", source, f"box:{batch}")
    assert sums(rclone(server, config, "hashsum", "dropbox", f"box:{batch}")) == SUMS
    assert sums(rclone(server, config, "hashsum", "dropbox", source)) == SUMS
    calls = server.count("write")
    rclone(server, config, "copy", source, f"box:{batch}")
    assert server.count("write") == calls  # rclone finds nothing to do
    rclone(server, config, "copy", f"box:{batch}", tmp_path / "back")
    found = {str(path.relative_to(tmp_path / "back")): path for path in (tmp_path / "back").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == FILES
    assert all(path.stat().st_mtime == (source / name).stat().st_mtime for name, path in found.items())


def test_what_was_planted_is_listed_checked_and_deleted(server: DropboxServer, config: Path, tmp_path: Path):
    planted = server.folder / "planted" / "a.txt"
    planted.parent.mkdir()
    planted.write_bytes(b"one")
    (tmp_path / "a.txt").write_bytes(b"two")
    assert "planted/a.txt" in rclone(server, config, "lsf", "-R", "box:").splitlines()
    with pytest.raises(AssertionError, match="1 differences found"):
        rclone(server, config, "check", tmp_path, "box:planted")
    rclone(server, config, "purge", "box:planted")
    assert not planted.parent.exists()


def test_rclone_waits_as_a_429_says_and_goes_on(server: DropboxServer, config: Path, source: Path):
    server.fail("write", status=429, error="too_many_write_operations", retry_after=1, times=1)
    try:
        rclone(server, config, "copy", source / "In Grün", "box:again", "--dropbox-batch-mode", "off", "--low-level-retries", "10")
    finally:
        server.heal()
    assert {one.status for one in server.calls} >= {200, 429}
    rclone(server, config, "check", source / "In Grün", "box:again")
