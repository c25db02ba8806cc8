"""What is learned of a server: the state table, over servers that change and files that are refused for themselves."""

import itertools
import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.transports.shared import means
from pysubtask.transports.shared.allowance import BEYOND, Allowance
from pysubtask.transports.shared.leftover_temps import MOST_LEFT, MOST_RESTING, REST_SECS
from pysubtask.transports.shared.profile import SELDOM, SOON, TRIAL_SECS, Profile, distance
from pysubtask.transports.shared.temp_names import moved_on

T0 = 1_800_000_000.0


class Clock:
    def __init__(self):
        self.now = T0

    def __call__(self):
        return self.now


class Outcome(NamedTuple):
    asked: list
    worked: str | None
    condemned: object


def one_file(profile, ladder, takes, unknown=frozenset(), offered=None):
    """One file's way to a server that takes these rungs."""
    walk, asked = profile.walk(ladder, offered), []
    while True:
        asked.append(walk.rung)
        if walk.rung in takes:
            walk.worked()
            return Outcome(asked, walk.rung, None)
        if walk.refused(f"no {walk.rung}", unknown=walk.rung in unknown) is None:
            return Outcome(asked, None, walk.exhausted())


def a_profile(**more):
    clock = Clock()
    profile = Profile(clock, **more)
    steps = []
    profile.on_step = steps.append
    return profile, steps, clock


ladders = st.sampled_from(means.ALL)


@st.composite
def histories(draw):
    """A ladder, and for each file what the server takes then and what of that this file is refused for itself."""
    ladder = draw(ladders)
    rungs = st.frozensets(st.sampled_from(ladder.rungs))
    files = draw(st.lists(st.tuples(rungs, rungs, st.booleans(), st.integers(0, 200_000)), max_size=40))
    return ladder, files, draw(st.booleans())


@pytest.mark.slow
@given(histories())
def test_every_walk_ends_and_blames_nobody_while_a_rung_is_left(history):
    ladder, files, in_place = history
    profile, steps, clock = a_profile(in_place=in_place)
    allowed = {rung for rung in ladder.rungs if profile.allows(ladder, rung)}
    known = ladder.rungs[0]
    for takes, own, unknown, secs in files:
        clock.now += secs
        before = len(steps)
        outcome = one_file(profile, ladder, takes - own, takes if unknown else frozenset())
        assert len(outcome.asked) == len(set(outcome.asked)) <= len(allowed)
        assert set(outcome.asked) <= allowed
        if outcome.worked is None:
            assert set(outcome.asked) == allowed, "a rung was left"
            assert len(steps) == before, "what refused everything has taught nothing"
        else:
            now = profile.rung(ladder)
            assert [step.rung for step in steps[before:]] == ([now] if now != known else [])
            known = now
    at = [ladder.rungs[0], *(step.rung for step in steps)]
    assert [(step.before, step.rung) for step in steps] == list(itertools.pairwise(at))
    for step in steps:
        assert step.better == (ladder.rungs.index(step.rung) < ladder.rungs.index(step.before))
        assert step.text == (ladder.again if step.better else ladder.lacks[step.rung])


@pytest.mark.slow
@given(histories())
def test_a_steady_server_is_learned_with_the_first_file(history):
    ladder, files, _ = history
    profile, steps, clock = a_profile()
    takes = files[0][0] if files else frozenset(ladder.rungs)
    best = next((rung for rung in ladder.rungs if rung in takes and profile.allows(ladder, rung)), None)
    for number in range(20):
        clock.now += 1000
        outcome = one_file(profile, ladder, takes)
        assert outcome.worked == best
        if number and best is not None:
            assert outcome.asked == [best] or number % SOON == 0
    assert [step.rung for step in steps] == ([best] if best not in (None, ladder.rungs[0]) else [])


@pytest.mark.slow
@given(histories(), st.integers(1, 12))
def test_a_changing_server_is_followed_within_three_files(history, files_each):
    ladder, files, _ = history
    profile, _, clock = a_profile()
    for takes, *_ in files[:6]:
        usable = [rung for rung in ladder.rungs if rung in takes and profile.allows(ladder, rung)]
        if not usable:
            continue
        for number in range(1, max(SOON, files_each) + 1):
            clock.now += 5
            assert one_file(profile, ladder, takes).worked in usable
            if number >= SOON:
                assert profile.rung(ladder) == usable[0]


def test_the_distance_of_trials_grows_late_and_has_an_end():
    found = [distance(refused) for refused in range(60)]
    assert found[:16] == [SOON] * 16
    assert found == sorted(found) and found[-1] == SELDOM


def test_what_a_server_lacks_is_tried_seldom_and_when_asked_to():
    profile, _, clock = a_profile()
    unknown = {"posix_rename"}
    takes = {"rename", "aside"}
    one_file(profile, means.PUBLISH, takes, unknown)
    asked = [one_file(profile, means.PUBLISH, takes, unknown).asked for _ in range(300)]
    assert all(each[-1] == "rename" for each in asked)
    trials = [number for number, each in enumerate(asked) if len(each) > 1]
    assert trials[:3] == [2, 5, 8] and len(trials) <= 12
    clock.now += TRIAL_SECS
    assert one_file(profile, means.PUBLISH, takes, unknown).asked == ["posix_rename", "rename"]
    assert one_file(profile, means.PUBLISH, takes, unknown).asked == ["rename"]
    profile.try_again()
    assert one_file(profile, means.PUBLISH, takes, unknown).asked == ["posix_rename", "rename"]


def test_of_many_files_at_once_one_is_the_trial():
    profile, _, clock = a_profile()
    one_file(profile, means.TEMP, {"visible"})
    clock.now += TRIAL_SECS
    assert [profile.walk(means.TEMP).rung for _ in range(5)] == ["hidden", *["visible"] * 4]


def test_where_a_try_costs_the_file_a_failed_trial_goes_back():
    profile, _, clock = a_profile()
    one_file(profile, means.TEMP, {"subfolder"})
    clock.now += TRIAL_SECS
    walk = profile.walk(means.TEMP)
    assert (walk.rung, walk.refused("taken away", costly=True)) == ("hidden", "subfolder")
    assert walk.refused("taken away", costly=True) == "hidden_ending", "then those between"
    first = a_profile()[0].walk(means.TEMP)
    assert [first.refused("taken away", costly=True) for _ in range(5)] == ["hidden_ending", "visible", "ending", "subfolder", None]


def test_what_loses_a_promise_is_used_only_if_settings_allow_it():
    profile, steps, _ = a_profile()
    outcome = one_file(profile, means.TEMP, {"in_place"})
    assert outcome.worked is None and "StoreInPlace" in outcome.condemned.remedy and not outcome.condemned.others_pass
    assert steps == []
    one_file(profile, means.TEMP, {"hidden"})
    assert one_file(profile, means.TEMP, set()).condemned.others_pass
    profile, steps, _ = a_profile(in_place=True)
    assert one_file(profile, means.TEMP, {"in_place"}).worked == "in_place"
    assert [step.rung for step in steps] == ["in_place"]


def test_what_is_not_offered_is_not_asked_for():
    profile, steps, _ = a_profile()
    offered = ("rename", "aside")
    assert one_file(profile, means.PUBLISH, {"rename"}, offered=offered).asked == ["rename"]
    assert [step.rung for step in steps] == ["rename"]
    for _ in range(10):
        assert one_file(profile, means.PUBLISH, {"rename"}, offered=offered).asked == ["rename"]
    for _ in range(SOON):  # another program answers there now
        one_file(profile, means.PUBLISH, {"rename", "posix_rename"})
    assert profile.rung(means.PUBLISH) == "posix_rename"


def test_a_working_rung_is_given_up_at_a_second_refusal():
    profile, _, _ = a_profile()
    assert profile.struck(means.SYNC)
    profile.learn(means.SYNC, "kept")
    assert not profile.struck(means.SYNC)
    profile.learn(means.SYNC, "kept")
    assert not profile.struck(means.SYNC)
    assert profile.struck(means.SYNC)


@pytest.mark.slow
@given(histories(), st.dictionaries(st.text(max_size=9), st.booleans(), max_size=5))
def test_all_of_it_is_kept(history, left):
    ladder, files, _ = history
    profile, _, _clock = a_profile()
    profile.opened["handles"] = Allowance(32)
    for takes, *_ in files:
        one_file(profile, ladder, takes)
    profile.opened["handles"].refused(3)
    for path, reusable in left.items():
        profile.leave(path, reusable=reusable)
    again, _, _ = a_profile()
    again.opened["handles"] = Allowance(32)
    again.load(profile.to_json())
    assert again.to_json() == profile.to_json()
    assert again.lines() == profile.lines() and again.known() == profile.known()
    assert again.opened["handles"].limit <= 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "nonsense",
        "[]",
        "null",
        '{"means": 3}',
        '{"left": [1]}',
        '{"means": {"size": {"rung": "sideways"}}}',
        '{"means": {"of a later version": {"rung": "hidden"}, "size": {"rung": "never"}}}',
        '{"opened": {"handles": 4}}',
    ],
)
def test_what_cannot_be_read_is_learned_anew(text):
    profile, _, _ = a_profile()
    profile.opened["handles"] = Allowance(8)
    profile.load(text)
    assert profile.known() == {} and profile.left == {} and profile.opened["handles"].limit == 8


def test_what_a_later_version_has_added_is_passed_over():
    profile, _, _ = a_profile()
    one_file(profile, means.SIZE, {"after_close"})
    text = json.loads(profile.to_json())
    text["means"]["a later one"] = {"rung": "best"}
    text["more"] = 1
    again, _, _ = a_profile()
    again.load(json.dumps(text))
    assert again.known() == {"size": "after_close"}


def test_what_is_left_has_a_bound_and_is_used_again():
    profile, _, _ = a_profile()
    for number in range(MOST_LEFT + 5):
        profile.leave(f"day/{number}", reusable=number % 2 == 0)
    assert len(profile.left) == MOST_LEFT and profile.left_more == 5
    assert "205 temporary files" in profile.lines()[-1]
    assert profile.take_left("other") is None
    assert profile.take_left("day") == "day/0" and profile.take_left("day") == "day/2"
    assert not profile.left["day/2"], "on record, and nobody else gets it"
    profile.gone(["day/0"])
    profile.leave("day/2", reusable=True)
    assert profile.take_left("day") == "day/2" and "day/0" not in profile.left


def test_what_was_cut_rests_before_it_is_used_again():
    profile, _, clock = a_profile()
    profile.leave("day/1", reusable=True, rests=True)
    assert profile.take_left("day") is None
    profile.leave("day/2", reusable=True)
    assert profile.take_left("day") == "day/2", "all that was asked about it is answered"
    again, _, _ = a_profile()
    again.load(profile.to_json())
    assert again.take_left("day") is None and again.rests == {"day/1": T0}
    clock.now += REST_SECS
    assert profile.take_left("day") == "day/1" and profile.rests == {}
    profile.leave("day/1", reusable=True)
    assert profile.take_left("day") == "day/1"
    profile.leave("day/3", reusable=True, rests=True)
    clock.now -= 10 * REST_SECS
    assert profile.take_left("day") == "day/3", "a clock that was set back keeps nothing back"
    profile.leave("day/3", reusable=True, rests=True)
    profile.gone(["day/3"])
    assert profile.rests == {} and "day/3" not in profile.left


def test_of_very_many_resting_the_longest_rested_is_used():
    profile, _, clock = a_profile()
    for number in range(MOST_RESTING):
        profile.leave(f"day/{number}", reusable=True, rests=True)
        clock.now += 1
    assert profile.take_left("day") is None
    profile.leave("other/1", reusable=True, rests=True)
    assert profile.take_left("day") == "day/0" and profile.take_left("day") is None
    assert profile.take_left("nowhere") is None


def test_what_an_upload_has_nobody_else_gets():
    profile, _, _ = a_profile()
    profile.leave("day/1", reusable=True)
    assert profile.take("day/1") and not profile.take("day/1") and not profile.take("day/2")
    assert profile.take_left("day") is None


@given(
    st.sampled_from([b"", b"/", b"a/b/", b"/pysubtask-temp/"]),
    st.sampled_from(
        [
            b".pysubtask-0a.part",
            b".pysubtask-0a.csv",
            b"pysubtask-0a.part",
            b"pysubtask-0a.left",
            b"pysubtask-0a",
            b"pysubtask-0a.csv",
        ]
    ),
)
def test_names_of_what_stays_are_new_and_follow_from_the_old(folder, name):
    path, seen = folder + name, set()
    for _ in range(12):
        assert path not in seen and path.startswith(folder) and path.count(b"/") == folder.count(b"/")
        seen.add(path)
        path = moved_on(path)
    assert len({each.rpartition(b".")[2] for each in seen} & {b"csv"}) == name.endswith(b".csv"), "an ending stays"


class TestAllowance:
    @given(st.integers(1, 64), st.integers(1, 64))
    def test_it_finds_what_is_allowed_and_few_are_refused(self, most, allowed):
        allowance, refused, uses = Allowance(most), 0, 0
        for _ in range(300):
            opened = 0
            for _ in range(allowance.limit):
                if opened < allowed:
                    opened += 1
                    allowance.worked(opened)
                    uses += 1
                else:
                    refused += 1
                    allowance.refused(opened)
                    break
            assert 1 <= allowance.limit <= most
        assert allowance.limit <= max(1, min(most, allowed)) + 1
        assert allowance.limit >= min(most, allowed) // 2
        assert refused <= 2 + uses * 0.05
        assert allowance.learned == (allowed < most)

    def test_it_grows_with_the_server(self):
        allowance = Allowance(10)
        allowance.refused(2)
        assert allowance.limit == 2
        for _ in range(BEYOND * 20):
            allowance.worked(allowance.limit)
        assert allowance.limit == 10 and not allowance.learned

    def test_what_had_another_reason_is_taken_back(self):
        allowance = Allowance(10)
        before = allowance.checkpoint()
        allowance.refused(5)
        allowance.refused(1)
        allowance.innocent(before)
        assert allowance.limit == 10 and not allowance.learned
