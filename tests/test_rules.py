"""The rules of CONTRIBUTING.md and docs/ARCHITECTURE.md that a program can check, read from the source."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import make_module_map

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pysubtask"
ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"

# ---- names

# Words that once had a meaning of their own here, or too many meanings.
PRIVATE_WORDS = {
    *(
        "ahead",
        "birth",
        "board",
        "coarse",
        "desk",
        "glance",
        "look",
        "made",
        "mark",
        "news",
        "ripen",
        "said",
        "seat",
        "shown",
        "storm",
    ),
    *("tend", "told", "toll", "voice", "wanted", "way", "yard"),
}
NAMES_THAT_STAY: dict[str, str] = {
    "mark": "persisted: the fingerprint of the settings in status.json and in the hand-off of a child",
    "said": "persisted: what the server said, in status.json and events.jsonl",
    "connection_made": "asyncio's name of the callback",
    "news": "the module that apps may have imported before its classes had other names",
    "News": "an app may have imported it",
    "Mark": "an app may have imported it",
}


@functools.cache
def words_of(name: str) -> set[str]:
    """The words of an identifier, in small letters and in the singular."""
    words = {word.lower() for word in re.split(r"_+|(?<=[a-z0-9])(?=[A-Z])", name) if word}
    return words | {word.removesuffix("s") for word in words}


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module binds or uses, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name):
            yield node.id, line
        elif isinstance(node, ast.Attribute):
            yield node.attr, line
        elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
            yield node.arg, line
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or (
            isinstance(node, ast.ExceptHandler) and node.name
        ):
            yield str(node.name), line
        elif isinstance(node, ast.alias):
            yield from ((part, line) for part in (node.asname or node.name).split("."))


@functools.cache
def modules() -> list[tuple[str, ast.Module]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))) for path in paths]


def test_no_name_is_of_the_private_language():
    found = []
    for path, tree in modules():
        parts = Path(path).with_suffix("").parts
        names = [*identifiers(tree), *((part, 0) for part in parts)]
        found += [f"{path}:{line} {name}" for name, line in names if words_of(name) & PRIVATE_WORDS and name not in NAMES_THAT_STAY]
    assert found == []


@pytest.mark.parametrize(
    ("name", "is_found"), [("_looks_at", True), ("lookup", False), ("ShownName", True), ("away", False), ("MARK", True)]
)
def test_words_are_told_apart(name, is_found):
    assert bool(words_of(name) & PRIVATE_WORDS) == is_found


# ---- files

# Above 400 lines, and at most as long as they are now: what is cut up takes its row away.
LONG = {
    "pysubtask/common/own_files.py": 570,
    "pysubtask/control/doctor/causes.py": 500,
    "pysubtask/control/doctor/examine.py": 490,
    "pysubtask/control/doctor/local.py": 510,
    "pysubtask/control/doctor/server.py": 510,
    "pysubtask/control/run/task_runner.py": 430,
    "pysubtask/defaults_config.py": 680,
    "pysubtask/master/child_config.py": 470,
    "pysubtask/master/task_master.py": 700,
    "pysubtask/subtask/base_subtask.py": 860,
    "pysubtask/subtask/delivery/dispatcher.py": 720,
    "pysubtask/subtask/delivery/uploads.py": 520,
    "pysubtask/subtask/snapshot/pipeline.py": 490,
    "pysubtask/subtask/snapshot/snapshotter.py": 450,
    "pysubtask/subtask/spool/queue.py": 740,
    "pysubtask/subtask/state_migration.py": 440,
    "pysubtask/subtask/watch/watcher.py": 640,
    "pysubtask/testing/servers/sshd.py": 440,
    "pysubtask/transports/ftp/publish.py": 460,
    "pysubtask/transports/sftp/client.py": 450,
    "pysubtask/transports/sftp/publish.py": 450,
}


def test_modules_are_short():
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > LONG.get(path, 400)} == {}
    assert [path for path in LONG if lengths.get(path, 0) <= 400] == [], "these need no row any more"


def test_nothing_is_kept_from_the_formatter():
    skips = [path for folder in ("pysubtask", "proofs", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    word = "fmt: " + "skip"
    assert [path.name for path in skips if word in path.read_text("utf-8")] == []


# ---- one place for each thing

SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE FROM|CREATE TABLE|PRAGMA|ALTER TABLE) ")
SLEEPS = {
    "pysubtask/common/lock.py": "a lock that another process holds for a moment",
    "pysubtask/control/alerts/trial.py": "the command",
    "pysubtask/control/commands/events.py": "the command",
    "pysubtask/control/commands/watch.py": "the command",
    "pysubtask/control/selftest/run.py": "the command",
    "pysubtask/control/tasks/feeds.py": "the command, in a process with another user's rights",
    "pysubtask/control/tasks/task.py": "the command",
    "pysubtask/master/child.py": "the end of a child, at most StopWaitSecs",
    "pysubtask/master/child_events.py": "wait_delivered, which an app calls to wait",
    "pysubtask/transports/ftp/session.py": "a worker thread: a server that stores a file after its answer",
    "pysubtask/transports/shared/pace.py": "a worker thread: the rate limit",
}


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_sql_stands_in_the_spool_alone():
    found = {path for path, tree in modules() if any(SQL.match(text) for text in strings(tree))}
    assert {path for path in found if not path.startswith("pysubtask/subtask/spool/")} <= {"pysubtask/subtask/state_migration.py"}
    assert found


def test_nothing_sleeps_but_where_it_is_listed():
    found = set()
    for path, tree in modules():
        for node in ast.walk(tree):
            is_sleep = (
                isinstance(node, ast.Attribute)
                and node.attr == "sleep"
                and isinstance(node.value, ast.Name)
                and node.value.id == "time"
            )
            if is_sleep and not path.startswith("pysubtask/testing/"):
                found.add(path)
    assert found == set(SLEEPS)


# ---- pages


def test_the_map_of_modules_is_that_of_the_source():
    assert make_module_map.PAGE.read_text("utf-8") == make_module_map.page(), f"run {make_module_map.COMMAND}"


def test_every_module_says_what_it_holds():
    assert [str(path) for path in make_module_map.modules() if not make_module_map.first_sentence(path)] == []


def test_each_path_in_the_architecture_exists():
    text = ARCHITECTURE.read_text("utf-8")
    paths = re.findall(r"`((?:pysubtask|proofs|tests|subtask|master|common|control|transports|testing)/[\w/]*(?:\.py)?)`", text)
    assert len(paths) > 40
    missing = [path for path in paths if not any((base / path).exists() for base in (ROOT, PACKAGE))]
    assert missing == []


def test_the_glossary_defines_each_term_once():
    text = ARCHITECTURE.read_text("utf-8")
    rows = re.findall(r"^\| \*\*([^*]+)\*\* \| (.+) \|$", text[text.index("## Glossary") :], re.MULTILINE)
    terms = [term for term, _ in rows]
    assert 30 <= len(terms) <= 60
    assert len({term.lower() for term in terms}) == len(terms)
    assert all(meaning.rstrip().endswith(".") for _, meaning in rows)
