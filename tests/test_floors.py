"""The lowest versions that ``pyproject.toml`` allows are above those with a hole that concerns us; ``.ci/floors`` runs on them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAST = {
    "asyncssh": (2, 14, 2),  # CVE-2023-46445, -46446, and -48795 (Terrapin)
    "pyopenssl": (26,),  # CVE-2026-27448, -27459
    "requests": (2, 32, 4),  # CVE-2024-47081, CVE-2023-32681
}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_no_extra_allows_a_version_with_a_known_hole(extra: str):
    for need in EXTRAS[extra]:
        name, sign, version = re.fullmatch(r"([A-Za-z0-9-]+)(>=|==)([\d.]+).*", need).groups()
        assert sign and tuple(map(int, version.split("."))) >= LEAST.get(name, ()), need


@pytest.mark.parametrize("extra", [extra for extra, needs in EXTRAS.items() if any(need.startswith("dropbox") for need in needs)])
def test_what_dropbox_leaves_open_is_named(extra: str):
    assert any(need.startswith("requests>=") for need in EXTRAS[extra])


def test_the_lowest_versions_are_run():
    assert "bash .ci/floors" in (ROOT / ".ci" / "run").read_text()
    floors = (ROOT / ".ci" / "floors").read_text()
    assert "--resolution lowest-direct" in floors and "pip-audit" in floors


@pytest.mark.parametrize("script", ["run", "floors", "frozen", "extras", "servers"])
def test_the_tests_that_a_script_names_are_there(script: str):
    named = re.findall(r"\btests/[\w/]*\w(?:\.py)?", (ROOT / ".ci" / script).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
