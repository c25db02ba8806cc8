"""The former place of :mod:`pysubtask.testing.link.ftp_relay`, for tests that import it from here."""

from .link.ftp_relay import *
