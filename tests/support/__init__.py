"""The harness of the tests: stations, children, servers, users and helpers. No module here holds a test."""
