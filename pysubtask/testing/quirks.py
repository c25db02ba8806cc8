"""The former place of :mod:`pysubtask.testing.servers.quirks`, for tests that import it from here."""

from .servers.quirks import *
