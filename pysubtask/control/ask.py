"""Questions to whoever sits at the terminal; where nobody does, nothing is asked."""

from __future__ import annotations

import sys

import click

from ..common.text import plain


def somebody() -> bool:
    """Whether a person can be asked: input and messages are a terminal's."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def for_secret(what: str) -> str:
    """A secret, read without an echo; '' where only Enter was pressed. Ctrl-C is KeyboardInterrupt, an end of input ''."""
    import getpass

    try:
        return getpass.getpass(f"{plain(what)}: ")
    except EOFError:
        click.echo("", err=True)
        return ""


def for_text(what: str, default: str = "") -> str:
    """A line without spaces around it, ``default`` where only Enter was pressed."""
    return str(click.prompt(plain(what), default=default, show_default=bool(default), err=True)).strip()


def for_choice(what: str, choices: tuple[str, ...], default: str) -> str:
    """One of the words, asked for until it is one."""
    return str(click.prompt(plain(what), default=default, type=click.Choice(choices, case_sensitive=False), err=True))


def for_consent(what: str) -> bool:
    """Yes or no; Enter is no."""
    return click.confirm(plain(what), default=False, err=True)
