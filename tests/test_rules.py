"""The rules of CONTRIBUTING.md and docs/ARCHITECTURE.md that a program can check, read from the source."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask.common import state_files
from tests import make_module_map

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pysubtask"
ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

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
    "look_for_keys": "an argument of paramiko",
    "looks": "persisted: the report of `pysubtask selftest --json`",
}
NAMES_THAT_STAY_IN_TESTS: dict[str, str] = {
    "mark": "pytest.mark",
    "marks": "an argument of pytest.param",
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
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from ((name, line) for name in node.names)
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name, line


@functools.cache
def beside_the_package() -> list[tuple[str, ast.Module]]:
    paths = [path for room in ("benchmarks", "proofs") for path in sorted((ROOT / room).rglob("*.py"))] + sorted(ROOT.glob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))) for path in paths]


@functools.cache
def modules() -> list[tuple[str, ast.Module]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))) for path in paths]


def private_names(path: str, tree: ast.Module, that_stay: dict[str, str]) -> list[str]:
    """The identifiers of a module, and the parts of its path, that have a word of the private language."""
    names = [*identifiers(tree), *((part, 0) for part in Path(path).with_suffix("").parts)]
    return [f"{path}:{line} {name}" for name, line in names if words_of(name) & PRIVATE_WORDS and name not in that_stay]


@pytest.mark.slow
def test_no_name_is_of_the_private_language():
    trees = [*modules(), *beside_the_package()]
    assert [place for path, tree in trees for place in private_names(path, tree, NAMES_THAT_STAY)] == []


@pytest.mark.slow
def test_no_name_in_tests_is_of_the_private_language():
    paths = sorted((ROOT / "tests").rglob("*.py"))
    trees = [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))) for path in paths]
    assert len(trees) > 200
    assert [place for path, tree in trees for place in private_names(path, tree, NAMES_THAT_STAY_IN_TESTS)] == []


def test_names_of_each_kind_are_found():
    source = """
import news as told
def look(way, *made, **shown):
    with open(way) as said:
        wanted = said.ahead(board=1)
    try:
        global desk
    except OSError as mark:
        pass
    match way:
        case [*yard]:
            pass
class Voice:
    tolls: int
"""
    found = private_names("tests/seat.py", ast.parse(source), {})
    names = {place.split()[1] for place in found}
    assert names == {
        *("told", "look", "way", "made", "shown", "said", "wanted", "ahead", "board", "desk", "mark", "yard", "Voice", "tolls"),
        "seat",
    }


@pytest.mark.parametrize(
    ("name", "is_found"), [("_looks_at", True), ("lookup", False), ("ShownName", True), ("away", False), ("MARK", True)]
)
def test_words_are_distinguished(name, is_found):
    assert bool(words_of(name) & PRIVATE_WORDS) == is_found


LONGEST_TEST = 60  # characters of the name of a test: it stands on one line of a report beside its module


def places_of_tests() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


@pytest.mark.slow
def test_names_of_tests_are_short():
    assert [place for place, node in places_of_tests() if len(node.name) > LONGEST_TEST] == []


@pytest.mark.slow
def test_a_test_function_has_no_return_annotation():
    assert [place for place, node in places_of_tests() if node.returns is not None] == []


# ---- the harness

COMMANDS = {"make_api_doc.py", "make_config_doc.py", "make_module_map.py", "make_settings_types.py", "quirk_pairs.py"}
"""Programs that a person runs: ``python -m tests.make_api_doc``."""


def test_the_harness_stands_in_one_folder():
    paths = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py")]
    support = {path for path in paths if path.parts[0] == "support"}
    assert [str(path) for path in support if path.name.startswith("test_")] == []
    may_stand_beside_tests = {"__init__.py", "conftest.py", "contract.py"} | COMMANDS
    others = {path for path in paths if not path.name.startswith("test_") and path.name not in may_stand_beside_tests}
    assert others == support - {path for path in support if path.name == "__init__.py"}, (
        "it holds no tests: move it to tests/support"
    )


# ---- files

# Above 400 lines, and at most as long as they are now: what is cut up takes its row away.
LONG: dict[str, int] = {}


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
    "pysubtask/daemon/connection.py": "a client that waits for a reply by files",
    "pysubtask/daemon/find.py": "get(wait=...), which a client calls to wait",
    "pysubtask/master/child.py": "the end of a child, at most StopWaitSecs",
    "pysubtask/master/child_events.py": "wait_delivered, which an app calls to wait",
    "pysubtask/master/guard.py": "the process id of a child that is being started, at most a tenth of a second",
    "pysubtask/transports/ftp/session.py": "a worker thread: a server that stores a file after its answer",
    "pysubtask/transports/shared/pace.py": "a worker thread: the rate limit",
}


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.slow
def test_sql_stands_in_the_spool_alone():
    found = {path for path, tree in modules() if any(SQL.match(text) for text in strings(tree))}
    assert {path for path in found if not path.startswith("pysubtask/subtask/spool/")} <= {"pysubtask/subtask/state_migration.py"}
    assert found


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_map_of_modules_is_that_of_the_source():
    assert make_module_map.PAGE.read_text("utf-8") == make_module_map.page(), f"run {make_module_map.COMMAND}"


@pytest.mark.slow
def test_every_module_says_what_it_holds():
    assert [str(path) for path in make_module_map.modules() if not make_module_map.first_sentence(path)] == []


def test_each_path_in_the_architecture_exists():
    text = ARCHITECTURE.read_text("utf-8")
    paths = re.findall(
        r"`((?:pysubtask|proofs|tests|subtask|master|common|control|delivery_rules|transports|testing)/[\w/]*(?:\.py)?)`", text
    )
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


# ---- docstrings


class Undocumented(ast.NodeVisitor):
    """What a module offers without saying what it is: public functions and classes without a docstring, exceptions that a public
    function raises and no docstring names, fields of rows that none mentions."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self.path = path
        self.missing: list[str] = []
        self._docs = [ast.get_docstring(tree) or ""]
        self._is_public = [True]
        self.visit(tree)

    def _enter(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        self._is_public.append(self._is_public[-1] and not node.name.startswith("_"))
        self._docs.append(ast.get_docstring(node) or "")
        return self._docs[-1]

    def _leave(self) -> None:
        self._is_public.pop()
        self._docs.pop()

    def _miss(self, node: ast.AST, what: str) -> None:
        self.missing.append(f"{self.path}:{getattr(node, 'lineno', 0)} {what}")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        doc = self._enter(node)
        if self._is_public[-1]:
            if not doc:
                self._miss(node, f"class {node.name} has no docstring")
            if {ast.unparse(base) for base in node.bases} & {"NamedTuple", "TypedDict"}:
                self._fields(node)
        for child in node.body:
            self.visit(child)
        self._leave()

    def _fields(self, node: ast.ClassDef) -> None:
        for child, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
                has_docstring = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if not has_docstring and not re.search(rf"\b{child.target.id}\b", " ".join(self._docs)):
                    self._miss(child, f"field {node.name}.{child.target.id}")

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        doc = self._enter(node)
        if self._is_public[-1]:
            decorators = {ast.unparse(each) for each in node.decorator_list}
            if not doc and not any(each in ("override", "overload") or each.endswith(".setter") for each in decorators):
                self._miss(node, f"{node.name} has no docstring")
            for child in ast.walk(node):
                if isinstance(child, ast.Raise) and child.exc is not None:
                    self._raised(child, child.exc)
        self._leave()  # what a function defines inside is its own affair

    visit_AsyncFunctionDef = visit_FunctionDef

    def _raised(self, node: ast.Raise, exc: ast.expr) -> None:
        name = ast.unparse(exc.func if isinstance(exc, ast.Call) else exc).rpartition(".")[2]
        silent = ("NotImplementedError", "AssertionError", "StopIteration", "SystemExit")
        if name[:1].isupper() and name not in silent and name not in " ".join(self._docs):
            self._miss(node, f"raises {name}, which no docstring names")


@pytest.mark.slow
def test_what_is_public_says_what_it_is():
    assert [line for path, tree in modules() for line in Undocumented(path, tree).missing] == []


def test_what_is_not_documented_is_found():
    source = '''"""A module."""
from typing import NamedTuple
class Row(NamedTuple):
    """A row: ``name``."""
    name: str
    size: int
def begin() -> None:
    raise OSError
'''
    assert [line.partition(" ")[2] for line in Undocumented("x.py", ast.parse(source)).missing] == [
        "field Row.size",
        "begin has no docstring",
        "raises OSError, which no docstring names",
    ]


# ---- the pages that follow the code


def rows_of_one_upload():
    """The rows of each table of the page: the file, and the functions to read in it."""
    tables = []
    page = (ROOT / "docs" / "one-upload.md").read_text("utf-8")
    for number, path, functions in re.findall(r"^\| (\d+) \| `([^`]+)` \| ([^|]+) \|", page, re.MULTILINE):
        if number == "1":
            tables.append([])
        tables[-1].append((path, re.findall(r"`(\w+)`", functions)))
    return tables


def test_the_page_of_one_upload_names_existing_functions():
    missing = []
    for path, functions in itertools.chain.from_iterable(rows_of_one_upload()):
        names = {node.name for node in ast.walk(ast.parse((PACKAGE / path).read_text("utf-8"))) if isinstance(node, FUNCTIONS)}
        missing += [f"{path}: {function}" for function in functions if function not in names]
    assert missing == []


def test_an_upload_a_request_and_an_error_cross_few_files():
    files = [len({path for path, _ in rows}) for rows in rows_of_one_upload()]
    most = (20, 12, 10)
    assert len(files) == len(most)
    assert [count for count, limit in zip(files, most, strict=True) if count > limit] == []


# ---- what master and child agree on


@pytest.mark.slow
def test_the_names_of_state_files_stand_in_one_module():
    files = {value for name, value in vars(state_files).items() if name.isupper()}
    assert "spool.db" in files and "lock" in files
    files -= {"requests"}  # a library has that name, too
    found = [
        f"{path}: {text!r}"
        for path, tree in modules()
        if not path.endswith("/state_files.py") and not path.startswith("pysubtask/testing/")
        for text in strings(tree)
        if text in files
    ]
    assert found == []
