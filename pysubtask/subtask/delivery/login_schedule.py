"""When the next login may be tried."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from ...common.errors import LoginRefused, ServerBusy, ServerNotTrusted, TransportLost
from ...delivery_rules.login_limit import LoginLimit
from ...delivery_rules.retry import JITTER, Policy, decide, extra_login_in, held_for, login_wait

_NOT_TRUSTED = "not-trusted"


class NextLogin(NamedTuple):
    """The next login comes in ``secs``. ``held``: the last one was refused, or a setting cannot be used; otherwise it was the
    ``nth`` failure of a set of ``tries``. ``spared``: why the wait is longer than the settings say, '' where it is not."""

    secs: float
    held: bool
    nth: int
    tries: int
    spared: str


class LoginSchedule:
    """Belongs to the dispatcher's event loop. ``clock`` is monotonic, ``wall`` the wall clock, both in seconds; ``chance`` returns
    a random number in [0, 1).

    A person who has repaired the cause of a failure can have the next login at once (:meth:`try_now`); after a refused login no
    more often than once in EXTRA_LOGIN_SECS, as servers lock accounts.
    """

    def __init__(
        self,
        policy: Policy,
        limit: LoginLimit,
        clock: Callable[[], float],
        wall: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._limit = limit
        self._clock = clock
        self._wall = wall
        self._chance = chance
        self._failures = 0
        self._refusals = 0
        self._held = ""
        self._try_at = 0.0
        # The next login is one on request; the time of the last such login, by the wall clock.
        self._is_extra = False
        self._extra_at = float("-inf")
        # The login in progress may have begun before its cause was repaired: if it fails, there is one more.
        self._once_more = False

    @property
    def held(self) -> str:
        """Why logins are held; '' where they are not."""
        return self._held

    @property
    def try_at(self) -> float:
        """No login before this time (monotonic)."""
        return self._try_at

    def begin(self) -> float | None:
        """A login begins. Where it is one on request after a refused one: its time (wall clock), to be kept over a restart."""
        self._once_more = False
        if not self._is_extra:
            return None
        self._is_extra, self._extra_at = False, self._wall()
        return self._extra_at

    def went_well(self) -> bool:
        """The login went well; whether a refused one is to be forgotten on disk too."""
        was_refused, self._refusals, self._held = self._refusals > 0, 0, ""
        self._limit.answered()
        return was_refused

    def delivered(self) -> None:
        """Something arrived over the connection."""
        self._failures = 0

    def count(self, error: Exception, cause: str, fingerprint: str) -> str | None:
        """Count a login that failed. Where the next one is held: the text that :meth:`restore` needs after a restart."""
        if decide(1, error, self._policy, 0.0).action != "hold":
            self._failures += 1
            self._held = ""
            return None
        self._refusals += 1
        self._held = cause
        trusted = f" {_NOT_TRUSTED}" if isinstance(error, ServerNotTrusted) else ""
        return f"{self._refusals} {self._wall()!r} {fingerprint}{trusted}"

    def after(self, error: Exception) -> NextLogin:
        """When the next login comes, after the one that was counted."""
        is_held = bool(self._held)
        secs = decide(self._refusals if is_held else self._failures, error, self._policy, self._chance()).secs
        if self._once_more and not (isinstance(error, ServerBusy) and error.retry_after > 0):
            self._is_extra = is_held
            secs = min(secs, extra_login_in(self._extra_at, self._wall()) if is_held else 0.0)
        if isinstance(error, LoginRefused):
            self._limit.failed(self._clock())
        elif isinstance(error, TransportLost) and error.unanswered:
            self._limit.unanswered(self._clock())
        return self._next(secs)

    def after_loss(self, error: Exception) -> NextLogin | None:
        """When the next login comes after the connection was lost; None where the error is one of the login, which then counts as a
        failed one."""
        if decide(1, error, self._policy, 0.0).action == "hold":
            return None
        self._failures += 1
        secs = 0.0 if self._once_more else decide(self._failures, error, self._policy, self._chance()).secs
        self._limit.failed(self._clock())
        return self._next(secs)

    def _next(self, secs: float) -> NextLogin:
        self._once_more = False
        limit, spared = self._limit.wait(self._clock()), ""
        if limit > secs:
            secs, spared = limit, f"; {self._limit.words()}"
        self._try_at = self._clock() + secs
        nth = (self._failures - 1) % self._policy.tries + 1
        return NextLogin(secs, bool(self._held), nth, self._policy.tries, spared)

    def try_now(self, *, in_progress: bool) -> float:
        """Somebody does not want to wait: the seconds until the next login, 0 where none are left. A login in progress is followed
        by another one at once if it fails."""
        if in_progress:
            self._once_more = True
            return 0.0
        now = self._clock()
        self._failures, self._is_extra = 0, bool(self._held)
        secs = extra_login_in(self._extra_at, self._wall()) if self._held else 0.0
        if self._try_at <= now:
            return 0.0
        self._try_at = min(self._try_at, now + secs)
        return self._try_at - now

    def forget_failed_logins(self) -> None:
        """Somebody has repaired what made logins fail."""
        self._limit.forget()

    def settings_changed(self, policy: Policy, logins_per_minute: int) -> None:
        """Take new values; a wait becomes no longer than they allow."""
        self._policy = policy
        self._limit.most = logins_per_minute
        longest = login_wait(self._refusals, policy) if self._held else policy.long_wait * (1 + JITTER)
        self._try_at = min(self._try_at, self._clock() + longest)

    def restore(self, extra_at: str, refused: str, fingerprint: str) -> tuple[float, bool]:
        """A login refused before a restart stays held for the rest of its time, unless the login was changed since. The arguments
        are what was kept of :meth:`begin` and :meth:`count`. Returns the seconds that are left, and whether it was the server that
        was not trusted."""
        self._extra_at = float(extra_at or "-inf")
        words = refused.split()
        if len(words) not in (3, 4) or words[2] != fingerprint:
            return 0.0, False
        self._refusals = int(words[0])
        left = held_for(self._refusals, float(words[1]), self._wall(), self._policy)
        is_untrusted = len(words) == 4
        if left > 0:
            self._held = f"{'the server was not trusted' if is_untrusted else 'the login was refused'} before the restart"
            self._try_at = self._clock() + left
        return left, is_untrusted
