"""No core file of a process that has a secret in its memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from .config import is_secret


def holds_secret(settings: Mapping[str, Any]) -> bool:
    """Whether a process with these settings has a password or token in its memory."""
    return any(
        value and (is_secret(key) or key == "RefreshTokenFile" or (key.endswith("Proxy") and "@" in str(value)))
        for key, value in settings.items()
    )


def forbid_cores() -> None:
    """No core file of this process, and of none that it starts: it would hold the secret."""
    if sys.platform == "win32":
        return
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        return  # a system without core files, or one that does not let us
