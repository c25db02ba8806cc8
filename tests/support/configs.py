"""Config files that tests write."""

from __future__ import annotations

from pathlib import Path

from pysubtask.control.config import config_file

ONE = '[ftp]\nHost = "h"\n[[watch]]\ndir = "data"\n'


def write(path: Path, text: str = ONE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def names(found: config_file.Config) -> list[str]:
    return [task.name for task in found.tasks]
