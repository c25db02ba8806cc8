"""docs/modules.md, from the first sentence of each module: ``python -m tests.make_module_map`` writes it anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "modules.md"
COMMAND = "python -m tests.make_module_map"
FOLDERS = ("pysubtask", "proofs")


def modules() -> Iterator[Path]:
    """Every module of the package and of the proofs, relative to the repository."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT)


def first_sentence(path: Path) -> str:
    """What a module's docstring begins with, up to the first full stop that ends a sentence."""
    text = " ".join((ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or "").split("\n\n")[0].split())
    return (
        re.sub(r":\w+:`([^`]+)`", r"`\1`", re.split(r"(?<=[.:]) (?=[A-Z])", text)[0])
        .replace("``", "`")
        .replace("|", "\\|")
        .rstrip(":")
    )


def page() -> str:
    """The page: a table for each folder, with its own docstring above it."""
    folders: dict[Path, list[Path]] = {}
    for path in modules():
        folders.setdefault(path.parent, []).append(path)
    parts = [
        "# Map of modules",
        f"One line for each module: the first sentence of its docstring. `{COMMAND}` writes this page, and a test holds it. "
        "[ARCHITECTURE.md](ARCHITECTURE.md) tells how the parts work together.",
    ]
    for folder, paths in sorted(folders.items()):
        init = folder / "__init__.py"
        parts.append(f"## {folder.as_posix()}/")
        if init in paths:
            parts.append(first_sentence(init))
        rows = [f"| `{path.name}` | {first_sentence(path)} |" for path in paths if path != init]
        if rows:
            parts.append("\n".join(["| module | what it holds |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
