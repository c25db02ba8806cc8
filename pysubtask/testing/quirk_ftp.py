"""The former place of :mod:`pysubtask.testing.servers.quirk_ftp`, for tests that import it from here."""

from .servers.quirk_ftp import *
