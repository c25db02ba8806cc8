"""The version of this package. pyproject.toml reads it here."""

__version__ = "2.0.0.dev0"
