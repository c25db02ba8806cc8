"""The durable queue: all SQL of the child."""
