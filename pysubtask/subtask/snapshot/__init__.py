"""A due file becomes a durable snapshot in the queue."""
