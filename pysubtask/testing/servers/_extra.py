"""What the servers are made of is an extra: an error that says which, where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...common.advice import install
from ...common.errors import ConfigError


@contextmanager
def needs_libraries(server: str) -> Iterator[None]:
    """ConfigError where an import in the block fails; ``server``: the function that needs it."""
    try:
        yield
    except ImportError as exc:
        raise ConfigError(
            f"pysubtask.testing.{server}", f"it needs {exc.name}, which is not installed", f"Run: {install('testing')}."
        ) from exc
