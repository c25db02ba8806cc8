"""The order of a swap and of its repair, step by step, and what is on record after each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pysubtask.transports.ftp.swap import Swaps
from pysubtask.transports.shared.profile import Profile
from pysubtask.transports.shared.swap import Step, Steps, mend, swap
from pysubtask.transports.shared.swap_record import SwapRecord

NOW = 1_800_000_000.0
ASIDE, RENAME = Step("rename", b"a", b".t.old"), Step("rename", b".t", b"a")
RESTORE, REMOVE = Step("restore", b".t.old", b"a"), Step("remove", b".t.old")


def taken(steps: Steps, *answers: bool | None) -> tuple[list[Step], str | None]:
    """The steps, each answered in turn, and the outcome."""
    found = [next(steps)]
    try:
        for answer in answers:
            found.append(steps.send(answer))
    except StopIteration as end:
        return found, end.value
    raise AssertionError(f"{found[-1]} waits for an answer")


@pytest.mark.parametrize(
    ("answers", "steps", "outcome", "recorded"),
    [
        ((True, True, True), [ASIDE, RENAME, REMOVE], "replaced", False),
        ((True, True, False), [ASIDE, RENAME, REMOVE], "replaced", True),
        ((True, False, True), [ASIDE, RENAME, RESTORE], "refused", False),
        ((True, False, False), [ASIDE, RENAME, RESTORE], "refused", True),
        ((False,), [ASIDE], "stays", True),
    ],
)
def test_the_order_of_a_swap(tmp_path: Path, answers: Any, steps: list[Step], outcome: str, recorded: bool):
    record = SwapRecord(str(tmp_path), "me")
    beginning = swap(record, b".t", b"a", b".t.old", NOW)
    assert SwapRecord(str(tmp_path), "me").target_of(b".t.old") == b"a", "on record before the first step"
    assert taken(beginning, *answers) == (steps, outcome)
    assert (b".t.old" in SwapRecord(str(tmp_path), "me").asides) == recorded


def test_no_swap_begins_without_a_record(tmp_path: Path):
    with pytest.raises(OSError):
        swap(SwapRecord(str(tmp_path / "none"), "me"), b".t", b"a", b".t.old", NOW)


TELL_ASIDE, TELL = Step("tell", b".t.old"), Step("tell", b"a")
BACK = Step("rename", b".t.old", b"a")


@pytest.mark.parametrize(
    ("answers", "steps"),
    [
        ((False,), [TELL_ASIDE]),
        ((None,), [TELL_ASIDE]),
        ((True, True, True), [TELL_ASIDE, TELL, REMOVE]),
        ((True, None), [TELL_ASIDE, TELL]),
        ((True, False, True), [TELL_ASIDE, TELL, BACK]),
        ((True, False, False, True, True), [TELL_ASIDE, TELL, BACK, TELL, REMOVE]),
        ((True, False, False, False), [TELL_ASIDE, TELL, BACK, TELL]),
    ],
)
def test_the_order_of_a_repair(answers: Any, steps: list[Step]):
    assert taken(mend(b".t.old", b"a"), *answers) == (steps, None)


class NoSession:
    """Fails at any use."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_ftp_leaves_an_aside_that_a_later_upload_may_write_to(tmp_path: Path):
    profile, record = Profile(lambda: NOW), SwapRecord(str(tmp_path), "me")
    record.add(b".t.old", b"a", NOW)
    profile.leave(".t.old", reusable=True)
    Swaps(record, profile).mend_recorded(NoSession(), ".t")  # type: ignore[arg-type]


def test_old_asides_are_forgotten(tmp_path: Path):
    record = SwapRecord(str(tmp_path), "me")
    record.add(b".old", b"a", NOW - 25 * 3600)
    record.add(b".new", b"b", NOW)
    record.forget_old(NOW)
    assert list(SwapRecord(str(tmp_path), "me").asides) == [b".new"]
