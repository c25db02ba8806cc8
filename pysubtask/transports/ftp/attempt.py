"""The state of one upload over FTP, from the job to the published file."""

from __future__ import annotations

from collections.abc import Callable

from ..base import Job, Link
from ..shared.profile import Walk
from .data import Tally
from .options import path_of


class Attempt:
    """The state of one upload.

    ``job``, ``folder``, ``tally``: what is sent, the destination's folder, the progress. ``target``: the final path; ``temp``:
    the temporary path used now; ``recorded``: the temporary path that the queue knows, or the one beside a link's target;
    ``stale``: those of earlier attempts. ``start``: the offset where the last transfer began; ``ends``: the offsets where the
    transfers of an append end. ``verified``: how the size was confirmed (``base.VERIFIED``).

    ``link``: what was done with a symbolic link; ``link_path``: the path of the followed link, else empty. ``exists``: a file
    is, or may be, under the final name. ``crowded``: the server is at a limit while other sessions are at work. ``walk``: which
    kinds of temporary names were refused to this file; ``learns``: called when the file has arrived, as a refusal says
    something about the server only then. ``borrowed``: the undeletable file of an earlier upload that is written to, else
    empty; ``borrows``: whether there may be one.
    """

    def __init__(self, job: Job, folder: str, in_place: bool, tally: Tally) -> None:
        self.job = job
        self.folder = folder
        self.tally = tally
        self.start = 0
        self.ends: list[int] = []
        self.target = path_of(folder, job.name)
        self.recorded = self.temp = path_of(folder, job.temp)
        self.stale = [path_of(folder, name) for name in job.stale if name != job.temp]
        self.stale_names = [name for name in job.stale if name != job.temp]
        self.in_place = in_place
        self.verified = "size"
        self.link: Link | None = None
        self.link_path = ""
        self.exists = True
        self.crowded = False
        self.walk: Walk | None = None
        self.learns: list[Callable[[], None]] = []
        self.borrowed, self.borrows = "", not job.resume

    @property
    def path(self) -> str:
        """The path that the bytes are stored under first."""
        return self.target if self.in_place else self.temp
