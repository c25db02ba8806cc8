"""The former place of :mod:`pysubtask.testing.servers.hostile_ftp`, for tests that import it from here."""

from .servers.hostile_ftp import *
