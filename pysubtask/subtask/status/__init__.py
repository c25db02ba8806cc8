"""The status page of a child."""
