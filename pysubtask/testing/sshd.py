"""The former place of :mod:`pysubtask.testing.servers.sshd`, for tests that import it from here."""

from .servers.sshd import *
