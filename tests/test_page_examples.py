"""What the pages show to be typed or written is taken by the real parsers, and what they name exists."""

from __future__ import annotations

import argparse
import ast
import builtins
import importlib
import importlib.util
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import pysubtask
from pysubtask import defaults_config
from pysubtask.common import entries
from pysubtask.common.config import SECTIONS
from pysubtask.control.cli import commands, main
from tests.support import pages

PAGES = [*sorted(pages.ROOT.glob("*.md")), *sorted(pages.DOCS.rglob("*.md"))]
# What a page names that is no setting and no class here: parameters of a master, methods of version 1, settings of ProFTPD.
OTHER_NAMES = {
    "LogFileName",
    "LogToConsole",
    "WatchFilesDirs",
    "SubtaskModuleName",
    "InfiniteTimer",
    "AllowOverwrite",
    "AllowStoreRestart",
}
# Pages that compare with the words of other systems, which no list here can have.
OF_OTHER_SYSTEMS = {"daemons.md"}
LOGGERS = {"pysubtask.client"}
# Words for a value that has to be one of a few.
PLACEHOLDER = re.compile(r" (?:KIND|ROOT)\b")
# A folder of this repository, as a page names files in it. What stands behind another folder is a file of the reader's.
TOP = r"(?:\.ci|tests|pysubtask|proofs|benchmarks|docs|common|master|subtask|control|transports|testing)"


class Line(NamedTuple):
    """One line to be typed: ``page`` and ``number`` say where it stands."""

    page: str
    number: int
    text: str


def name_of(path: Path) -> str:
    return path.relative_to(pages.ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def code_of(path: Path) -> Iterator[Line]:
    """The lines of blocks that are not Python, TOML or a script, and the code in sentences."""
    fence = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            fence = None if fence is not None else line[3:]
        elif fence in ("", "text") or (fence is None and line.startswith("    ")):
            yield Line(name_of(path), number, line.strip().removeprefix("$ "))
        elif fence is None:
            for code in re.findall(r"`([^`]+)`", line):
                yield Line(name_of(path), number, code)


def typed() -> Iterator[Line]:
    """Each single command of these lines: without what is piped, redirected, or said of it behind a #."""
    for path in PAGES:
        for line in code_of(path):
            for part in re.split(r" (?:&&|\|\|?|>+) ?|; ", re.split(r"\s{2,}#? ?| # ", line.text)[0]):
                yield line._replace(text=part.strip())


# ---- commands


def test_every_command_that_is_named_exists():
    named = [
        (line, match[1])
        for line in typed()
        if (match := re.match(r"(?:sudo )?(?:python -m )?pysubtask ([a-z]+)(?: |$)", line.text))
    ]
    assert len(named) > 200
    assert [f"{line.page}:{line.number}: {word}" for line, word in named if word not in commands()] == []


class _Parsed(Exception):
    """The command line was taken."""


def taken_by_its_parser(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a program that is run by ``python -m`` takes these words; it is ended before it does anything."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_end(self: argparse.ArgumentParser, args: list[str] | None = None, namespace: object = None) -> object:
        parse(self, args, namespace)
        raise _Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
        patch.setattr(sys, "argv", [module, *words])
        patch.setattr(sys, "path", [str(pages.ROOT), *sys.path])
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except _Parsed:
            return True
        except SystemExit as exc:
            return exc.code == 0
    return False


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_every_module_that_is_run_takes_its_options(monkeypatch: pytest.MonkeyPatch):
    refused, seen = [], set()
    for line in typed():
        words = re.match(r"(?:\w+=\S+ )?python3? -m ((?:pysubtask|proofs|benchmarks|tests)\S*)(.*)", line.text)
        if words is None or (words[1], words[2]) in seen or (words[1] == "pysubtask" and words[2]):
            continue
        seen.add((words[1], words[2]))
        spec = importlib.util.find_spec(words[1])
        assert spec is not None and spec.origin, f"{line}: there is no module {words[1]}"
        if spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{words[1]}.__main__")
            assert spec is not None and spec.origin, f"{line}: {words[1]} cannot be run"
        if words[2] and not PLACEHOLDER.search(words[2]) and not taken_by_its_parser(words[1], shlex.split(words[2]), monkeypatch):
            refused.append(line)
    assert refused == []
    assert len(seen) > 40


def test_a_wrong_option_of_a_module_is_refused(monkeypatch: pytest.MonkeyPatch):
    assert taken_by_its_parser("proofs.crash", ["--power"], monkeypatch)
    assert not taken_by_its_parser("proofs.crash", ["--powers"], monkeypatch)
    assert not taken_by_its_parser("proofs.crash", ["--kind", "no such kind"], monkeypatch)


def test_every_extra_that_is_installed_exists():
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        (line.page, extra)
        for path in PAGES
        for line in code_of(path)
        for extras in re.findall(r"(?:pysubtask|\.|whl)\[([a-z0-9,]+)\]", line.text)
        for extra in extras.split(",")
    }
    assert len(named) > 10
    assert {(page, extra) for page, extra in named if extra not in project["optional-dependencies"]} == set()
    wheels = {
        wheel for path in PAGES for line in code_of(path) for wheel in re.findall(r"pysubtask-(.+?)-py3-none-any\.whl", line.text)
    }
    assert wheels == {pysubtask.__version__}


# ---- names


def test_every_file_of_the_repository_that_is_named_exists():
    missing = []
    for path in PAGES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for code in re.findall(r"`([^`]+)`", line) if path.name != "modules.md" else ():
                for file, test in re.findall(rf"(?<![\w/.~-])({TOP}/[\w./-]*\w)(?:::(\w+))?", code):
                    if "NAME" in file:
                        continue
                    found = [base / f"{file}{end}" for base in (pages.ROOT, pages.ROOT / "pysubtask") for end in ("", ".py")]
                    found = [one for one in found if one.exists()]
                    if not found or (test and f"def {test}(" not in found[0].read_text(encoding="utf-8")):
                        missing.append(f"{name_of(path)}:{number}: {code}")
    assert missing == []


def test_every_setting_that_is_named_exists():
    known = (
        {row.key for rows in defaults_config.SETTINGS.values() for row in rows} | OTHER_NAMES | {*dir(pysubtask), *dir(builtins)}
    )
    known |= {f"{row.key}File" for rows in defaults_config.SETTINGS.values() for row in rows if row.secret}
    for source in (source for folder in ("pysubtask", "proofs", "tests") for source in (pages.ROOT / folder).rglob("*.py")):
        known |= set(re.findall(r"^\s*class (\w+)", source.read_text(encoding="utf-8"), re.MULTILINE))
    unknown = {
        f"{name_of(path)}: {word}"
        for path in PAGES
        if path.name not in OF_OTHER_SYSTEMS
        for code in re.findall(
            r"`([^`]+)`", re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        )
        for word in re.findall(r"(?<![\w/.~-])(?:(?:ftp|base|dropbox|alerts)\.)?([A-Z][a-z]+(?:[A-Z]\w*)+)", code)
        if word not in known
    }
    assert unknown == set()


def test_every_module_that_is_named_exists():
    for path in PAGES:
        for line in code_of(path):
            for name in re.findall(r"(?<![\w/.'-])((?:pysubtask|proofs|benchmarks)(?:\.[a-z_]\w*)+)(?!\w*[\[/])", line.text):
                if name.endswith((".toml", ".service", ".password", ".mypy")) or name in LOGGERS:
                    continue
                try:
                    pkgutil.resolve_name(name)
                except (ImportError, AttributeError) as exc:
                    pytest.fail(f"{line}: {exc}")


# ---- Python


def python_blocks() -> list[tuple[str, str, set[str]]]:
    """Page, text, and the names of modules that the page itself shows."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        own = {
            Path(name).with_suffix("").as_posix().replace("/", ".")
            for name in re.findall(r"^<!-- file: (\S+\.py) -->", text, re.MULTILINE)
        }
        own |= {name for block in blocks(path, "python") for name in re.findall(r"^# (\w+)\.py$", block, re.MULTILINE)}
        found += [(name_of(path), block, own) for block in blocks(path, "python")]
    return found


def test_what_python_in_the_pages_imports_exists():
    for page, text, own in python_blocks():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                modules = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [(node.module or "", alias.name) for alias in node.names]
            else:
                continue
            for module, name in modules:
                if module not in own:
                    imported = importlib.import_module(module)
                    assert not name or hasattr(imported, name), f"{page}: from {module} import {name}"
    assert len(python_blocks()) > 10


def test_settings_and_keys_in_python_of_the_pages_exist():
    settings = {
        section: {row.key for row in defaults_config.SETTINGS[section]} | {row.key for row in defaults_config.SETTINGS["base"]}
        for section in SECTIONS
    }
    seen = 0
    for page, text, _ in python_blocks():
        for node in ast.walk(ast.parse(text)):
            named: list[tuple[str, str]] = []
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Attribute)
                and isinstance(node.targets[0].value, ast.Name)
            ):
                named = [(node.targets[0].value.id, node.targets[0].attr)]
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Call):
                named = (
                    [(node.targets[0].id, word.arg or "") for word in node.value.keywords]
                    if ast.unparse(node.value.func) == "Section"
                    else []
                )
            elif isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                if {"file", "dir"} & set(keys):
                    assert set(keys) <= {*entries._FILE_KEYS, *entries._DIR_KEYS}, f"{page}: {keys}"
            for section, key in named:
                if section in settings:
                    assert key in settings[section], f"{page}: {section}.{key}"
                    seen += 1
    assert seen > 5


# ---- TOML


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's folders below tmp_path, with the data, keys and secrets that the configs of the pages name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    for folder in ("etc/pysubtask", "data/photos", "data/roof", "data/cellar", "home/station/roof", "usr/local/bin", ".ssh"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/local/bin/alert-mail").write_text("#!/bin/sh\n")
    (tmp_path / "usr/local/bin/alert-mail").chmod(0o755)
    (tmp_path / "etc/pysubtask/roof.password").write_text("secret\n")
    (tmp_path / "etc/pysubtask/roof.password").chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / ".ssh/id_ed25519")], check=True, timeout=60)
    (tmp_path / "etc/pysubtask/id_station").write_bytes((tmp_path / ".ssh/id_ed25519").read_bytes())
    (tmp_path / "etc/pysubtask/id_station").chmod(0o600)
    return tmp_path


def config_texts() -> list[tuple[str, str]]:
    """The TOML of the pages that are no guides (tests/test_docs.py has those)."""
    return [(name_of(path), text) for path in PAGES if path.parent.name != "guides" for text in blocks(path, "toml")]


@pytest.mark.parametrize("number", range(len(config_texts())))
def test_toml_in_the_pages_is_a_right_config(number: int, station: Path, capsys: pytest.CaptureFixture[str]):
    page, text = config_texts()[number]
    text = re.sub(r'(?<=")/(?=etc/|data/|home/|usr/)', f"{station}/", text)
    if "watch" not in text:
        text += f'[ftp]\nHost = "files.example.org"\n[[watch]]\ndir = "{station}/data/photos"\n'
    parts = re.split(r"^# /etc/pysubtask/(\S+)\n", text, flags=re.MULTILINE)
    files = dict(zip(parts[1::2], parts[2::2], strict=True)) or {"pysubtask.toml": text}
    for name, part in files.items():
        path = station / "etc/pysubtask" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(part)
        path.chmod(0o600)
    assert main(["check", str(station / "etc/pysubtask")]) == 0, f"{page}: {capsys.readouterr()}"


def test_the_pages_have_configs():
    assert {page for page, _ in config_texts()} >= {"docs/config.md", "docs/alerts.md"} and len(config_texts()) >= 4
