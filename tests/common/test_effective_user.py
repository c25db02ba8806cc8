"""Whose rights this process has: asked once in a child, each time elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pysubtask.common import as_user, effective_user

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs users")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    effective_user.forget()


def test_only_who_keeps_its_user_does_not_ask_again(monkeypatch: pytest.MonkeyPatch):
    me = os.geteuid()
    assert effective_user.number() == me
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert effective_user.number() == me + 1
    effective_user.keep()
    monkeypatch.undo()
    assert effective_user.number() == me + 1
    effective_user.forget()
    assert effective_user.number() == me


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes another user")
def test_a_process_that_becomes_another_user_asks():
    effective_user.keep()
    assert as_user.ask(65534, effective_user.number) == 65534
    assert effective_user.number() == 0
