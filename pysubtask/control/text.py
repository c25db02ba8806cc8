"""Where the words and numbers were before the app's half used them, too: :mod:`pysubtask.common.text`."""

from ..common.text import amount, bar, cells, clock, files, fit, pad, plain, seconds, share, span, table, wrapped

__all__ = ["amount", "bar", "cells", "clock", "files", "fit", "pad", "plain", "seconds", "share", "span", "table", "wrapped"]
