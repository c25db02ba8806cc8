"""The former place of :mod:`pysubtask.testing.servers.dropbox`, for tests that import it from here."""

from .servers.dropbox import *
