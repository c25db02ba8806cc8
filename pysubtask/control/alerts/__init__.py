"""Alerts: the process that runs the user's program when a task is held, has parked files, lacks disk or is silent.

``kinds`` says which of it is so at a look, by the judgement of ``status --check``; ``incident`` decides what is told of it and
when; ``incidents`` keeps that over a restart; ``message`` is what the program gets, ``program`` runs it, ``watch`` is the loop.
"""
