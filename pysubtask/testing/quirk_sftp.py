"""The former place of :mod:`pysubtask.testing.servers.quirk_sftp`, for tests that import it from here."""

from .servers.quirk_sftp import *
