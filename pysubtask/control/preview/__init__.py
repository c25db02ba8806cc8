"""Previews of a run: the files that a task would send, archive and skip if it were started now."""
