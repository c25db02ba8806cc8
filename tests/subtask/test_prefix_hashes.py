"""The hash of a beginning that the snapshot of an end alone lacks, after a restart."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pysubtask.subtask.snapshot.prefix_hashes import found_again


def test_it_is_read_from_the_data_file_and_used_where_all_fits(tmp_path: Path):
    data, snapshot = tmp_path / "a.csv", tmp_path / "bak" / "1-a.csv"
    snapshot.parent.mkdir(mode=0o700)
    content = os.urandom(300_000)
    base, delivered = 100_000, 160_000
    digest = hashlib.sha256(content[:delivered]).hexdigest()

    def asked(content_now: bytes, copied: bytes) -> bool:
        data.write_bytes(content_now)
        snapshot.write_bytes(copied)
        found = found_again(lambda: os.open(data, os.O_RDONLY), str(snapshot), base, delivered, digest)
        if found is not None:
            assert found[0] == base and found[1].hexdigest() == hashlib.sha256(content[:base]).hexdigest()
        return found is not None

    assert asked(content, content[base:])
    assert asked(content + b"more", content[base:])
    assert not asked(b"rotated", content[base:]), "too short"
    assert not asked(os.urandom(300_000), content[base:]), "another file"
    assert not asked(content, os.urandom(200_000)), "another snapshot"
    assert not asked(content, content[base : delivered - 1]), "a shorter one"
    data.unlink()
    assert found_again(lambda: os.open(data, os.O_RDONLY), str(snapshot), base, delivered, digest) is None
    assert found_again(lambda: os.open(data, os.O_RDONLY), str(snapshot), delivered + 1, delivered, digest) is None


def test_a_pipe_in_its_place_holds_nobody(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"x" * 100)
    os.mkfifo(tmp_path / "1-a.csv")
    found = found_again(lambda: os.open(tmp_path / "a.csv", os.O_RDONLY), str(tmp_path / "1-a.csv"), 50, 80, "")
    assert found is None
