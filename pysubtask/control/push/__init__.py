"""A one-off upload. ``place``: the destination; ``files``: the files; ``record``: the state for the next run; ``sender``: the
uploads."""
