"""The old files of a task, from the side of the master: archived a little at each call; files left from earlier runs go to the
children."""

import logging
from collections.abc import Sequence

from ..common import residual
from ..common.entries import Entry, first_folder
from ..common.never_sent import NeverSent
from ..common.state_place import own_folders
from .archive import Archive, Proof, scope
from .child_config import Plan

# Seconds that a call of the app for archiving may take at once; the rest follows by later calls.
ASKED_SECS = 0.5


class OldFiles:
    """``left_over``: paths for the children to deliver too. ``daily``: archive again each day.

    ``own``: files that are no data, and stay.
    """

    def __init__(self, entries: Sequence[Entry], plans: Sequence[Plan], own: NeverSent, logger: logging.Logger) -> None:
        self._entries = entries
        self._own = own
        self._logger = logger
        self.daily = False
        self.left_over: list[str] = []
        self.take(plans)

    def take(self, plans: Sequence[Plan]) -> None:
        """The plans as they are now; what was found under others is forgotten."""
        settings = plans[0].settings
        first = first_folder(self._entries)
        closed = [folder for plan in plans for folder in (plan.bak_dir, *own_folders(plan.state_dir, first))]
        proofs = [Proof(plan.state_dir, plan.settings_fingerprint) for plan in plans]
        where = scope(self._entries, settings["ArchiveToFolder"], closed, self._own)
        self._archive = Archive(where, proofs, settings["ArchiveAfterDaysOld"], list(self._own.files), self._logger)
        self._plans = plans
        self.left_over = []

    def start(self, precleanup: bool) -> None:
        """The children are about to start; with ``precleanup`` everything is scanned, as once a day from then on."""
        self.daily = precleanup
        if precleanup:
            self.archive()
            self.scan()

    def archive(self) -> int:
        """Begin to archive; how many files were moved at once, the rest follows by :meth:`work`."""
        self._archive.begin()
        return self._archive.work(ASKED_SECS)

    def work(self, secs: float) -> None:
        """Go on archiving for at most ``secs``; on another day a new scan begins."""
        if self.daily and self._archive.is_another_day():
            self._archive.begin()
        self._archive.work(secs)

    def scan(self) -> None:
        """Find the files that are left from earlier runs."""
        self.left_over = self._archive.left_over()
        if self.left_over:
            self._logger.info("Residual files: [%d], to be delivered where that was not done yet.", len(self.left_over))
        else:
            self._logger.info("No Residual files found.")

    def offer(self) -> None:
        """Hand the files that are left over to the running children."""
        for plan in self._plans:
            try:
                residual.offer(plan.state_dir, self.left_over)
            except OSError as exc:
                text = "Residual files cannot be handed to %s now (%s): it gets them at its next start."
                self._logger.warning(text, plan.child_name, exc)
