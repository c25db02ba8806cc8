"""Config files: read, checked, written and compared."""
