"""What a server makes of a name, from what its folder shows. Pure."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.common.errors import FileRefused
from pysubtask.transports.shared.altered_names import Alias, AlteredNames, Row, find, key, kinds
from pysubtask.transports.shared.profile import Profile, Step


@pytest.mark.parametrize("name", ["a.csv", "img_0001.jpg", ".hidden", "2026-11-30.log", "x"])
def test_a_plain_name_has_nothing_to_be_found_out(name: str):
    assert kinds(name) == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("CAM.csv", ["capitals"]),
        ("a.csv.", ["'.' at the end"]),
        ("a ", ["blank", "blank at the end"]),
        (" a", ["blank", "blank at the beginning"]),
        ("a:b*", ["':'", "'*'"]),
        ("aux.txt", ["a name of a device"]),
        ("\u00e4", ["letters beyond ASCII"]),
        ("a\u0308", ["letters beyond ASCII", "accents of their own"]),
        ("a\udcf1", ["bytes that are no UTF-8"]),
        ("a" * 101, ["a long name"]),
    ],
)
def test_what_not_every_file_system_keeps(name: str, found: list[str]):
    assert kinds(name) == found


@pytest.mark.parametrize(
    ("name", "visible", "why"),
    [
        ("a.csv.", "a.csv", "a dot at the end"),
        ("a.csv ", "a.csv", "a blank at the end"),
        ("a. .", "a", "a dot and a blank at the end"),
        ("A.csv.", "a.csv", "a dot at the end"),
        ("CAM.csv", "cam.csv", "capital letters from small ones"),
        ("a\u0308.csv", "\u00e4.csv", "accents in another form"),
        ("*a.csv", "_a.csv", "the sign '*'"),
        (" a.csv", "_a.csv", "a blank"),
        ("a:b.csv", "a%3Ab.csv", "the sign ':'"),
        ("a:b.csv", "a", "ended at the sign ':'"),
        ("a\\b.csv", "a", "ended at the sign '\\\\'"),
        ("a;1.csv", "a", "ended at the sign ';'"),
        ("b" * 200 + ".csv", "b" * 143, "too long"),
        ("long name here.csv", "LONGNA~1.CSV", "a blank"),
    ],
)
def test_the_visible_name_and_the_sign_to_blame(name: str, visible: str, why: str):
    alias = find(name, [Row("other.csv", 7), Row(visible, 5)], 5)
    assert alias is not None and alias.visible == visible and why in alias.why


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("CAM.csv", [Row("cam.csv", 5), Row("CAM.csv", 5)]),  # it is there
        ("CAM.csv", [Row("other.csv", 5)]),
        ("CAM.csv", []),  # nothing like it is
        ("a b", [Row("a_b", 5), Row("a-b", 5)]),  # it may be any of them
        ("CAM.csv", [Row("cam.csv", 6)]),  # another file
    ],
)
def test_nothing_is_reported_where_nothing_is_known(name: str, rows: list[Row]):
    assert find(name, rows, 5) is None


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12))
def test_names_that_differ_in_what_servers_alter_share_a_key(name: str):
    assert key(name) == key(name.rstrip(". ") or name)
    assert key(f"x/{name}").startswith("x/")


class TestWhatIsRemembered:
    @staticmethod
    def build(now: list[float]) -> tuple[AlteredNames, Profile, list[Step]]:
        profile, steps = Profile(time.time), []  # type: tuple[Profile, list[Step]]
        profile.on_step = steps.append
        return AlteredNames(profile, lambda: now[0]), profile, steps

    def test_a_kind_that_was_kept_once_is_not_checked_again(self):
        names, profile, _ = self.build([0.0])
        assert names.open_parts("Day 1/IMG_1.JPG") == ["Day 1", "Day 1/IMG_1.JPG"]
        assert names.kept("x/Day 1", [Row("Day 1")]) == "x/dAY 1"  # to be asked for
        assert names.open_parts("Day 1/IMG_1.JPG") == []
        again = Profile(time.time)
        again.load(profile.to_json())
        assert AlteredNames(again).open_parts("Day 2/IMG_2.JPG") == [] and AlteredNames(again).open_parts("a*b") == ["a*b"]

    def test_plain_names_are_checked_where_a_server_ignores_case(self):
        names, profile, _ = self.build([0.0])
        assert names.may_meet("CAM.csv") and not names.may_meet("day/cam.csv")
        assert names.kept("CAM.csv", [Row("CAM.csv"), Row("cam.CSV")]) is None, "another file, so they are told apart"
        names.in_any_case()
        again = Profile(time.time)
        again.load(profile.to_json())
        assert AlteredNames(again).may_meet("day/cam.csv")

    def test_a_profile_of_the_version_before_is_taken(self):
        _, profile, _ = self.build([0.0])
        kept = json.loads(profile.to_json())
        del kept["shown"]
        profile.kept_kinds.add("capitals")
        profile.load(json.dumps(kept))
        assert profile.kept_kinds == set()

    def test_a_refused_name_costs_nothing_for_a_day(self):
        now = [0.0]
        names, profile, _ = self.build(now)
        names.check("a.csv.")
        refused = names.refuse("a.csv.", "a.csv.", Alias("a.csv", "it leaves out a dot at the end of a name"), lambda name: True)
        words = "a.csv.: the server shows 'a.csv' instead of this name, which another file here is sent to: it leaves out a dot"
        assert refused.cause.startswith(words)
        assert "'as'" in refused.remedy
        with pytest.raises(FileRefused, match="leaves out a dot"):
            names.check("a.csv.")
        now[0] = 24 * 3600.0
        names.check("a.csv.")
        names.refuse("a.csv.", "a.csv.", Alias("a.csv", "it leaves out a dot"))
        with pytest.raises(FileRefused):
            names.check("a.csv.")
        profile.try_again()  # as after 'pysubtask retry'
        names.check("a.csv.")

    def test_another_unicode_form_is_the_same_name_unless_anothers(self):
        names, _, steps = self.build([0.0])
        alias = Alias("\u00e4.csv", "")
        assert names.judge("x/a\u0308.csv", "x/a\u0308.csv", alias) and names.judge("x/a\u0308.csv", "x/a\u0308.csv", alias)
        assert [step.means for step in steps] == ["names"]
        assert not names.judge("x/a\u0308.csv", "x/a\u0308.csv", alias, lambda name: name == "x/\u00e4.csv")
        assert not names.judge("CAM.csv", "CAM.csv", Alias("cam.csv", ""))
