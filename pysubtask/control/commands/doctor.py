"""``pysubtask doctor``: find out why nothing is uploaded, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import click

from ..exit_status import FAILED, OK
from ..terminal import say


@click.command(short_help="Find out why nothing is uploaded, and what to do about it.")
@click.argument("config", required=False)
@click.option("--speed", is_flag=True, help="Measure the speed of an upload too; it sends a megabyte at most.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def command(config: str | None, speed: bool, as_json: bool) -> int:
    """Look at this machine and at each destination the way an upload goes, with a small file of its own that is removed again.
    What fails comes with the line for the config or the command to run. It takes thirty seconds at most.

    CONFIG is a TOML file, a Python file with the sections (demo_config.py), or module:name. Without it, it is the config that
    'pysubtask run' finds. Where there is none the tasks that are known on this machine are looked at, as far as that goes without
    their passwords; what was not looked at is said.

    Exit status 0: nothing wrong was found; 1: something must be mended; 2: the config is wrong.

    \b
    pysubtask doctor
    pysubtask doctor station.toml
    pysubtask doctor demo_config.py --json
    """
    from ..doctor import rounds

    began = time.monotonic()
    looked_at = rounds.meant(config)
    report = _Report(quiet=as_json, left_out=looked_at.left_out)
    for note in looked_at.notes:
        report.text(note)
    asyncio.run(rounds.run(looked_at.targets, report, speed=speed))
    if as_json:
        say(json.dumps(report.page(time.monotonic() - began), indent=1).split("\n"))
    else:
        report.summary()
    return FAILED if report.failed else OK


class _Report:
    """The findings of a run: each is printed when it comes, or (``quiet``) kept for the JSON page."""

    def __init__(self, quiet: bool, left_out: Sequence[str] = ()) -> None:
        self._quiet = quiet
        self._left_out = [*left_out]
        self._groups: dict[str, list[dict[str, Any]]] = {}
        self._all: list[Any] = []
        self._group = ""

    @property
    def failed(self) -> bool:
        return any(finding.state == "fail" for finding in self._all)

    def text(self, words: str) -> None:
        """Print a line that is no finding, unless the report is quiet."""
        if not self._quiet:
            say([words])

    def __call__(self, group: str, finding: Any, section: str, style: str) -> None:
        from ..doctor import show
        from ..doctor.finding import as_json

        self._all.append(finding)
        if left_out := show.left_out(group, finding):
            self._left_out.append(left_out)
        self._groups.setdefault(group, []).append(as_json(finding, section, style))
        if self._quiet:
            return
        if group != self._group:
            say((f"{group}" if not self._group else f"\n{group}").split("\n"))
            self._group = group
        first, *rest = show.lines(finding, section, style)
        say([first], fg=show.colour(finding))
        for line in rest:
            say([line])

    def summary(self) -> None:
        from ..doctor import show

        say((f"\n{show.summary(self._all, self._left_out)}").split("\n"))

    def page(self, secs: float) -> dict[str, Any]:
        from ..doctor.finding import worst

        return {"state": worst(self._all), "secs": round(secs, 2), "groups": self._groups, "not_looked_at": self._left_out}
