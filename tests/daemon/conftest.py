"""A folder for the daemons of each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons import place_for_daemons


@pytest.fixture
def place() -> Iterator[Path]:
    with place_for_daemons() as folder:
        yield folder
