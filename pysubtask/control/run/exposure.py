"""What systemd itself says of a unit: how open it leaves the machine to the service."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

from ...common.program import for_others

_SECS = 20.0
_LEVEL = re.compile(r"Overall exposure level for .*: (\d+\.\d)")


def exposure(name: str, text: str) -> float | None:
    """The exposure level of a unit, from 0 to 10, by 'systemd-analyze security'; None where this system does not tell (systemd from
    250 on does). ``name``: that of its file."""
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
