"""Alerts: the process that runs the user's program when a task is held, has parked files, lacks disk space or is silent.

``kinds``: which of these conditions a task has, by the judgement of ``status --check``; ``incident``: which of them are reported,
and when; ``incidents``: the incidents on disk, for a restart; ``message``: the input of the program; ``program``: the running
program; ``watch``: the loop.
"""
