"""Found by an interpreter whose PYTHONPATH names this folder: it sees no POSIX in the modules of ``pysubtask``."""

from tests.support import posix_hidden

posix_hidden.install()
