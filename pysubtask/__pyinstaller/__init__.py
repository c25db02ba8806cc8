"""Tells PyInstaller where the hook for this package is (entry point ``pyinstaller40``)."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """The folder of the hook."""
    return [os.path.dirname(__file__)]
