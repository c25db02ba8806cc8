"""The former place of :mod:`pysubtask.testing.servers.proftpd`, for tests that import it from here."""

from .servers.proftpd import *
