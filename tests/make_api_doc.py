"""The generated parts of docs/api.md, from docstrings and types: ``python -m tests.make_api_doc`` rewrites them."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pysubtask
import pysubtask.testing
from pysubtask.common.config import SECTIONS
from pysubtask.testing import pytest_plugin

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
CONFIG = PAGE.with_name("config.md")
COMMAND = "python -m tests.make_api_doc"
_PART = re.compile(r"(<!-- made: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TYPES = ("BaseSettings", "BurstSettings", "FTPSettings", "DropboxSettings", "AlertSettings")
SECTION_TYPES = dict(zip(SECTIONS, _TYPES, strict=True))


def prose(text: str | None) -> str:
    """A docstring as Markdown: its paragraphs, each on one line, code blocks as they are."""
    if not text:
        raise ValueError("something public has no docstring")
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if block.startswith((" ", "\t")) or re.match(r"\w+\n +\|", block):
            blocks.append("```text\n" + block + "\n```")
        elif block.strip() != "::":
            blocks.append(_inline(" ".join(line.strip() for line in block.splitlines())))
    return "\n\n".join(blocks)


def _inline(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", lambda found: f"``{found[1].rpartition('.')[2]}``", text)
    parts = re.split(r"(``[^`]+``)", text)
    return "".join(f"`{part[2:-2]}`" if part.startswith("``") else part.replace("<", "&lt;").replace("*", "\\*") for part in parts)


def _cell(text: str) -> str:
    return text.replace("\n\n", " ").replace("|", "\\|")


def first_sentence(text: str | None) -> str:
    """Of a docstring, for a table."""
    return re.split(r"(?<=[.:])\s", prose(text).partition("\n\n")[0], maxsplit=1)[0].rstrip(":")


def type_name(kind: object) -> str:
    """A type as it is written in a program."""
    if isinstance(kind, str):
        return kind.strip("\"'")
    if isinstance(kind, type) and not typing.get_args(kind):
        return "None" if kind is type(None) else kind.__name__
    text = re.sub(r"ForwardRef\('([^']*)'[^)]*\)", r"\1", str(kind))
    text = re.sub(r"\b(?:typing|pysubtask(?:\.\w+)+|collections\.abc)\.", "", text)
    return re.sub(r"(?:Not)?Required\[(.*)\]$", r"\1", text)


def call_of(name: str, function: Callable[..., Any], *, bound: bool = True) -> str:
    """How it is called: names, types and defaults."""
    signature = inspect.signature(function)
    parameters, keyword = [], False
    for parameter in list(signature.parameters.values())[1 if bound else 0 :]:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            parameters.append("*")
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        kind = "" if parameter.annotation is parameter.empty else f": {type_name(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parameters.append(f"{star}{parameter.name}{kind}{default}")
    result = signature.return_annotation
    end = "" if result in (signature.empty, None, "None") or name[0].isupper() else f" -> {type_name(result)}"
    return f"{name}({', '.join(parameters)}){end}"


def methods_of(kind: type) -> dict[str, Any]:
    """Public methods and properties that the package itself defines, in the order of their classes."""
    found: dict[str, Any] = {}
    for each in kind.__mro__:
        if each.__module__.startswith("pysubtask"):
            for name, value in vars(each).items():
                if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)) and value.__doc__:
                    found.setdefault(name, value)
    return found


def _methods(kind: type, without: Iterable[str] = ()) -> list[str]:
    lines = []
    for name, value in methods_of(kind).items():
        if name in without:
            continue
        call = f"{name}: {type_name(value.fget.__annotations__['return'])}" if isinstance(value, property) else ""
        call = call or call_of(name, value)
        lines += [f"#### `{name}`", "", "```text", call, "```", "", prose(value.__doc__), ""]
    return lines


def _class(name: str, kind: type, *, methods: bool, without: Iterable[str] = ()) -> list[str]:
    lines = [f"### `{name}`", ""]
    if kind.__init__ is not object.__init__ and not issubclass(kind, (tuple, dict)):
        lines += ["```text", call_of(name, kind.__init__), "```", ""]  # type: ignore[misc]
    lines += [prose(kind.__doc__), ""]
    return lines + (_methods(kind, without) if methods else [])


def docs_of_fields(kind: Any) -> dict[str, str]:
    """The docstrings below the fields of a class, which exist in its source alone."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: below.value.value
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def _fields(kind: Any, meanings: Mapping[str, str] | None = None) -> list[str]:
    """A table of fields. ``meanings``: instead of the docstrings below the fields, as Markdown."""
    known = kind.__annotations__
    if meanings is None:
        meanings = {key: prose(text) for key, text in docs_of_fields(kind).items()}
    rows = [f"| `{key}` | {_cell(f'`{type_name(known[key])}`')} | {_cell(meanings[key])} |" for key in known]
    return ["| field | type | meaning |", "|---|---|---|", *rows, ""]


def _public(name: str) -> Any:
    return getattr(pysubtask, name)


def masters_part() -> str:
    """The masters; their methods once, at the first of them."""
    lines = _class("TaskMaster", pysubtask.TaskMaster, methods=True)
    for name in ("BaseMaster", "FTPTaskMaster", "DropboxTaskMaster"):
        lines += _class(name, _public(name), methods=False)
    return "\n".join([*lines, "`BaseTaskMaster` is `BaseMaster` by its name in version 1."])


def values_part() -> str:
    """What calls of a master give back."""
    lines = []
    for name in ("MasterStatus", "ChildStatus", "ChildEvent", "Event"):
        kind = _public(name)
        lines += [*_class(name, kind, methods=False), *_fields(kind)]
        lines += [
            line
            for name, value in methods_of(kind).items()
            if isinstance(value, property)
            for line in (f"`{name}`: {prose(value.__doc__)}", "")
        ]
    lines += _class("EventPosition", pysubtask.EventPosition, methods=False)
    return "\n".join([*lines, "### `EventCallback`", "", "```text", "Callable[[ChildEvent], object]", "```", ""])


def events_part() -> str:
    """The kinds of events, as docs/config.md explains them."""
    section = CONFIG.read_text(encoding="utf-8").split("\n### events.jsonl\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return "\n".join([*rows, "", "What `fields` holds of these, by type (`EventFields`):", "", *_fields(pysubtask.EventFields)])


def page_part() -> str:
    """The fields of a status page, and of what is in it."""
    from pysubtask.common import event_types, page_types

    lines = [*_fields(pysubtask.StatusPage), "### What is in them", ""]
    own = [
        (name, kind)
        for module in (page_types, event_types)
        for name, kind in vars(module).items()
        if getattr(kind, "__module__", "") == module.__name__
    ]
    for name, kind in own:
        if name in pysubtask.__all__ and name not in ("StatusPage", "EventFields") and hasattr(kind, "__annotations__"):
            lines += [f"#### `{name}`", "", prose(kind.__doc__), "", *_fields(kind)]
    words = ", ".join(f"`{word}`" for word in typing.get_args(pysubtask.ChildState))
    return "\n".join([*lines, "#### `ChildState`", "", f"One of {words}.", ""])


def entries_part() -> str:
    """The keys of watch entries."""
    lines = []
    for name in ("FileEntry", "FolderEntry"):
        kind = _public(name)
        lines += [f"### `{name}`", "", prose(kind.__doc__), "", *_fields(kind, keys_of_entries())]
    return "\n".join(lines)


def keys_of_entries() -> dict[str, str]:
    """What each key of a watch entry means, as docs/config.md explains it."""
    section = CONFIG.read_text(encoding="utf-8").split("\n## Watch entries\n", 1)[1].split("\n## ", 1)[0]
    rows = [re.split(r"(?<!\\) ?\| ?", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[3] for row in rows if len(row) == 4}


def settings_part() -> str:
    """The sections, and what each setting takes."""
    lines = [*_class("Section", pysubtask.Section, methods=False), "### `Config`", "", prose(pysubtask.Config.__doc__), ""]
    for section, name in SECTION_TYPES.items():
        kind = _public(name)
        own = [key for key in kind.__annotations__ if section == "base" or key not in pysubtask.BaseSettings.__annotations__]
        keys = ", ".join(f"`{key}`" for key in own)
        lines += [f"### `{name}`", "", prose(kind.__doc__), "", keys + ".", ""]
    for name in ("LiveSettings", "AnySettings"):
        lines += [f"### `{name}`", "", prose(_public(name).__doc__), ""]
    return "\n".join(lines)


def errors_part() -> str:
    """Every error: what it is derived from and what it means."""
    rows = ["| error | is a | meaning |", "|---|---|---|"]
    for name in pysubtask.__all__:
        kind = _public(name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
            rows.append(f"| `{name}` | {bases} | {_cell(first_sentence(kind.__doc__))} |")
    return "\n".join([*rows, ""])


def subtasks_part() -> str:
    """The classes of the child."""
    lines = _class("BaseSubtask", pysubtask.BaseSubtask, methods=False)
    for name in ("FTPSubtask", "DropboxSubtask"):
        lines += [f"### `{name}`", "", prose(_public(name).__doc__), ""]
    return "\n".join(lines)


def daemons_part() -> str:
    """Named daemons: what is declared, and what clients have."""
    lines = _class("Daemon", pysubtask.Daemon, methods=True)
    lines += _class("Item", pysubtask.Item, methods=True)
    for name in ("item", "method", "event", "loop", "get", "aget", "daemons", "follow"):
        function = _public(name)
        lines += [f"### `{name}`", "", "```text", call_of(name, function, bound=False), "```", "", prose(function.__doc__), ""]
    for name in ("Proxy", "CallHandle", "Follower", "Change", "Known"):
        kind = _public(name)
        lines += [f"### `{name}`", "", prose(kind.__doc__), "", *_methods(kind)]
    return "\n".join(lines)


def functions_part() -> str:
    """Functions outside of classes."""
    base = import_module("pysubtask.base")
    found = [("pysubtask.freeze_support", pysubtask.freeze_support)]
    found += [(f"pysubtask.base.{name}", getattr(base, name)) for name in ("notify_file", "touch", "setup_logging")]
    lines = []
    for name, function in found:
        short = name.rpartition(".")[2]
        lines += [f"### `{name}`", "", "```text", call_of(short, function, bound=False), "```", "", prose(function.__doc__), ""]
    for door in ("base", "ftp", "dropbox"):
        lines.append(f"- `pysubtask.{door}.main`: {first_sentence(import_module(f'pysubtask.{door}').main.__doc__)}")
    return "\n".join([*lines, ""])


def testing_part() -> str:
    """Fixtures and servers for tests."""
    rows = ["| fixture | |", "|---|---|"]
    for name in ("sftp_server", "relay_to", "task_registry"):
        function = getattr(pytest_plugin, name)
        text = getattr(function, "__wrapped__", function).__doc__ or function._get_wrapped_function().__doc__
        rows.append(f"| `{name}` | {_cell(prose(text))} |")
    rows += ["", "| `pysubtask.testing` | |", "|---|---|"]
    for name in pysubtask.testing.__all__:
        rows.append(f"| `{name}` | {_cell(first_sentence(getattr(pysubtask.testing, name).__doc__))} |")
    return "\n".join([*rows, ""])


PARTS: dict[str, Callable[[], str]] = {
    "masters": masters_part,
    "values": values_part,
    "events": events_part,
    "page": page_part,
    "entries": entries_part,
    "settings": settings_part,
    "errors": errors_part,
    "subtasks": subtasks_part,
    "daemons": daemons_part,
    "functions": functions_part,
    "testing": testing_part,
}


def rewritten(text: str) -> str:
    """The page with every generated part as it has to be."""
    return _PART.sub(lambda found: found[1] + PARTS[found[2]]().rstrip("\n") + "\n" + found[3], text)


def parts(text: str) -> list[str]:
    """The names of the generated parts of a page."""
    return [found[2] for found in _PART.finditer(text)]


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
