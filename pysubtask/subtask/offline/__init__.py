"""What a child that is not running has left: read, never repaired."""
