"""Findings for people: a line each, and below a defect its remedy. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .finding import FAIL, NOTE, SKIP, WARN, Finding, remedy_lines

_WIDTH = 14
_COLOURS = {FAIL: "red", WARN: "yellow", NOTE: "cyan"}
_LABELS = {FAIL: "FAIL"}


def colour(finding: Finding) -> str | None:
    """The colour of a finding on a terminal, None for the terminal's own."""
    return _COLOURS.get(finding.state)


def lines(finding: Finding, section: str, style: str) -> list[str]:
    """``  FAIL  port           nothing listens there`` and, indented, the remedy."""
    first = f"  {_LABELS.get(finding.state, finding.state):<5} {finding.check:<{_WIDTH}} {finding.text}"
    return [first, *(f"        {'':<{_WIDTH}}-> {line}" for line in remedy_lines(finding, section, style))]


def summary(findings: Iterable[Finding], not_examined: Sequence[str] = ()) -> str:
    """The last lines. ``not_examined``: the parts that were left out (see ``left_out``); with any of them the summary does not
    claim that all is well."""
    found = list(findings)
    failed, warned = (sum(finding.state == state for finding in found) for state in (FAIL, WARN))
    if failed:
        text = f"{failed} thing{'s' * (failed > 1)} must be mended" + (f", {warned} might be" if warned else "") + "."
    elif not_examined:
        text = (
            "Nothing wrong was found in what was looked at"
            + (f", {warned} things might be better" if warned > 1 else ", one thing might be better" if warned else "")
            + "."
        )
    else:
        text = f"Uploads work; {warned} thing{'s' * (warned > 1)} might be better." if warned else "All is well."
    return text + (f"\nNot looked at: {'; '.join(not_examined)}." if not_examined else "")


def left_out(group: str, finding: Finding) -> str:
    """The part that was left out though a config would allow its check, by a finding; '' for other findings."""
    return f"{group.split('  ')[0]}: {finding.check}" if finding.state == SKIP and finding.cause else ""
