"""Transfers that broke: the error for each, and the count by which a file that always breaks at one offset is found."""

from __future__ import annotations

from ...common.errors import AttemptFailed, FileRefused, TransportError
from ..base import Job
from .attempt import Attempt
from .replies import Reply, refusal
from .server_features import DataLost

_MOST_BREAKS = 3
"""Breaks at one offset in a row, after which the file is to blame and no longer the link: a link seldom breaks three times at one
byte, and a filter on the way always does."""
_MOST_NAMES = 1000  # files that are counted; only a bound for the memory
_ENDED_TRANSFER = (425, 426)  # the data connection was not opened, or it was closed (RFC 959 section 4.2.2)


class BrokenTransfers:
    """How often in a row the data connection of each file broke at one offset."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def arrived(self, attempt: Attempt) -> None:
        """Forget the broken data connections of this file: every byte has arrived."""
        self._counts.pop(attempt.job.name, None)

    def cut(self, attempt: Attempt, lost: DataLost) -> TransportError:
        """The error for a broken data connection: the attempt's at first, the file's (FileRefused) after three breaks at the
        same offset."""
        name = attempt.job.name
        count, start = self._counts.pop(name, (0, 0))
        further = attempt.start > start
        count = 1 if further else count + 1
        if count >= _MOST_BREAKS:
            words = f"{lost}; time {count} in a row at the same place, while the server still answers"
            refused = FileRefused(words, step=lost.step, file=lost.file, server_text=lost.server_text)
            refused.damaged = lost.damaged
            return refused
        lost.further = further
        while len(self._counts) >= _MOST_NAMES:
            del self._counts[next(iter(self._counts))]
        self._counts[name] = (count, attempt.start)
        return lost


def store_error(name: str, reply: Reply, more: str = "", step: str = "store") -> TransportError:
    """The error for a negative reply to STOR."""
    failed = refusal(step, name, reply, more)
    if reply.code not in _ENDED_TRANSFER or not isinstance(failed, AttemptFailed) or failed.limit:
        return failed
    return DataLost(str(failed), step=failed.step, file=failed.file, server_text=failed.server_text)


def cut_short(job: Job, remote_size: int) -> DataLost:
    """The error where the server acknowledged the transfer and has too few bytes: to a server, a data connection that a
    middlebox closed looks like the end of the file."""
    return DataLost(
        f"{job.name}: {job.size:,} bytes were sent and the server has {remote_size:,}, as after a cut on the way",
        step="looking at its size",
        file=job.name,
    )
