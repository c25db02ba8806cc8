"""The code in the pages of docs/: blocks under ``<!-- file: NAME -->`` are files that the tests write and run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(name: str) -> str:
    """The text of a page of docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def files(page: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    return dict(_FILE.findall(read(page)))


def write(page: str, folder: Path) -> list[Path]:
    """Write the files of a page into a folder."""
    paths = []
    for name, text in files(page).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(folder / name)
    return paths
