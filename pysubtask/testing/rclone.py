"""The former place of :mod:`pysubtask.testing.servers.rclone`, for tests that import it from here."""

from .servers.rclone import *
