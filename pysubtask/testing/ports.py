"""The former place of :mod:`pysubtask.testing.servers.ports`, for tests that import it from here."""

from .servers.ports import *
