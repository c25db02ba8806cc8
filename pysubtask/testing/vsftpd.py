"""The former place of :mod:`pysubtask.testing.servers.vsftpd`, for tests that import it from here."""

from .servers.vsftpd import *
