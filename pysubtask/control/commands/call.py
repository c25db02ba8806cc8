"""``pysubtask call``: call a method of a daemon.

CommandError where the method fails, is refused or gives no answer; UsageError where no method is named.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from ...common.requests import new_id
from ...daemon.connection import Connection
from ...daemon.proxy import CallHandle, Proxy
from ...daemon.proxy import call as call_method
from ..daemons import complete
from ..daemons import words as daemon_words
from ..exit_status import OK
from ..tasks.send_request import command_line
from ..terminal import live, safe, say, width

_BAR = 30


@click.command(short_help="Call a method of a daemon.")
@click.option("-t", "--timeout", type=float, metavar="SECS", help="Wait so long for the answer; by default as the daemon says.")
@click.option("--no-wait", is_flag=True, help="Print the id of the call, and do not wait.")
@click.option("--result", "id", metavar="ID", help="The state or result of a call that was begun before.")
@click.option("--cancel", "cancelled", metavar="ID", help="Cancel a call that was begun before.")
@click.argument("name", metavar="NAME", shell_complete=complete.daemon_names)
@click.argument("method", required=False, metavar="[METHOD]", shell_complete=complete.methods)
@click.argument("words", nargs=-1, metavar="[ARG=VALUE]...", shell_complete=complete.arguments)
def command(
    timeout: float | None,
    no_wait: bool,
    id: str | None,
    cancelled: str | None,
    name: str,
    method: str | None,
    words: tuple[str, ...],
) -> int:
    """Call a method of the daemon NAME and print its result. Its progress is shown on a terminal; Ctrl-C cancels the call.

    \b
    pysubtask call Dome park quietly=true
    pysubtask call --no-wait Dome park
    pysubtask call --result 01796049412963-26378-bd4ff786 Dome
    """
    with daemon_words.asking():
        if id or cancelled:
            handle = CallHandle(Connection(name, command_line()), id or cancelled or "", "")
            say(["cancelled" if handle.cancel() else "it is over already"] if cancelled else _state(handle.state()))
            return OK
        proxy = daemon_words.daemon(name)
        if method is None:
            raise click.UsageError("Which method? 'pysubtask describe' shows them.")
        args = daemon_words.given(proxy.describe(), method, words)
        if no_wait:
            say([proxy.begin(method, **args).id])
            return OK
        say([_text(_wait(proxy, method, args, timeout))])
    return OK


def _wait(proxy: Proxy, method: str, args: dict[str, Any], timeout: float | None) -> Any:
    id, more = new_id(time.time()), {} if timeout is None else {"timeout": timeout}
    try:
        return call_method(proxy, method, (), args, id=id, on_progress=_progress if live() else None, **more)
    except KeyboardInterrupt:
        proxy.call_of(id).cancel()
        raise
    finally:
        if live():
            print("\r\033[K", end="", file=sys.stderr)  # noqa: T201


def _progress(line: dict[str, Any]) -> None:
    fraction = min(max(float(line.get("fraction", 0.0)), 0.0), 1.0)
    bar = "#" * round(fraction * _BAR)
    print("\r\033[K", end="", file=sys.stderr)  # noqa: T201
    text = f"[{bar:{_BAR}}] {fraction:4.0%} {line.get('text', '')}"[: width() - 1]
    print(safe(text, sys.stderr), end="", file=sys.stderr, flush=True)  # noqa: T201


def _state(state: dict[str, Any]) -> list[str]:
    if "error" in state:
        return [f"{state['state']}: {state['error'].get('reason', '')}"]
    if "result" in state:
        return [f"{state['state']}: {_text(state['result'])}"]
    return [f"{state['state']}: {state.get('fraction', 0):.0%} {state.get('text', '')}".rstrip()]


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result)
