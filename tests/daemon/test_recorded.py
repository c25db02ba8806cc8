"""What an earlier state wrote for a daemon is taken over: kept values, the journal of calls, events."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pysubtask.common.events import read_events
from pysubtask.daemon.proxy import call
from tests.daemon.test_story_mktl import HEATER
from tests.support.daemons import Program, get

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "c363ea5"


def test_kept_values_and_used_ids_are_taken_over(place):
    registry, runtime = Path(os.environ["PYSUBTASK_REGISTRY"]), place / "pysubtask" / "Heater"
    registry.mkdir(parents=True, mode=0o700, exist_ok=True)
    runtime.mkdir(parents=True, mode=0o700)
    shutil.copytree(RECORDED / "kept", registry / "kept")
    for file in (RECORDED / "runtime").iterdir():
        shutil.copy(file, runtime)
    before = list(read_events(str(runtime)))
    assert before and before[-1].kind == "call"
    with Program(place, HEATER, module="heater"):
        heater = get("Heater")
        assert (heater.setpoint, heater.channel_1) == (55.0, 7)
        # The id was used before: the answer of that time, and the method is not run again.
        assert call(heater, "again", id="01796050000000-1-recorded") == [False, True, True]
        assert heater.slow == 1.0
        assert heater.page()["epoch"] > 0
