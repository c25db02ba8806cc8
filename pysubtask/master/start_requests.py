"""Requests to start a child that was stopped by a request: its master carries them out and answers them."""

import logging
import os
from typing import TYPE_CHECKING

from ..common import own_folders
from ..common.process import is_alive
from ..common.state_files import REQUESTS
from ..common.status import read_status

if TYPE_CHECKING:
    from ..common.requests import Request

_NOT_RUNNING = ("starting", "stopped", "failed")
_RESULT = {"running": True}


class StartRequests:
    """The requests to start one child that its master has taken from the folder of requests and not yet answered."""

    def __init__(self) -> None:
        self._taken: list[Request] = []
        self._is_reported = False

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._taken)

    def take(self, state_dir: str) -> None:
        """Take those that wait in the folder, where the child would find them."""
        try:
            if not own_folders.names(os.path.join(state_dir, REQUESTS)):
                return
        except OSError:
            return  # nobody has ever given a request
        from ..common.requests import waiting, withdraw

        for request in waiting(state_dir):
            if request.op == "start":
                self._taken.append(request)
                withdraw(state_dir, request.id)

    def answer(self, state_dir: str, logger: logging.Logger, *, is_over: bool) -> None:
        """Answer them where the child runs, or has run and its life ``is_over``. What cannot be answered now, as on a full disk, is
        kept."""
        from ..common.requests import answer

        while self._taken and (is_over or _is_running(state_dir)):
            request = self._taken[0]
            try:
                answer(state_dir, request.id, result=_RESULT)
            except OSError as exc:
                if not self._is_reported:
                    logger.error("Order [%s] of %s cannot be answered: %s", request.op, request.who, exc)
                self._is_reported = True
                return
            self._is_reported = False
            del self._taken[0]
            logger.info("ORDER [%s] of %s", request.op, request.who)


def _is_running(state_dir: str) -> bool:
    """Whether a child of this process has begun its work."""
    page = read_status(state_dir, any_owner=False) or {}
    pid, start = page.get("pid"), page.get("pid_start")
    if page.get("master_pid") != os.getpid() or page.get("state") in _NOT_RUNNING or not isinstance(pid, int):
        return False
    return is_alive(pid, start if isinstance(start, str) else "")
