"""The former place of :mod:`pysubtask.testing.link.relay`, for tests that import it from here."""

from .link.relay import *
