"""The former place of :mod:`pysubtask.testing.servers.ftp`, for tests that import it from here."""

from .servers.ftp import *
