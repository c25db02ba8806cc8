"""What is shown of tasks on a terminal."""
