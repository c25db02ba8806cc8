"""The exposure level of a unit, as systemd itself computes it: how far the unit lets the service reach into the machine."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

from ...common.program import for_others

_SECS = 20.0
"""Timeout of systemd-analyze in seconds: the level is a note alone, and the unit is written without it."""
_LEVEL = re.compile(r"Overall exposure level for .*: (\d+\.\d)")


def exposure(name: str, text: str) -> float | None:
    """The exposure level of the unit ``text``, from 0 (closed off) to 10, as 'systemd-analyze security --offline' computes it
    (systemd 250 or later); None on other systems. ``name``: of the unit's file."""
    try:
        with tempfile.TemporaryDirectory(prefix="pysubtask-unit-") as folder:
            path = os.path.join(folder, name)
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            completed = subprocess.run(
                ["systemd-analyze", "security", "--offline=true", "--no-pager", path],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECS,
                check=False,
                env=for_others(),
            )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _LEVEL.search(completed.stdout)
    return float(found[1]) if found else None
