"""What a Python developer gets: names, types, the page of them, and what the types say is what the code does."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import pysubtask
from pysubtask import BaseMaster, ConfigError, Section, TaskMaster, defaults_config
from pysubtask.common import config_types, entries, entry_types, page_types, settings_types
from pysubtask.common.config import SECTIONS
from pysubtask.common.redact import forget_all
from tests import make_api_doc, make_settings_types
from tests.test_docs import calls, rows

FTP = {"Host": "files.example.org"}


# ---- the page


def test_the_page_is_that_of_the_code():
    text = make_api_doc.PAGE.read_text(encoding="utf-8")
    assert sorted(make_api_doc.parts(text)) == sorted(make_api_doc.PARTS)
    assert text == make_api_doc.rewritten(text), f"docs/api.md is out of date; run: {make_api_doc.COMMAND}"


def test_nothing_public_is_in_no_page():
    text = make_api_doc.PAGE.read_text(encoding="utf-8")
    code = set(re.findall(r"`([\w.]+)`", text))
    names = set(pysubtask.__all__) | set(pysubtask.testing.__all__)
    for door in ("base", "ftp", "dropbox"):
        names |= set(importlib.import_module(f"pysubtask.{door}").__all__) - {"main"}
    names -= {name for name in names if f"pysubtask.base.{name}" in code or f"pysubtask.{name}" in code}
    assert names - code == set()
    for kind in (TaskMaster, pysubtask.MasterStatus, pysubtask.ChildStatus, pysubtask.ChildEvent, pysubtask.Event):
        public = {name for name in vars(kind) if not name.startswith("_")} | set(make_api_doc.methods_of(kind))
        public -= {"display_name", "display_module"} | set(vars(tuple))
        assert public <= code, public - code
    assert set(pysubtask.StatusPage.__annotations__) | set(pysubtask.EventFields.__annotations__) <= code
    for section in SECTIONS:
        assert {row.key for row in defaults_config.SETTINGS[section]} <= code
    assert set(rows("config.md", "events.jsonl")) <= code


def test_readme_and_map_lead_there():
    root = make_api_doc.PAGE.parent.parent
    assert "(docs/api.md)" in (root / "README.md").read_text() and "(api.md)" in (root / "docs/ARCHITECTURE.md").read_text()


# ---- names


def test_all_that_calls_take_and_give_back_can_be_imported():
    from pysubtask import ChildEvent, EventCallback, EventPosition
    from pysubtask.master import child_events, news

    assert (news.News, news.Callback, news.Mark) == (ChildEvent, EventCallback, EventPosition)
    assert (pysubtask.News, pysubtask.Callback) == (ChildEvent, EventCallback)  # type: ignore[attr-defined]
    assert child_events.ChildEvent is ChildEvent
    hinted: set[str] = set()
    for kind in (BaseMaster, TaskMaster, pysubtask.FTPTaskMaster, pysubtask.DropboxTaskMaster):
        for _, method in [("__init__", kind.__init__), *make_api_doc.methods_of(kind).items()]:
            if not isinstance(method, property):
                hinted |= set(re.findall(r"\b[A-Z]\w+", " ".join(map(str, method.__annotations__.values()))))
    known = {"Sequence", "Mapping", "Any", "None", "PathLike", "Logger", "Unpack", "Self"}
    assert "ChildEvent" in hinted and hinted - known <= set(pysubtask.__all__)


def test_types_cost_an_app_nothing():
    code = (
        "import sys, pysubtask\nfrom pysubtask import TaskMaster\n"
        "print([name for name in sys.modules if name.endswith('_types') and name.startswith('pysubtask')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- types are those of the tables


def test_types_of_settings_come_from_the_table_of_settings():
    for path, text in make_settings_types.texts().items():
        assert path.read_text() == text, f"run: {make_settings_types.COMMAND}"
    assert set(settings_types.AnySettings.__annotations__) == set(settings_types.SectionAttributes.__annotations__)
    assert set(config_types.Config.__annotations__) == set(SECTIONS)


@pytest.mark.parametrize(("kind", "known"), [("FileEntry", entries._FILE_KEYS), ("FolderEntry", entries._DIR_KEYS)])
def test_types_of_entries_have_the_keys_that_are_read(kind: str, known: tuple[str, ...]):
    found = getattr(entry_types, kind)
    assert set(found.__annotations__) == set(known)
    assert found.__required_keys__ == {known[0]}


def test_types_of_the_page_have_the_fields_that_are_explained():
    assert set(pysubtask.StatusPage.__annotations__) == set(rows("config.md", "status.json"))


def test_types_of_events_have_the_fields_that_are_written():
    written = {keyword.arg for call in calls("emit", "happened") for keyword in call.keywords if keyword.arg}
    assert written | {"replaced", "by"} <= set(pysubtask.EventFields.__annotations__)


def fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of a type, of those that the page has."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is object:
        return True
    if origin in (typing.NotRequired, typing.Required):
        return fits(value, args[0])
    if origin is typing.Literal:
        return value in args
    if origin is list:
        return isinstance(value, list) and all(fits(item, args[0]) for item in value)
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return (
            isinstance(value, dict)
            and set(value) <= set(hints)
            and set(kind.__required_keys__) <= set(value)
            and all(fits(value[key], hints[key]) for key in value)
        )
    if args:
        return any(fits(value, one) for one in args)
    return value is None if kind is type(None) else type(value) is kind or (kind is float and type(value) is int)


def test_recorded_pages_and_events_are_of_their_types():
    import json

    for state in sorted((Path(__file__).parent / "recorded").glob("*/state")):
        page = state / "status.json"
        if page.exists():
            found = json.loads(page.read_text())
            hints = typing.get_type_hints(page_types.StatusPage)
            assert {key: value for key, value in found.items() if not fits(value, hints[key])} == {}, page
        hints = typing.get_type_hints(page_types.EventFields)
        for line in (state / "events.jsonl").read_text().splitlines() if (state / "events.jsonl").exists() else []:
            found = {key: value for key, value in json.loads(line).items() if key not in ("epoch", "n", "at", "kind")}
            assert {key: value for key, value in found.items() if not fits(value, hints[key])} == {}, line


# ---- wrong ones at run time, and what is no settings


@pytest.mark.parametrize(
    ("files", "config", "words"),
    [
        ([{"fil": "a.csv"}], {"ftp": FTP}, "watchfilesdirs[0].fil: this setting is not known. Did you mean 'file'?"),
        ([{"file": "a.csv", "burst": True}], {"ftp": FTP}, "watchfilesdirs[0].burst: this setting is not known. Known here: app"),
        ([{"file": "a.csv"}], {"ftp": {"Hots": "x"}}, "ftp.Hots: this setting is not known. Did you mean 'Host'?"),
        ([{"file": "a.csv"}], {"ftp": Section(Hots="x")}, "ftp.Hots: this setting is not known. Did you mean 'Host'?"),
        ([{"file": "a.csv"}], {"ftp": FTP, "base": Section(RetryCount="2")}, "base.RetryCount: '2' is of type str. Give"),
    ],
)
def test_what_a_type_checker_refuses_is_one_line_at_run_time(tmp_path, monkeypatch, files, config, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        TaskMaster(files, config, None, False)
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_section_may_be_a_subclass(tmp_path):
    class Station(Section):
        Host = "files.example.org"
        RetryCount = 7

    class Roof(Station):
        RetryCount = 9

    one = Roof(User="station7")
    assert dict.fromkeys(one) == dict.fromkeys(["Host", "RetryCount", "User"])
    master = TaskMaster([{"file": tmp_path / "a.csv"}], {"ftp": one}, None, False)
    settings = master._supervisor.children[0].plan.settings
    assert (settings["Host"], settings["RetryCount"], settings["User"]) == ("files.example.org", 9, "station7")


# ---- other processes


def test_a_master_is_not_pickled(tmp_path):
    master = TaskMaster([{"file": tmp_path / "a.csv"}], {"ftp": FTP}, None, False)
    with pytest.raises(TypeError) as caught:
        pickle.dumps(master)
    assert "cannot be given to another process" in str(caught.value) and "pysubtask.base.notify_file(path)" in str(caught.value)


SPAWNED = """
import multiprocessing, sys
from pysubtask import TaskMaster

GUARD
    master = TaskMaster([{'file': sys.argv[1]}], {'ftp': {'Host': 'files.example.org'}}, None, False)

def work(what): ...

if __name__ == '__main__':
    process = multiprocessing.get_context('spawn').Process(target=work, args=(GIVEN,))
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize(
    ("guard", "given", "words"),
    [
        ("if True:", "1", "ConfigError: TaskMaster: it is made a second time, while a process of multiprocessing"),
        ("if __name__ == '__main__':", "master", "TypeError: a TaskMaster cannot be given to another process"),
        ("if __name__ == '__main__':", "1", ""),
    ],
)
def test_spawn_gets_one_clear_error(tmp_path, guard, given, words):
    script = tmp_path / "app.py"
    script.write_text(SPAWNED.replace("GUARD", guard).replace("GIVEN", given))
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "a.csv")], capture_output=True, text=True, timeout=60)
    assert words in done.stderr and (done.returncode == 0) == (not words), done.stderr
    assert done.stderr.count("Error: ") == (1 if words else 0)
    forget_all()


def test_every_public_docstring_is_there():
    for name in pysubtask.__all__:
        found = getattr(pysubtask, name)
        if inspect.isclass(found):
            assert found.__doc__, name
