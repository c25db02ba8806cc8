"""The former place of :mod:`pysubtask.testing.link.bad_link`, for tests that import it from here."""

from .link.bad_link import *
