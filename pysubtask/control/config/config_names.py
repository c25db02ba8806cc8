"""The names of config files."""

MAIN_FILE = "pysubtask.toml"
DROP_INS = "conf.d"
"""The folder beside ``MAIN_FILE`` whose files hold one task each."""
