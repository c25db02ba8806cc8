"""What a task would do if it were started now."""
