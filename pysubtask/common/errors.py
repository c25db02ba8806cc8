"""Every error this package raises on purpose, named for what the caller should do.

::

    PysubtaskError
    |-- ConfigError(ValueError)       correct the setting or the watch entry it names
    |-- AlreadyRunning                another child owns this state folder: stop it or take another TaskName
    |-- SpoolBusy                     another program has the queue file open: close that one, the child tries again
    |-- SpoolDamaged                  the queue file cannot be read: it is put aside, a new one is begun
    |-- SpoolTooNew                   a later version made the queue file: install that one again; the file stays as it is
    |-- SourceError                   this file cannot be copied now: the notify stays due
    |   |-- SourceMissing             it is not there
    |   |-- SourceChanged             it moved under the copy
    |   `-- DiskLow                   copying it would go below MinFreeBytes
    `-- TransportError
        |-- TransportLost             condemns this attempt: reconnect and try again
        |   `-- ServerBusy            the server asks for a pause: nothing is sent until it is over
        |-- AttemptFailed             condemns this attempt at this file alone: it waits and is tried again, others go on
        |   `-- MeansRefused          condemns a way to do it, inside a transport: take the next one at once
        |-- NotAsLeft                 condemns the short way: send the whole file
        |-- FileRefused               condemns this file: park it, go on with the rest
        `-- LoginRefused              condemns the account: hold everything, say it loudly
            `-- ServerNotTrusted      we refuse the server, by its host key or certificate; nothing was sent
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from .problem import Path, Problem, Text


def _masked(text: str) -> str:
    from .redact import redacted  # where an error is met, and not by every app that imports this package

    return redacted(text)


class PysubtaskError(Exception):
    """Root of the tree: catch this to catch whatever the package raises on purpose. Its text holds no secret that this process
    knows."""

    def __str__(self) -> str:
        return _masked(super().__str__())


class ConfigError(PysubtaskError, ValueError):
    """A setting or watch entry is wrong; nothing was started.

    ``key`` is the dotted name (``ftp.HostPort``) or the entry (``watchfilesdirs[2]``). ``problem`` and ``remedy`` are the two
    sentences of the text. ``problems``: everything that was found wrong in the same check, as records with these three
    attributes; the error's own text is that of the first.
    """

    problems: tuple[Problem, ...]

    def __init__(self, key: str | Path, problem: Text, remedy: Text, given: Any = ...) -> None:
        from .problem import Problem, path_of  # where an error is met

        self._take([Problem(path_of(key) if isinstance(key, str) else key, problem, remedy, given)])

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Self:
        """The error for several problems; the first one gives the text."""
        error = cls.__new__(cls)
        error._take(problems)
        return error

    def lines(self) -> list[str]:
        """A line for each of ``problems``, without secrets; the first one is the error's text."""
        return [_masked(str(one)) for one in self.problems]

    def _take(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        self.key, self.problem, self.remedy = first.key, first.problem, first.remedy
        super().__init__(str(first))


class AlreadyRunning(PysubtaskError):
    """A living child of a living master holds the lock of this state folder."""


class SpoolBusy(PysubtaskError):
    """The queue file is locked by a program that looks into it."""


class SpoolDamaged(PysubtaskError):
    """The queue file is not a readable spool of a format this version knows."""


class SpoolTooNew(PysubtaskError):
    """The queue file is of a later format than this version knows. It is not changed and not put aside."""


class SourceError(PysubtaskError):
    """A data file cannot be copied at the moment; its notify stays due."""


class SourceMissing(SourceError):
    """The notified data file does not exist."""


class SourceChanged(SourceError):
    """The data file was rewritten while it was read, so the copy was thrown away."""


class DiskLow(SourceError):
    """Copying would leave less than ``MinFreeBytes`` on the local disk, or that disk takes nothing for another reason.

    ``free`` and ``least``: the bytes that are free and those that must stay so; None where space is not the reason.
    ``problem``: what is wrong with the disk where it is not its room, in words ("it is read-only"); '' where it is that.
    """

    def __init__(self, reason: str, free: int | None = None, least: int | None = None, problem: str = "") -> None:
        super().__init__(reason)
        self.free = free
        self.least = least
        self.problem = problem


class TransportError(PysubtaskError):
    """A failure of the server or of the network; always one of the classes below.

    ``cause``: what happened, in words; ``remedy``: what a person can do about it, a sentence or nothing. The error's own
    text has both. A caller that reports the same error at each try reports the cause alone.
    ``damaged``: the file under the final name is not a whole version now, so this file is sent before others.
    ``step``: what was being done ('renaming into place'); ``file``: the name on the server that it was done to, which may be
    a temporary one; ``said``: the server's own words. Each is empty where it is not known, and adds nothing to the text.
    """

    cause = ""
    remedy = ""
    step = ""
    file = ""
    server_text = ""
    damaged = False

    def __init__(self, cause: str = "", remedy: str = "", *, step: str = "", file: str = "", server_text: str = "") -> None:
        self.cause = _masked(cause)
        self.remedy = remedy
        self.step = step
        self.file = _masked(file)
        self.server_text = _masked(server_text)
        super().__init__(f"{cause}. {remedy}" if remedy else cause)

    def spoilt(self, words: str) -> None:
        """Note that the file under the final name is not a whole version any more; ``words`` are added to the text."""
        self.damaged = True
        self.cause = f"{self.cause}; {words}"
        self.args = (f"{self.cause}. {self.remedy}" if self.remedy else self.cause,)


def facts_of(error: object) -> dict[str, str]:
    """The fields of an error on the status page besides its text: ``step``, ``file`` and ``said``, where they are known."""
    attributes = {"step": "step", "file": "file", "said": "server_text"}
    return {key: value for key, name in attributes.items() if (value := getattr(error, name, ""))}


def event_fields(error: object) -> dict[str, str]:
    """The fields of an error in an event: those of ``facts_of``, and ``error``, the name of its class."""
    return {"error": type(error).__name__, **facts_of(error)} if isinstance(error, PysubtaskError) else {}


class TransportLost(TransportError):
    """The connection, the name lookup or the server's patience is gone: no other file can be sent over it. Try again later.

    Only the end of the stream itself, silence for a whole time limit, or an answer that belongs to no request is a reason.
    What a server answers about one file is :class:`AttemptFailed` or :class:`FileRefused`, however odd it is.
    ``unanswered``: no answer to a connect, or a refusal at once, as for an address that is banned."""

    unanswered = False


LONGEST_PAUSE = 3600.0
"""Seconds: the longest pause, also for a server that asks for a longer one."""


class ServerBusy(TransportLost):
    """The server asks for a pause of ``retry_after`` seconds (0: it names no length, or no valid one), at most an hour. The request
    was not carried out; the connection is still good."""

    def __init__(self, reason: str, retry_after: float = 0.0, *, step: str = "", file: str = "", server_text: str = "") -> None:
        super().__init__(reason, step=step, file=file, server_text=server_text)
        # NaN is not above 0 either.
        self.retry_after = min(float(retry_after), LONGEST_PAUSE) if retry_after > 0 else 0.0


class AttemptFailed(TransportError):
    """This attempt at this one file failed; the connection is good and other files go on over it.

    The file waits and is tried again by itself, compared with the server first. It is parked with this reason after
    ``RetryCount`` attempts in a row that failed so. The cause concerns this file alone, such as an FTP data connection that broke.
    ``further``: the attempt got further than the one before, and the next one goes on from there, so it counts as the first in a
    row.
    ``limit``: the server said that it is at a limit of its own, so the file is never parked for it.
    """

    further = False
    limit = False


class MeansRefused(AttemptFailed):
    """The server refused a way to do something, such as a rename over a file, and not the file: take the next way at once.

    It stays inside a transport. One that comes out, because there is no next way, is an attempt that failed.
    ``means``: which way, a word of the transport.
    """

    def __init__(
        self, means: str, cause: str = "", remedy: str = "", *, step: str = "", file: str = "", server_text: str = ""
    ) -> None:
        super().__init__(cause, remedy, step=step, file=file, server_text=server_text)
        self.means = means


class NotAsLeft(TransportError):
    """The file on the server is not what our last delivery left, so it cannot be built upon; nothing was changed."""


class FileRefused(TransportError):
    """The server will not take this one file; the connection is still good."""


class LoginRefused(TransportError):
    """The account, its key or password, or the server's host key (see :class:`ServerNotTrusted`) is not accepted.

    ``seen``: the reason as found on this machine (a ``transports.shared.key_file.KeyFault``), None where no reason was found.
    """

    seen: object = None


class ServerNotTrusted(LoginRefused):
    """The host key or the certificate that the server shows is not known here, so the login was not even tried.

    ``headline``: what is wrong in a few words ('host key not known').
    """

    def __init__(self, headline: str, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.headline = headline
