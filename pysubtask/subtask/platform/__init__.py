"""What this machine and its file systems do: mounts, creation times, the granularity of timestamps."""
