"""The former place of :mod:`pysubtask.testing.servers.hostile_sftp`, for tests that import it from here."""

from .servers.hostile_sftp import *
