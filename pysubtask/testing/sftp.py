"""The former place of :mod:`pysubtask.testing.servers.sftp`, for tests that import it from here."""

from .servers.sftp import *
