"""Whatever stands in a file, or comes from a server: a reader gives an answer or an error of ours, soon, and nothing else."""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pysubtask import defaults_config
from pysubtask.common import events, handoff, receipts, registry, requests, residual, status
from pysubtask.common.config import resolve
from pysubtask.common.entries import read_entries
from pysubtask.common.errors import ConfigError, PysubtaskError
from pysubtask.common.lock import StateLock
from pysubtask.control.config import config_file
from pysubtask.control.exit_status import CommandError
from pysubtask.transports.ftp import replies
from pysubtask.transports.shared.remote_text import remote_text

FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=12
)
KNOWN_WORDS = st.sampled_from(
    [
        "format",
        "op",
        "args",
        "who",
        "user",
        "pid",
        "at",
        "ok",
        "result",
        "error",
        "epoch",
        "n",
        "kind",
        "seq",
        "task",
        "extension",
        "destination",
        "state_dir",
        "settings",
        "entries",
        "residual",
        "file",
        "dir",
    ]
)
PLAUSIBLE = st.dictionaries(KNOWN_WORDS, ANYTHING, max_size=8).map(lambda found: json.dumps({"format": 1, **found}).encode())
BYTES = st.binary(max_size=300) | PLAUSIBLE | ANYTHING.map(lambda found: json.dumps(found).encode()) | st.just(b"[" * 50_000)


@pytest.mark.slow
@FEW
@given(BYTES)
@example(b'{"format": 1, "op": "set", "args": {}, "who": {"user": null, "pid": 1e400}, "at": ""}')
@example(b'{"format": 1, "ok": true}')
def test_files_of_the_state_folder(raw: bytes):
    with tempfile.TemporaryDirectory() as state:
        for name in (status.FILE, events.FILE, receipts.FILE, residual.FILE, "lock", "requests/a-1.json", "replies/b-1.json"):
            path = os.path.join(state, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(raw + b"\n" if name.endswith("jsonl") else raw)
        assert isinstance(status.read_status(state), dict | None)
        assert all(isinstance(event.n, int) for event in [*events.read_events(state), *events.Tail(state, after=(0, 0)).read()])
        assert all(isinstance(receipt.seq, int) for receipt in receipts.read_receipts(state))
        assert isinstance(receipts.last_seq(state), int)
        assert all(isinstance(path, str) for path in residual.take(state))
        assert all(request.problem or isinstance(request.args, dict) for request in requests.waiting(state))
        assert requests.reply_to(state, "b-1") is None or isinstance(requests.reply_to(state, "b-1"), requests.Reply)
        assert StateLock(os.path.join(state, "lock")).holder() is None


@pytest.mark.slow
@FEW
@given(BYTES)
def test_the_hand_off_and_the_registry(raw: bytes):
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        with pytest.raises(ConfigError):
            handoff.read(file.fileno())
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, folder)
        with open(os.path.join(folder, "x.json"), "wb") as record_file:
            record_file.write(raw)
        assert registry.records() == []


@FEW
@given(
    ANYTHING,
    st.sampled_from(["base", "ftp", "dropbox", "burst_mode"]),
    st.sampled_from([row.key for rows in defaults_config.SETTINGS.values() for row in rows]),
)
def test_settings_and_entries(value: object, section: str, key: str):
    for config in (value, {section: value}, {section: {key: value}}):
        try:
            resolve(defaults_config.SETTINGS, defaults_config, config, "ftp")
        except ConfigError as exc:
            assert exc.remedy
    row = next(row for rows in defaults_config.SETTINGS.values() for row in rows if row.key == key)
    if isinstance(value, str):
        try:
            row.read(section, value)
        except ConfigError as exc:
            assert key in str(exc) and exc.remedy
    for entries in (value, [value], [{"file": value}], [{"dir": value, "recursive": value}]):
        try:
            read_entries(entries)
        except ConfigError as exc:
            assert exc.remedy


@FEW
@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                "[base]",
                "[ftp]",
                "[[watch]]",
                "[tasks.a.ftp]",
                "Host = 'x'",
                "file = '/x'",
                "dir = 1",
                "TimerIntervalSecs = 'x'",
                "= 3",
                "[",
                "RateLimit = 1e400",
                "Hosst = 1",
                "'' = 2",
                "[tasks]",
                "[watch]",
                "a.b.c = 1",
                '"\\u0000" = 1',
                "TaskName = '../x'",
            ]
        ),
        max_size=8,
    ).map("\n".join)
)
def test_config_files(text: str):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "station.toml")
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text.encode("utf-8", "replace").decode())
        try:
            config_file.load(path, {})
        except (PysubtaskError, CommandError) as exc:
            assert "station.toml" in str(exc)


@FEW
@given(st.text(max_size=300), st.integers(0, 999), st.binary(max_size=300))
@example("213 " + "9" * 5000, 213, b"")
@example("211-x\n SIZE\n MDTM\x00\n211 end", 211, b"SSH-2.0-OpenSSH")
def test_words_of_an_ftp_server(words: str, code: int, heard: bytes):
    reply = replies.Reply(code, tuple(words.split("\n")))
    assert isinstance(replies.features(reply), dict)
    assert isinstance(replies.size_in(reply), int | None)
    assert isinstance(replies.time_in(words), int | None)
    assert isinstance(replies.facts_in(reply), dict)
    assert isinstance(replies.listed_size(words.splitlines(), "/x/a.csv"), int | None)
    errors = [replies.refusal("store", "a.csv", reply), replies.greeting_error(reply), replies.login_error(reply, True)]
    texts = [*map(str, errors)]
    texts += [replies.not_ftp(heard), remote_text(words)]
    unsafe = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, ends of lines
    assert not [one for one in texts if len(one) > 1000 or any(unicodedata.category(sign) in unsafe for sign in one)]
