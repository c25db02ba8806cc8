"""``pysubtask selftest``: find out whether data gets lost, with these settings and this server, when the link is cut.

CommandError where the password of a target is not to be had, so that nothing can be uploaded.
"""

from __future__ import annotations

import json
import random

import click

from ..exit_status import FAILED, OK, CommandError
from ..terminal import say


@click.command(short_help="Push made-up data through your own settings, cut the link, and count what is lost.")
@click.argument("config", required=False)
@click.option(
    "--secs", type=click.FloatRange(5, 86400), default=60, show_default=True, help="How long data is made and troubles come."
)
@click.option("--seed", type=int, default=None, help="The same seed gives the same data and troubles.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON list.")
def command(config: str | None, secs: float, seed: int | None, as_json: bool) -> int:
    """Push a made-up growing file and a folder through the settings of CONFIG (as for 'doctor'), into a folder of its own below
    each destination's, with a task and state of its own. Its own link is cut on the way by a relay, its own child killed. Then
    everything is read back and compared: lost, torn, sent twice, bytes on the link for each new byte. All of it is removed.

    Your own tasks go on meanwhile, untouched.

    \b
    pysubtask selftest station.toml
    pysubtask selftest demo_config.py --secs 300 --seed 7
    """
    from ...common.advice import word
    from ...transports import transport_class
    from ..doctor import rounds
    from ..selftest.report import lines
    from ..selftest.run import SelfTest

    targets, notes, _ = rounds.meant(config)
    hidden = [target for target in targets if target.hidden]
    if hidden:
        names = ", ".join(target.label for target in hidden)
        configs = list(dict.fromkeys(target.task_config for target in hidden if target.task_config)) or ["CONFIG"]
        typed = "".join(f"\n  pysubtask selftest {word(path)}" for path in configs)
        raise CommandError(f"{names}: the password is kept from everybody who looks. Name the config:{typed}")
    if not as_json:
        say(notes)
    for target in targets:
        transport_class(target.transport)  # raises for a missing library before the test of the first target begins
    drawn = random.randrange(10**6) if seed is None else seed
    if not as_json:
        say([f"seed {drawn}, {secs:g} s for each destination; Ctrl-C ends it and cleans up"])
    reports = []
    for target in targets:
        report = SelfTest(target, secs, drawn, (lambda words: None) if as_json else _say).run()
        reports.append(report)
        if not as_json:
            for line in lines(report):
                say([line])
    if as_json:
        say(json.dumps([{"seed": drawn, **report.as_json()} for report in reports], indent=1).split("\n"))
    return OK if all(report.passed for report in reports) else FAILED


def _say(words: str) -> None:
    say([f"  {words}"], dim=True)
