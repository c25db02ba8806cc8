"""Findings for people: a line each, and below what is wrong what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .finding import FAIL, NOTE, WARN, Finding, remedy_lines

_WIDTH = 14
_COLOURS = {FAIL: "red", WARN: "yellow", NOTE: "cyan"}
_SHOWN = {FAIL: "FAIL"}


def colour(finding: Finding) -> str | None:
    """In which colour a terminal shows it, None for its own."""
    return _COLOURS.get(finding.state)


def lines(finding: Finding, section: str, style: str) -> list[str]:
    """``  FAIL  port           nothing listens there`` and, indented, the remedy."""
    first = f"  {_SHOWN.get(finding.state, finding.state):<5} {finding.check:<{_WIDTH}} {finding.text}"
    return [first, *(f"        {'':<{_WIDTH}}-> {line}" for line in remedy_lines(finding, section, style))]


def summary(findings: Iterable[Finding]) -> str:
    """The last line."""
    found = list(findings)
    failed, warned = (sum(finding.state == state for finding in found) for state in (FAIL, WARN))
    if failed:
        return f"{failed} thing{'s' * (failed > 1)} must be mended" + (f", {warned} might be" if warned else "") + "."
    return f"Uploads work; {warned} thing{'s' * (warned > 1)} might be better." if warned else "All is well."
