"""How large a class or a function of the child, of the master and of a push may be, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = tuple(ROOT / "pysubtask" / room for room in ("subtask", "master", "delivery_rules", "daemon", "control/push"))
MOST_ATTRIBUTES = MOST_PUBLIC_METHODS = MOST_BRANCHES = 12
MOST_LINES = 40

# The classes that apps subclass: their public part is documented, and may not shrink.
PUBLIC_API = {"BaseMaster", "TaskMaster", "BaseSubtask", "Daemon", "Item"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted(room.rglob("*.py")):
            yield path.relative_to(ROOT / "pysubtask").as_posix(), ast.parse(path.read_text("utf-8"))


def is_record(node: ast.ClassDef) -> bool:
    """Whether a class only holds values, or only names the methods that another one has."""
    return any(isinstance(base, ast.Name) and base.id in ("NamedTuple", "Protocol") for base in node.bases)


def functions_of(node: ast.ClassDef) -> list[Function]:
    return [item for item in node.body if isinstance(item, Function)]


def attributes(node: ast.ClassDef) -> set[str]:
    """The names that the methods of a class bind on self."""
    return {
        target.attr
        for function in functions_of(node)
        for target in ast.walk(function)
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    } | {
        target.target.attr
        for function in functions_of(node)
        for target in ast.walk(function)
        if isinstance(target, ast.AnnAssign) and isinstance(target.target, ast.Attribute)
    }


def public_methods(node: ast.ClassDef) -> set[str]:
    return {function.name for function in functions_of(node) if not function.name.startswith("_")}


def lines(function: Function) -> int:
    """The lines of a function below its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None and len(function.body) > 1 else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1


def branches(function: Function) -> int:
    """The branches of a function: each condition with its else, each loop, each handler of errors, each case."""
    count = 0
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*Function.__args__, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(node, ast.If):
            count += 1 + (bool(node.orelse) and not isinstance(node.orelse[0], ast.If))
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
            count += 1 + bool(node.orelse)
        elif isinstance(node, ast.Try):
            count += len(node.handlers) + bool(node.orelse) + bool(node.finalbody)
        elif isinstance(node, ast.Match):
            count += len(node.cases)
        waiting.extend(ast.iter_child_nodes(node))
    return count


# What is larger still. A row goes with the class or function that it names; none is added.
LARGE_CLASSES: dict[str, tuple[int, int]] = {}
LARGE_FUNCTIONS: dict[str, tuple[int, int]] = {}


Sizes = dict[str, tuple[int, int]]


def grown(large: Sizes, allowed: Sizes) -> Sizes:
    """What is larger than allowed, in either number."""
    return {
        name: sizes
        for name, sizes in large.items()
        if any(size > most for size, most in zip(sizes, allowed.get(name, (0, 0)), strict=True))
    }


def test_classes_are_small():
    large = {
        f"{path}:{node.name}": (len(attributes(node)), len(public_methods(node)))
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not is_record(node) and node.name not in PUBLIC_API
    }
    large = {name: sizes for name, sizes in large.items() if sizes[0] > MOST_ATTRIBUTES or sizes[1] > MOST_PUBLIC_METHODS}
    assert grown(large, LARGE_CLASSES) == {}
    assert set(LARGE_CLASSES) - set(large) == set(), "these need no row any more"


def test_functions_are_small():
    large = {
        f"{path}:{node.name}": (lines(node), branches(node))
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    }
    large = {name: sizes for name, sizes in large.items() if sizes[0] > MOST_LINES or sizes[1] > MOST_BRANCHES}
    assert grown(large, LARGE_FUNCTIONS) == {}
    assert set(LARGE_FUNCTIONS) - set(large) == set(), "these need no row any more"


def test_a_branch_is_counted_once():
    text = """def f(a):
        'A docstring.'
        if a: pass
        elif b: pass
        else: pass
        for x in a:
            try: pass
            except E: pass
            finally: pass
    """
    function = ast.parse(text).body[0]
    assert isinstance(function, Function)
    assert branches(function) == 6
    assert lines(function) == 7
