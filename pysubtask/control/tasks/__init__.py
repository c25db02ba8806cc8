"""The tasks of this machine: found, chosen, read and sent requests."""
