"""``python -m pysubtask.alerts``: the process that a master starts to run ``alerts.Command``. It is never started by hand."""

from __future__ import annotations

import sys


def main() -> int:
    """Watch the children that stdin names until the master ends; the exit status."""
    from .common.errors import ConfigError
    from .control.alerts.watch import run

    try:
        run()
    except ConfigError as exc:
        print(f"pysubtask.alerts: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
