"""What people call a task: its label, which they see in every row and type after ``-t``."""

import os

FIRST_TASK = "main"
"""The name of a task that was given none."""
_MAIN_CONFIG = "pysubtask"


def label_of(task: str, config_file: str, folder: str) -> str:
    """The label of a task named ``task`` with the config file ``config_file`` ('' for an app's own config) and the first
    watched folder ``folder``.

    A task with a name of its own is called by it. Of the others, which are all named ``main``, the config file's stem
    tells them apart, except for the one of a config folder (``pysubtask.toml``); else the folder's last part.
    """
    if task != FIRST_TASK:
        return task
    stem, ending = os.path.splitext(os.path.basename(config_file))
    if ending == ".toml" and stem and stem != _MAIN_CONFIG:
        return stem
    return os.path.basename(folder.rstrip(os.sep)) or task
