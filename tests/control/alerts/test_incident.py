"""Which alerts an incident gives, and when: the clock is the test's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pysubtask.control.alerts.incident import BEGINS, DAY_SECS, LASTS, OVER, QUIET, Incident, Rules, due, observed, tried
from pysubtask.control.alerts.kinds import Seen

RULES = Rules(60.0, DAY_SECS)
START = 1_800_000_000.0


class Course:
    """A trouble, looked at again and again; ``heard`` says whether the program takes what it is course."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.now = START
        self.one: Incident = QUIET
        self.all: list[tuple[float, str]] = []
        self.heard = True

    def observes(self, there: bool | None, secs: float = 10.0, **more: float) -> str:
        """One check, ``secs`` after the one before; the alert that was due."""
        self.now += secs
        seen = Seen(there, **more)
        self.one = observed(self.one, seen, self.now, self.rules)
        what = due(self.one, seen, self.now, self.rules)
        if what:
            self.one = tried(tried(self.one, what, self.now, heard=False), what, self.now, heard=self.heard)
            self.all.append((self.now, what))
        return what

    def repeats(self, there: bool | None, secs: float, step: float = 10.0, **more: float) -> list[str]:
        """Checks for so long; the alerts that were due."""
        return [what for _ in range(int(secs / step)) if (what := self.observes(there, step, **more))]


def test_it_begins_once_lasts_once_a_day_and_is_over_once():
    course = Course()
    assert course.repeats(True, 60) == [] and course.observes(True) == BEGINS
    assert course.repeats(True, DAY_SECS - 100) == []
    assert course.repeats(True, 200) == [LASTS]
    assert course.repeats(True, 3 * DAY_SECS) == [LASTS] * 3
    assert course.repeats(False, 50) == [] and course.repeats(False, 40) == [OVER]
    assert course.repeats(False, 10 * DAY_SECS, 600) == []


def test_what_is_over_within_a_minute_is_not_reported():
    course = Course()
    course.repeats(True, 50)
    assert course.repeats(False, DAY_SECS, 600) == [] and course.one.since is None


def test_it_has_to_last_as_long_as_its_kind_says():
    course = Course()
    assert course.repeats(True, 3600, lasts_secs=3600.0) == []
    assert course.observes(True, lasts_secs=3600.0) == BEGINS


def test_since_is_what_the_page_says_and_never_in_the_future():
    course = Course()
    course.observes(True, since=START - 500)
    assert course.one.since == START - 500
    other = Course()
    other.observes(True, since=START + 500)
    assert other.one.since == other.now


def test_what_cannot_be_reported_changes_nothing():
    course = Course()
    course.repeats(True, 70)
    before = course.one
    assert course.repeats(None, 30 * DAY_SECS, 600) == [] and course.one == before
    assert course.repeats(False, 70) == [OVER]


def test_one_that_comes_and_goes_is_still_reported():
    """Seen at every other check: it is no calm that lasts."""
    course = Course()
    for _ in range(10):
        course.observes(True)
        course.observes(False)
    assert [what for _, what in course.all] == [BEGINS]


def test_with_each_return_it_is_over_later():
    course = Course()
    for _ in range(3):
        course.repeats(True, 80)
        course.repeats(False, 20_000)
    assert [what for _, what in course.all] == [BEGINS, OVER] * 3
    over = [at for at, what in course.all if what == OVER]
    begins = [at for at, what in course.all if what == BEGINS]
    waited = [round(one - other, -1) for one, other in zip(over, begins, strict=True)]
    assert waited[0] < 120 and 240 <= waited[1] < 360 and 960 <= waited[2] < 1100
    # After a day without it all is as at first.
    course.repeats(False, 2 * DAY_SECS, 600)
    course.repeats(True, 80)
    assert course.repeats(False, 90) == [OVER]


def test_a_clock_set_back_repeats_no_report_and_loses_none():
    course = Course()
    course.repeats(True, 80)
    course.now -= 10 * DAY_SECS
    assert course.repeats(True, 600) == []
    assert course.repeats(True, DAY_SECS) == [LASTS]
    assert course.repeats(False, 80) == [OVER]


def test_nobody_hears_and_so_it_is_reported_again():
    course = Course()
    course.heard = False
    course.repeats(True, 60)
    assert [course.observes(True) for _ in range(3)] == [BEGINS] * 3 and course.one.reported is None
    course.heard = True
    assert course.observes(True) == BEGINS and course.observes(True) == ""
    course.heard = False
    course.repeats(False, 50)
    assert [course.observes(False) for _ in range(3)][-2:] == [OVER] * 2
    # It came back before anybody heard that it was over: it is the same.
    course.heard = True
    assert course.repeats(True, 600) == []
    assert course.repeats(False, 80) == [OVER] and course.repeats(False, 600) == []


def test_one_whose_begin_nobody_heard_is_reported_to_be_over():
    """The link was down: neither the files nor the message got out."""
    course = Course()
    course.heard = False
    course.repeats(True, 600)
    course.heard = True
    assert course.repeats(False, 80) == [OVER]


COURSES = st.lists(
    st.tuples(st.sampled_from([True, False, None]), st.integers(1, 400), st.sampled_from([5.0, 30.0, 70.0, 900.0])), max_size=40
)


@given(COURSES, st.booleans())
def test_no_day_has_more_than_a_handful_and_each_has_its_end(parts, hears):
    course = Course()
    course.heard = hears
    for there, count, step in parts:
        for _ in range(count % 40):
            course.observes(there, step)
    if hears:
        steps = [what for _, what in course.all]
        for before, after in zip([OVER, *steps], steps, strict=False):
            assert (after == BEGINS) == (before == OVER), steps
        for at, _ in course.all:
            day = [what for when, what in course.all if at <= when < at + DAY_SECS]
            assert day.count(BEGINS) <= 7 and day.count(OVER) <= 7 and day.count(LASTS) <= 1
    # Whatever it was, a week of calm ends it.
    course.heard = True
    course.repeats(False, 7 * DAY_SECS, 3600)
    assert not course.one.open and course.repeats(False, DAY_SECS, 3600) == []


@given(st.integers(1, 300), st.integers(1, 300))
def test_whatever_the_rhythm_it_is_reported_a_few_times_a_day(on, off):
    course = Course()
    while course.now < START + DAY_SECS:
        course.observes(True, on * 10.0)
        course.observes(True, on * 10.0)
        course.observes(False, off * 10.0)
        course.observes(False, off * 10.0)
    assert len(course.all) <= 2 * 7 + 1
