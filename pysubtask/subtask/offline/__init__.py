"""The queue and settings of a child that is not running: read, never repaired."""
