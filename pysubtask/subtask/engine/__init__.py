"""The process of a child: start, ticks, end. Nothing here is overridden by a subclass of a user."""
