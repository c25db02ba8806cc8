"""Which files are due: file events, scans, notify files, hold files, files that must settle."""
