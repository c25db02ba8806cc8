"""Facts about this machine and its file systems: mounts, creation times, the granularity of timestamps."""
