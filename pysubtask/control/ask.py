"""Questions to the person at the terminal. Callers ask :func:`is_interactive` first: without a terminal no question is put."""

from __future__ import annotations

import sys

import click

from ..common.text import plain


def is_interactive() -> bool:
    """Whether a person can be asked: input and messages are a terminal's."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def for_secret(what: str) -> str:
    """Read a secret without an echo; '' where only Enter was pressed or the input has ended. Ctrl-C raises KeyboardInterrupt."""
    import getpass

    try:
        return getpass.getpass(f"{plain(what)}: ")
    except EOFError:
        click.echo("", err=True)
        return ""


def for_text(what: str, default: str = "") -> str:
    """Read a line, without the spaces around it; ``default`` where only Enter was pressed."""
    return str(click.prompt(plain(what), default=default, show_default=bool(default), err=True)).strip()


def for_choice(what: str, choices: tuple[str, ...], default: str) -> str:
    """Read one of ``choices``, in any case; the question is repeated until the answer is one of them."""
    return str(click.prompt(plain(what), default=default, type=click.Choice(choices, case_sensitive=False), err=True))


def for_consent(what: str) -> bool:
    """Ask a question for yes or no; Enter alone means no."""
    return click.confirm(plain(what), default=False, err=True)
