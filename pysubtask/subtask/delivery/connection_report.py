"""What the log, the events and the status page say of the connection."""

from __future__ import annotations

from typing import NamedTuple

from ...common.errors import ConfigError, LoginRefused, ServerNotTrusted, TransportError
from ...common.events import utc
from ...common.remedy import in_words_of, says_more, sentence
from .context import DeliveryContext
from .interfaces import LoginContext
from .login_schedule import NextLogin

_A_SETTING = "a setting cannot be used"


class Failure(NamedTuple):
    """``cause``: of an error. ``remedy``: what a person can do about it, '' where that is not known."""

    cause: str
    remedy: str


class ConnectionReport:
    """Belongs to the dispatcher's event loop. ``label``: what the log calls the server; ``login``: see LoginContext."""

    def __init__(self, context: DeliveryContext, login: LoginContext, label: str) -> None:
        self._context = context
        self._login = login
        self._label = label
        self._more = says_more(login.config_file)

    def failure(self, error: Exception) -> Failure:
        """The cause of an error, and its remedy in the words of the file that the settings were read from."""
        if isinstance(error, ConfigError):
            cause, remedy = f"{error.key}: {error.problem}", error.remedy
        elif isinstance(error, TransportError):
            cause, remedy = error.cause or str(error), error.remedy
        else:
            cause, remedy = str(error), ""
        return Failure(cause, in_words_of(self._login.config_file, remedy))

    def connected(self) -> None:
        """A login went well."""
        context, destination = self._context, self._context.spool.destination
        context.log.info("CONNECTED to %s", destination)
        with context.status_model.guard:
            context.events.emit("connected", destination=destination)
            context.well()
            context.status_model.state("connected")

    def login_failed(self, error: Exception, failure: Failure, then: NextLogin) -> None:
        """A login failed, or a connection could not be opened."""
        context, why = self._context, failure.cause + then.spared
        with context.status_model.guard:
            is_new = self._problem(error, failure)
            context.status_model.state("held" if then.held else "waiting", why)
            self.next_try(then.secs)
        # A person who has repaired a file of the config must learn that this child does not read it again: this is logged at
        # every try.
        since = self._login.changed() if then.held else ""
        words = sentence(f"{why}; {since}" if since else why, failure.remedy if is_new else "", self._more)
        self._log_failed(error, then, words)

    def next_try(self, secs: float) -> None:
        """Write on the status page when the next login comes."""
        self._context.status_model.set(next_try=utc(self._context.wall() + secs))

    def _problem(self, error: Exception, failure: Failure) -> bool:
        """Report a failed login on the status page and as an event; whether that problem is new."""
        context = self._context
        if isinstance(error, ServerNotTrusted):
            return context.problem("server_not_trusted", failure.cause, failure.remedy, error.headline, error)
        if isinstance(error, ConfigError):
            return context.problem("login_refused", failure.cause, failure.remedy, _A_SETTING, error)
        is_refused = isinstance(error, LoginRefused)
        return context.problem("login_refused" if is_refused else "connect_failed", failure.cause, failure.remedy, "", error)

    def _log_failed(self, error: Exception, then: NextLogin, words: str) -> None:
        log = self._context.log
        if isinstance(error, (ServerNotTrusted, ConfigError)):
            headline = error.headline if isinstance(error, ServerNotTrusted) else _A_SETTING
            text = "%s! Everything is held, nothing is lost. Next try in [%.0f] secs: %s"
            log.error(text, headline.upper(), then.secs, words)
        elif isinstance(error, LoginRefused):
            log.error("LOGIN REFUSED! Everything is held, nothing is lost. Next try in [%.0f] secs: %s", then.secs, words)
        else:
            log.warning("CONNECT attempt FAILED! Try # [%d] of [%d] retries: %s", then.nth, then.tries, words)
            if then.nth == then.tries:
                log.warning("Repeated CONNECT FAILURE! LONGER Wait [%.0f] secs…", then.secs)
            else:
                log.info("Waiting [%.0f] secs before next try...", then.secs)

    def lost(self, error: Exception, then: NextLogin) -> None:
        """The connection broke, and the next login comes later."""
        context, why = self._context, f"{error}{then.spared}"
        words = sentence(why, "", self._more)
        context.log.warning("CONNECTION LOST! Waiting [%.0f] secs before next try...: %s", then.secs, words)
        with context.status_model.guard:
            context.problem("connection_lost", str(error), error=error)
            context.status_model.state("waiting", why)
            self.next_try(then.secs)

    def was_dead(self, error: Exception, advice: str) -> None:
        """The connection had died while it was idle; ``advice``: what follows from that, '' where that was said before."""
        self._context.log.info("Connection was gone after a pause, connecting again: %s", error)
        if advice:
            self._context.log.warning("%s; %s", advice, self._more)
            self._context.error("connection_lost", advice)

    def busy(self, error: Exception, secs: float) -> None:
        """The server asked for a pause."""
        context = self._context
        context.log.warning("SERVER BUSY! Waiting [%.0f] secs before next try...: %s; %s", secs, error, self._more)
        context.problem("server_busy", str(error), error=error)
        context.status_model.state("waiting", str(error))
        self.next_try(secs)

    def goes_on(self) -> None:
        """The pause that the server asked for is over."""
        self._context.well()
        self._context.status_model.state("connected")

    def idle(self, quiet: float) -> None:
        """The connection is closed after ``quiet`` seconds without data."""
        self._context.log.info("'DEAD' for [%.1f] secs! (no data) REST'ing %s!", quiet, self._label)

    def resting(self, quiet: float) -> None:
        """The connection was closed after the dead time."""
        with self._context.status_model.guard:
            self._context.events.emit("resting", secs=round(quiet, 1))
            self._context.status_model.state("resting", "nothing was notified for the dead time")

    def held_before(self, held: str, secs: float, *, is_untrusted: bool) -> None:
        """A login refused before the restart is held for ``secs`` more."""
        context = self._context
        text = "HELD! Nothing is lost: %s; next try in [%.0f] secs, 'pysubtask retry' tries before that; %s"
        context.log.warning(text, held, secs, self._more)
        with context.status_model.guard:
            if is_untrusted:
                context.status_model.set(problem={"kind": "server_not_trusted", "text": held, "headline": "server not trusted"})
            context.status_model.state("held", held)
            self.next_try(secs)

    def state(self, *, is_connected: bool, is_busy: bool, held: str, is_waiting: bool) -> None:
        """Enter the present state, after a pause or a broken connection. ``is_waiting``: the next login comes later."""
        status_model = self._context.status_model
        problem = status_model.get("problem") or {}
        text = str(problem.get("text", ""))
        if is_connected:
            status_model.state("waiting" if is_busy else "connected", text)
        elif held and is_waiting:
            status_model.state("held", held)
        elif problem and is_waiting:
            status_model.state("waiting", text)
        else:
            status_model.state("watching")
