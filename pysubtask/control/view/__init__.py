"""The state of tasks and its presentation on a terminal."""
