"""How the files of a config are called."""

MAIN_FILE = "pysubtask.toml"
DROP_INS = "conf.d"
"""The folder beside it with one task a file."""
