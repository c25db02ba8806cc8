"""The former place of :mod:`pysubtask.testing.servers.pureftpd`, for tests that import it from here."""

from .servers.pureftpd import *
