"""The exit statuses of a child."""

from ...common.process import EXIT_STOPPED as EXIT_STOPPED

EXIT_OK, EXIT_FAILED, EXIT_CONFIG, EXIT_LOCKED = 0, 1, 2, 3
"""Stopped (by a request: EXIT_STOPPED); failed; wrong settings; another child has the lock."""
