"""A remedy for a config that keeps its secrets in files: the remedy names the file, and no second place for the secret. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .finding import Finding


def remedied(finding: Finding, files: Mapping[str, str]) -> Finding:
    """The finding with its settings rewritten for a config whose ``files`` (``Password`` -> path) hold the secrets."""
    remedy = finding.remedy
    if not any(key in files for key, _ in remedy.settings):
        return finding
    settings: list[tuple[str, Any]] = []
    sentences = [remedy.words] if remedy.words else []
    for key, value in remedy.settings:
        if key not in files:
            settings.append((key, value))
        elif value is None:
            settings.append((f"{key}File", None))
        else:
            sentences.append(f"It belongs into the first line of {files[key]} ({key}File).")
    return finding._replace(remedy=remedy._replace(settings=tuple(settings), words=" ".join(sentences)))
