"""The log of a master: its logger, sums of lines of one kind, and the lines that go to the app's own logging."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..common.line_rate import limit, tell_sums
from ..common.logs import follow, log_options, set_level, setup_logging
from .managed_child import ManagedChild
from .task_plan import LogPlan

if TYPE_CHECKING:
    from .app_lines import AppLines

_FOLLOW_SECS = 3.0  # between two checks for a log that was moved away


class MasterLog:
    """The log of the master ``name``. ``plan``: where lines go; ``module``: the first part of the logger's name, which ends in
    ``pid``; ``children``: whose lines are handed on, too."""

    _app_lines: "AppLines | None" = None
    """The app's own logging, where it was asked for."""

    def __init__(self, name: str, module: str, pid: int, plan: LogPlan, children: Sequence[ManagedChild]) -> None:
        self.name = name
        """The name of the master in its lines."""
        self._next_follow = 0.0
        first = children[0].plan
        options = log_options(first.settings)
        self.logger = setup_logging(f"{module}.{name}.{pid}", plan.file, plan.console, task=first.task, **options)
        set_level(self.logger, first.settings["LogLevel"])
        limit(self.logger)
        if plan.app is not None:
            from .app_lines import AppLines

            self._app_lines = AppLines(plan.app)
            self._app_lines.begin(self.logger, children)

    def work(self, now: float) -> None:
        """Find a log file that was moved away, and write sums; every few seconds. ``now``: monotonic seconds."""
        if now >= self._next_follow:
            self._next_follow = now + _FOLLOW_SECS
            follow(self.logger)
            tell_sums(self.logger)

    def hand_on(self) -> None:
        """Hand the lines of the children to the app."""
        if self._app_lines is not None:
            self._app_lines.read()

    def end(self) -> None:
        """Write and hand on everything."""
        tell_sums(self.logger, everything=True)
        if self._app_lines is not None:
            self._app_lines.read(everything=True)
