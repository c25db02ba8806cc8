"""A folder as destination."""
