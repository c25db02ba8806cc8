"""Requests to a child: one file each in ``requests/`` of its state folder, answered by a file of the same name in ``replies/``.

Both are written whole under another name and renamed. An id is used once: a request that has a reply is not carried out
again, so repeating one is harmless. While the child is dead a request waits for its next start. Names of ids sort by time.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import as_user, own_files, own_folders
from .events import utc
from .state_files import REPLIES as REPLIES
from .state_files import REQUESTS as REQUESTS
from .trust import user_name

KEEP_SECS = 86400.0
"""How long an answer is kept, and with it the memory of its id."""
_FORMAT = 1
_LONGEST = 1024 * 1024  # bytes; an order of tens of thousands of file names fits
_ID = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_")


class Who(NamedTuple):
    """Who gave an order: ``user`` (login name), ``pid`` (process id), ``command`` (typed or called) and ``host``."""

    user: str
    pid: int
    command: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.user} (pid {self.pid}, {self.command})"


class Request(NamedTuple):
    """One order: ``op`` (what to do) with ``args``, by ``who``, given ``at`` (UTC). ``problem`` says why it cannot be
    read, and is empty where it can."""

    id: str
    op: str
    args: dict[str, Any]
    who: Who
    at: str
    problem: str = ""


class Reply(NamedTuple):
    """The answer: ``ok`` with ``result`` (JSON), or not, with ``error`` for people. ``at`` is UTC."""

    id: str
    ok: bool
    result: Any
    error: str
    at: str


def myself(command: str) -> Who:
    """This process, giving an order by ``command``."""
    return Who(_user(), os.getpid(), command, os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", ""))


def new_id(wall: float) -> str:
    """An id that nobody else has; ``wall`` in seconds since the epoch."""
    return f"{int(wall * 1000):014d}-{os.getpid()}-{os.urandom(4).hex()}"


def send(state_dir: str, op: str, args: Mapping[str, Any], who: Who, *, id: str = "", wall: float | None = None) -> str:
    """Give an order; its id. ``id``: the one of an order given before, to repeat it.

    Raises OSError where the folder cannot be written, ValueError for an order that is too long or an id of other
    signs than letters, digits, ``-`` and ``_``.
    """
    wall = time.time() if wall is None else wall
    id = _checked(id or new_id(wall))
    order = {"format": _FORMAT, "op": op, "args": dict(args), "who": who._asdict(), "at": utc(wall)}
    text = json.dumps(order).encode("ascii")
    if len(text) > _LONGEST:
        raise ValueError(f"the order is longer than {_LONGEST} bytes: name fewer files at once")
    # Root may control the task of any user. In the folders of that user it acts with the rights of that user alone.
    _as_owner(state_dir, lambda: _put(os.path.join(state_dir, REQUESTS), id, text))
    return id


def names(state_dir: str) -> list[str]:
    """What is in the folder of orders, be it an order or not; nothing where it cannot be listed."""
    return _names(os.path.join(state_dir, REQUESTS))


def waiting(state_dir: str) -> list[Request]:
    """The orders that have no answer yet, oldest first; those answered already are removed on the way. Only in a folder of this
    user's is there any."""
    folder = os.path.join(state_dir, REQUESTS)
    orders = sorted(name for name in names(state_dir) if name.endswith(".json"))
    if not orders:
        return []
    done = frozenset(_names(os.path.join(state_dir, REPLIES)))
    found = []
    for name in orders:
        id = name.removesuffix(".json")
        if not _is_id(id) or name in done:
            _remove(folder, name)
            continue
        found.append(_read(folder, id))
    return found


def is_start_requested(state_dir: str) -> bool:
    """Whether a request to start waits for a stopped child."""
    return any(request.op in ("start", "reset") for request in waiting(state_dir))


def answer(state_dir: str, id: str, *, result: Any = None, error: str = "", wall: float | None = None) -> None:
    """Answer an order and take it away; with ``error`` it was not carried out. Raises OSError."""
    reply = {"format": _FORMAT, "ok": not error, "result": result, "error": error, "at": utc(time.time() if wall is None else wall)}
    _put(os.path.join(state_dir, REPLIES), id, json.dumps(reply).encode("ascii"))
    _remove(os.path.join(state_dir, REQUESTS), id + ".json")


def withdraw(state_dir: str, id: str) -> None:
    """Take back a request that has no reply yet; harmless where it is gone."""
    name = _checked(id) + ".json"
    with contextlib.suppress(OSError):
        _as_owner(state_dir, lambda: own_files.remove(os.path.join(state_dir, REQUESTS), name))


def reply_to(state_dir: str, id: str) -> Reply | None:
    """The answer to an order, None where there is none yet."""
    id = _checked(id)
    try:
        any_owner = as_user.is_needed(_owner(state_dir))
        found = _load(own_files.read(os.path.join(state_dir, REPLIES), id + ".json", any_owner=any_owner, most=_LONGEST))
        return Reply(id, bool(found["ok"]), found["result"], str(found["error"]), str(found["at"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def sweep(state_dir: str, now: float) -> None:
    """Forget answers older than a day, and what a killed process left half written. ``now``: seconds since the epoch."""
    for sub in (REPLIES, REQUESTS):
        folder = os.path.join(state_dir, sub)
        for name in _names(folder):
            with contextlib.suppress(OSError):
                if (sub == REPLIES or name.endswith(".part")) and now - own_files.changed_at(folder, name) > KEEP_SECS:
                    own_files.remove(folder, name)


def _read(folder: str, id: str) -> Request:
    nobody = Who("unknown", 0, "unknown")
    try:
        found = _load(own_files.read(folder, id + ".json", or_root=True, most=_LONGEST))
        op, args, who, at = found["op"], found["args"], found["who"], found["at"]
        requester = Who(str(who["user"])[:100], int(who["pid"]), str(who["command"])[:200], str(who["host"])[:100])
        if not (isinstance(op, str) and isinstance(args, dict) and isinstance(at, str)):
            raise TypeError("a field is of a wrong type")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        return Request(id, "", {}, nobody, "", f"the order cannot be read ({type(exc).__name__}: {exc})"[:300])
    return Request(id, op, args, requester, at)


def _load(data: bytes) -> Any:
    found = json.loads(data)
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError("it is not of this version")
    return found


def _owner(state_dir: str) -> int:
    """The user id of the owner of a state folder. Raises OSError."""
    if not hasattr(os, "geteuid"):
        return os.stat(state_dir).st_uid
    with own_folders.opened_folder(state_dir, any_owner=True) as at:
        return os.fstat(at).st_uid


def _as_owner(state_dir: str, action: Callable[[], None]) -> None:
    """Act in a state folder with the rights of its owner, where this process is root."""
    owner = _owner(state_dir)
    if as_user.is_needed(owner):
        as_user.run(owner, action)
    else:
        action()


def _put(folder: str, id: str, data: bytes) -> None:
    own_folders.make_folder(folder)
    own_files.replace(folder, id + ".json", data)


def _names(folder: str) -> list[str]:
    try:
        return own_folders.names(folder)
    except OSError:
        return []


def _remove(folder: str, name: str) -> None:
    with contextlib.suppress(OSError):
        own_files.remove(folder, name)


def _is_id(id: str) -> bool:
    return 0 < len(id) <= 100 and _ID.issuperset(id)


def _checked(id: str) -> str:
    if not _is_id(id):
        raise ValueError(f"{id!r} is no id: give up to 100 letters, digits, '-' and '_'")
    return id


def _user() -> str:
    if hasattr(os, "geteuid"):
        uid = os.geteuid()
        name = user_name(uid)
        behind = os.environ.get("SUDO_USER", "") if uid == 0 else ""
        return f"{name} (sudo by {behind})" if behind else name
    return os.environ.get("USERNAME", "unknown")
