"""What is told of a trouble, and when: the clock is the test's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pysubtask.control.alerts.incident import BEGINS, DAY_SECS, LASTS, OVER, QUIET, Incident, Rules, due, looked, tried
from pysubtask.control.alerts.kinds import Seen

RULES = Rules(60.0, DAY_SECS)
START = 1_800_000_000.0


class Told:
    """A trouble, looked at again and again; ``heard`` says whether the program takes what it is told."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.now = START
        self.one: Incident = QUIET
        self.all: list[tuple[float, str]] = []
        self.heard = True

    def look(self, there: bool | None, secs: float = 10.0, **more: float) -> str:
        """One look, ``secs`` after the one before; what was told."""
        self.now += secs
        seen = Seen(there, **more)
        self.one = looked(self.one, seen, self.now, self.rules)
        what = due(self.one, seen, self.now, self.rules)
        if what:
            self.one = tried(tried(self.one, what, self.now, heard=False), what, self.now, heard=self.heard)
            self.all.append((self.now, what))
        return what

    def looks(self, there: bool | None, secs: float, step: float = 10.0, **more: float) -> list[str]:
        """Looks for so long; what was told."""
        return [what for _ in range(int(secs / step)) if (what := self.look(there, step, **more))]


def test_it_begins_once_lasts_once_a_day_and_is_over_once():
    told = Told()
    assert told.looks(True, 60) == [] and told.look(True) == BEGINS
    assert told.looks(True, DAY_SECS - 100) == []
    assert told.looks(True, 200) == [LASTS]
    assert told.looks(True, 3 * DAY_SECS) == [LASTS] * 3
    assert told.looks(False, 50) == [] and told.looks(False, 40) == [OVER]
    assert told.looks(False, 10 * DAY_SECS, 600) == []


def test_what_is_over_within_a_minute_is_not_told():
    told = Told()
    told.looks(True, 50)
    assert told.looks(False, DAY_SECS, 600) == [] and told.one.since is None


def test_it_has_to_last_as_long_as_its_kind_says():
    told = Told()
    assert told.looks(True, 3600, lasts_secs=3600.0) == []
    assert told.look(True, lasts_secs=3600.0) == BEGINS


def test_since_is_what_the_page_says_and_never_in_the_future():
    told = Told()
    told.look(True, since=START - 500)
    assert told.one.since == START - 500
    other = Told()
    other.look(True, since=START + 500)
    assert other.one.since == other.now


def test_what_cannot_be_told_changes_nothing():
    told = Told()
    told.looks(True, 70)
    before = told.one
    assert told.looks(None, 30 * DAY_SECS, 600) == [] and told.one == before
    assert told.looks(False, 70) == [OVER]


def test_one_that_comes_and_goes_is_still_told():
    """Seen at every other look: it is no calm that lasts."""
    told = Told()
    for _ in range(10):
        told.look(True)
        told.look(False)
    assert [what for _, what in told.all] == [BEGINS]


def test_with_each_return_it_is_over_later():
    told = Told()
    for _ in range(3):
        told.looks(True, 80)
        told.looks(False, 20_000)
    assert [what for _, what in told.all] == [BEGINS, OVER] * 3
    over = [at for at, what in told.all if what == OVER]
    begins = [at for at, what in told.all if what == BEGINS]
    waited = [round(one - other, -1) for one, other in zip(over, begins, strict=True)]
    assert waited[0] < 120 and 240 <= waited[1] < 360 and 960 <= waited[2] < 1100
    # After a day without it all is as at first.
    told.looks(False, 2 * DAY_SECS, 600)
    told.looks(True, 80)
    assert told.looks(False, 90) == [OVER]


def test_a_clock_that_was_set_back_tells_nothing_again_and_loses_nothing():
    told = Told()
    told.looks(True, 80)
    told.now -= 10 * DAY_SECS
    assert told.looks(True, 600) == []
    assert told.looks(True, DAY_SECS) == [LASTS]
    assert told.looks(False, 80) == [OVER]


def test_nobody_hears_and_so_it_is_told_again():
    told = Told()
    told.heard = False
    told.looks(True, 60)
    assert [told.look(True) for _ in range(3)] == [BEGINS] * 3 and told.one.told is None
    told.heard = True
    assert told.look(True) == BEGINS and told.look(True) == ""
    told.heard = False
    told.looks(False, 50)
    assert [told.look(False) for _ in range(3)][-2:] == [OVER] * 2
    # It came back before anybody heard that it was over: it is the same.
    told.heard = True
    assert told.looks(True, 600) == []
    assert told.looks(False, 80) == [OVER] and told.looks(False, 600) == []


def test_one_whose_begin_nobody_heard_is_told_to_be_over():
    """The link was down: neither the files nor the message got out."""
    told = Told()
    told.heard = False
    told.looks(True, 600)
    told.heard = True
    assert told.looks(False, 80) == [OVER]


LOOKS = st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(1, 400), st.sampled_from([5.0, 30.0, 70.0, 900.0])),
                 max_size=40)  # fmt: skip


@given(LOOKS, st.booleans())
def test_no_day_has_more_than_a_handful_and_each_has_its_end(parts, hears):
    told = Told()
    told.heard = hears
    for there, count, step in parts:
        for _ in range(count % 40):
            told.look(there, step)
    if hears:
        steps = [what for _, what in told.all]
        for before, after in zip([OVER, *steps], steps, strict=False):
            assert (after == BEGINS) == (before == OVER), steps
        for at, _ in told.all:
            day = [what for when, what in told.all if at <= when < at + DAY_SECS]
            assert day.count(BEGINS) <= 7 and day.count(OVER) <= 7 and day.count(LASTS) <= 1
    # Whatever it was, a week of calm ends it.
    told.heard = True
    told.looks(False, 7 * DAY_SECS, 3600)
    assert not told.one.open and told.looks(False, DAY_SECS, 3600) == []


@given(st.integers(1, 300), st.integers(1, 300))
def test_whatever_the_rhythm_it_is_told_a_few_times_a_day(on, off):
    told = Told()
    while told.now < START + DAY_SECS:
        told.look(True, on * 10.0)
        told.look(True, on * 10.0)
        told.look(False, off * 10.0)
        told.look(False, off * 10.0)
    assert len(told.all) <= 2 * 7 + 1
