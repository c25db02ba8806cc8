import enum
import math
import pathlib
import types

import pytest

from pysubtask import defaults_config
from pysubtask._config import Struct
from pysubtask.common.config import (
    MASK,
    Section,
    Setting,
    is_secret,
    masked,
    nearest,
    resolve,
    resolve_burst,
    rows_of,
    section_of,
    values_of,
)
from pysubtask.common.errors import ConfigError
from pysubtask.common.text import amount
from pysubtask.control.doctor.finding import size

TABLE = defaults_config.SETTINGS


def settle(config, extension="ftp", defaults=defaults_config):
    return resolve(TABLE, defaults, config, extension)


def defaults_copy(**sections):
    """The defaults module as a user may have left it."""
    kept = {name: Section("", **values_of(getattr(defaults_config, name))) for name in TABLE}
    return types.SimpleNamespace(**(kept | sections))


def test_each_row_has_a_default_of_its_kind_and_a_meaning():
    for name, rows in TABLE.items():
        assert len({row.key for row in rows}) == len(rows)
        for row in rows:
            assert row.check(name, row.default) == row.default
            assert row.meaning.endswith(".")
            assert (row.unit != "") or row.kind in (str, bool, list) or row.key in ("HostPort",), row.key


def test_defaults_of_version_1_stand():
    base, ftp = settle({}, None), settle({})
    assert (base["SubtaskDescription"], ftp["SubtaskDescription"]) == ("BaseSubtask Scheduler", "S/FTP Uploader")
    assert (base["BakToFolder"], ftp["BakToFolder"]) == ("upload", "upload/ftp")
    assert (ftp["TimerIntervalSecs"], ftp["HostPort"], ftp["DeadTimeMilli"], ftp["UseSFTP"]) == (2, -1, 180000, True)
    assert resolve_burst(TABLE, defaults_config, {}) == {
        "start_trigger_milli": 1000,
        "start_trigger_count": 2,
        "start_trigger_bytes": None,
        "start_trigger_mode": "either",
        "expire_milli": 5000,
    }


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500k", 500_000),
        ("500 K", 500_000),
        ("500kB", 500_000),
        ("4M", 4_000_000),
        ("1.5m", 1_500_000),
        ("1G", 10**9),
        ("7", 7),
        ("64Ki", 65536),
        ("64 KiB", 65536),
        ("4Mi", 4 * 2**20),
        ("1gib", 2**30),
    ],
)
def test_an_amount_is_printed_in_the_unit_it_was_written_in(text, count):
    rows = {row.key: row for row in TABLE["base"]}
    for key in ("RateLimit", "MinFreeBytes"):
        assert rows[key].read("base", text) == count
    if text.lower().endswith(("k", "kb", "g")):
        assert amount(count).lower().split(" ")[0] in text.lower().replace("g", ".0")
        assert size(count).startswith(amount(count).split(".")[0])


@pytest.mark.parametrize("text", ["k", "5x", "5kk", "5 k m", "kib", "5ib", "-5k", "nan k", ""])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ConfigError, match=r"base\.MinFreeBytes"):
        next(row for row in TABLE["base"] if row.key == "MinFreeBytes").read("base", text)


@pytest.mark.parametrize("key", ["TimerIntervalSecs", "RetryWaitSecs"])
def test_extension_wins_over_base_wins_over_defaults(key):
    both = {"base": {key: 7}, "ftp": {key: 5}}
    assert settle(both)[key] == 5
    assert settle(both, None)[key] == 7
    assert settle({"base": {key: 7}})[key] == 7
    assert settle({"ftp": {key: 5}}, None)[key] == settle({}, None)[key]


def test_an_assigned_default_is_the_users_but_below_the_config():
    defaults = defaults_copy()
    defaults.base.TimerIntervalSecs = 9
    assert settle({}, None, defaults)["TimerIntervalSecs"] == 9
    assert settle({}, "ftp", defaults)["TimerIntervalSecs"] == 9
    assert settle({"base": {"TimerIntervalSecs": 7}}, "ftp", defaults)["TimerIntervalSecs"] == 7
    defaults.ftp.TimerIntervalSecs = 8
    assert settle({}, "ftp", defaults)["TimerIntervalSecs"] == 8


def test_replaced_defaults_section_leaves_no_setting_out():
    defaults = defaults_copy(base=Section("mine", TimerIntervalSecs=9), burst_mode=Section("mine"), ftp=None)
    assert settle({}, "ftp", defaults).keys() == settle({}).keys()
    assert settle({}, None, defaults)["TimerIntervalSecs"] == 9
    assert resolve_burst(TABLE, defaults, {})["expire_milli"] == 5000


def test_wrong_default_is_named_too():
    with pytest.raises(ConfigError, match=r"base\.TimerIntervalSecs"):
        settle({}, "ftp", defaults_copy(base=Section("", TimerIntervalSecs="2")))


class Slotted:
    __slots__ = ("Host", "User")

    def __init__(self):
        self.Host = "h"


class Plain:
    Host = "h"
    _private = 1

    @property
    def User(self):
        return "u"

    def method(self):
        return 1


class Derived(Plain):
    pass


def as_module():
    module = types.ModuleType("ftp_section")
    exec("from __future__ import annotations\nimport os\nfrom math import floor\nHost = 'h'\nUser = 'u'", vars(module))
    return module


@pytest.mark.parametrize(
    "section",
    [
        {"Host": "h", "User": "u"},
        Section("comment", Host="h", User="u"),
        Struct("comment", Host="h", User="u"),
        types.SimpleNamespace(Host="h", User="u"),
        Derived(),
        as_module(),
    ],
    ids=lambda section: type(section).__name__,
)
def test_a_section_may_be_anything_with_names(section):
    before = dict(vars(section)) if hasattr(section, "__dict__") else None
    assert values_of(section) == {"Host": "h", "User": "u"}
    assert settle(types.SimpleNamespace(ftp=section))["User"] == "u"
    assert settle({"ftp": section})["Host"] == "h"
    assert before is None or before == dict(vars(section))


def test_class_slots_and_none_as_section():
    assert values_of(type("Ftp", (), {"Host": "h"})) == {"Host": "h"}
    assert values_of(Slotted()) == {"Host": "h"}
    assert values_of(None) == {}


def test_nothing_of_the_callers_is_changed():
    config = {"base": {"TimerIntervalSecs": 7}, "ftp": Section("", Host="h")}
    settle(config)["Host"] = "other"
    assert config == {"base": {"TimerIntervalSecs": 7}, "ftp": Section("", Host="h")}
    assert values_of(defaults_config.ftp)["Host"] == ""


@pytest.mark.parametrize(
    ("config", "key", "remedy"),
    [
        ({"ftp": {"Hots": "h"}}, "ftp.Hots", "'Host'"),
        ({"base": {"Host": "h"}}, "base.Host", "Known here"),
        ({"ftp": {"timerintervalsecs": 1}}, "ftp.timerintervalsecs", "'TimerIntervalSecs'"),
        ({"ftp": {"qqqqqqqqqqq": 1}}, "ftp.qqqqqqqqqqq", "Known here"),
        ({"ftp": {"HostPort": "22"}}, "ftp.HostPort", "a whole number from -1 to 65535"),
        ({"ftp": {"HostPort": 22.0}}, "ftp.HostPort", "a whole number"),
        ({"ftp": {"HostPort": 70000}}, "ftp.HostPort", "from -1 to 65535"),
        ({"ftp": {"HostPort": True}}, "ftp.HostPort", "a whole number"),
        ({"ftp": {"UseSFTP": 1}}, "ftp.UseSFTP", "True or False"),
        ({"ftp": {"UseSFTP": None}}, "ftp.UseSFTP", "True or False"),
        ({"base": {"TimerIntervalSecs": 0}}, "base.TimerIntervalSecs", "(seconds)"),
        ({"base": {"TimerIntervalSecs": math.nan}}, "base.TimerIntervalSecs", "a number from 0.05"),
        ({"base": {"TimerIntervalSecs": math.inf}}, "base.TimerIntervalSecs", "to 3600"),
        ({"base": {"TimerIntervalSecs": 10**400}}, "base.TimerIntervalSecs", "to 3600"),
        ({"base": {"TimerIntervalSecs": True}}, "base.TimerIntervalSecs", "a number"),
        ({"base": {"MinFreeBytes": -1}}, "base.MinFreeBytes", "not below 0 (bytes)"),
        ({"ftp": {"HostKeyPolicy": "ignore"}}, "ftp.HostKeyPolicy", "'strict', 'accept-new'"),
        ({"ftp": {"Host": "a\0b"}}, "ftp.Host", "text"),
        ({"ftp": {"Host": b"h"}}, "ftp.Host", "text"),
        ({"ftp": {"Host": None}}, "ftp.Host", "text"),
        ({"ftp": {"KeyFile": pathlib.Path("key")}}, "ftp.KeyFile", "text or None"),
        ({"ftp": Section("", Host=str.upper)}, "ftp.Host", "text"),
    ],
)
def test_wrong_setting_is_named_with_its_remedy(config, key, remedy):
    with pytest.raises(ConfigError) as error:
        settle(config)
    assert error.value.key == key
    assert str(error.value).startswith(key)
    assert remedy in error.value.remedy


def test_wrong_burst_setting_is_named():
    with pytest.raises(ConfigError, match=r"burst_mode\.start_trigger_count"):
        resolve_burst(TABLE, defaults_config, {"burst_mode": {"start_trigger_count": 0}})


class Port(enum.IntEnum):
    SSH = 22


class Name(enum.StrEnum):
    HERE = "example.org"


class Single(float):
    pass


def test_numbers_and_texts_of_other_classes_become_plain_ones():
    found = settle({"ftp": {"HostPort": Port.SSH, "Host": Name.HERE, "TimerIntervalSecs": Single(0.5), "RetryWaitSecs": Port.SSH}})
    kept = [found[key] for key in ("HostPort", "Host", "TimerIntervalSecs", "RetryWaitSecs")]
    assert kept == [22, "example.org", 0.5, 22]
    assert [type(value) for value in kept] == [int, str, float, int]


def test_list_setting():
    row = Setting("Names", ["a"], "", "Some names.")
    assert row.check("base", ("b", "c")) == ["b", "c"]
    for wrong in ("b", [1], {"b": 1}):
        with pytest.raises(ConfigError, match="a list of texts"):
            row.check("base", wrong)


def test_none_only_where_it_means_something():
    found = settle({"ftp": {"BakToFolder": None, "Password": None}, "base": {"Master_Log_FileName": None}})
    assert found["BakToFolder"] is None
    assert found["Master_Log_FileName"] is None


def test_secrets_are_masked_everywhere():
    secret = {row.key for rows in TABLE.values() for row in rows if row.secret}
    assert secret == {"Password", "AccessToken", "RefreshToken"}
    assert not is_secret("PasswordFile") and not is_secret("RefreshTokenFile")
    assert is_secret("KeyPassphrase")
    assert masked({"Password": "geheim", "Host": "h", "AccessToken": None}) == {"Password": MASK, "Host": "h", "AccessToken": None}
    assert "geheim" not in repr(Section("c", Password="geheim", Host="h"))
    for wrong in (b"geheim", ["geheim"], "ge\0heim"):
        with pytest.raises(ConfigError) as error:
            settle({"ftp": {"Password": wrong}})
        assert "heim" not in str(error.value)


@pytest.mark.parametrize(
    ("proxy", "masked_url"),
    [
        ("http://h:1", "http://h:1"),
        ("http://me:geheim@h:1/", f"http://{MASK}@h:1/"),
        ("http://geheim@h", f"http://{MASK}@h"),
        ("me:geheim@h:1", f"{MASK}@h:1"),
        ("http://me:ge@heim//ge@h", f"http://{MASK}@h"),
        ("", ""),
        (None, None),
        ({"https": "http://me:geheim@h"}, MASK),
    ],
)
def test_the_password_in_a_proxys_url_is_masked_everywhere(proxy, masked_url):
    assert masked({"Proxy": proxy}) == {"Proxy": masked_url}
    assert "heim" not in repr(Section("c", Proxy=proxy))
    with pytest.raises(ConfigError) as error:
        settle({"dropbox": {"Proxy": [proxy]}}, "dropbox")
    assert "heim" not in str(error.value)


def test_section_is_a_bag():
    section = Section("my station", Host="h")
    section.User = "u"
    assert list(section) == ["Host", "User"]
    assert section == Section("other words", Host="h", User="u")
    assert section != Section("", Host="h")
    assert section != {"Host": "h"}
    assert repr(section) == "Section('my station', Host='h', User='u')"
    assert repr(Section()) == "Section('')"
    with pytest.raises(AttributeError, match="Hots"):
        _ = section.Hots
    with pytest.raises(TypeError):
        hash(section)


def test_section_of_module_object_and_mapping():
    assert section_of({"ftp": 1}, "ftp") == 1
    assert section_of({}, "ftp") is None
    assert section_of(types.SimpleNamespace(ftp=1), "ftp") == 1
    assert section_of(Section(ftp=1), "base") is None


def test_nearest():
    assert nearest("hsot", ["Host", "User"]) == "Host"
    assert nearest("Pasword", ["Password", "HostPort"]) == "Password"
    assert nearest("elephant", ["Host", "User"]) is None
    assert nearest("x", []) is None


def test_a_childs_rows_are_those_of_base_and_its_own_in_place():
    base, ftp = ({row.key: row for row in TABLE[name]} for name in ("base", "ftp"))
    found = rows_of(TABLE, "ftp")
    assert found == {**base, **ftp} and found["BakToFolder"] is ftp["BakToFolder"] is not base["BakToFolder"]
    assert rows_of(TABLE, None) == rows_of(TABLE, "base") == rows_of(TABLE, "an app's own") == base
