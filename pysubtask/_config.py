"""Where version-1 config files import their section class from."""

from .common.config import Section as Struct

__all__ = ["Struct"]
