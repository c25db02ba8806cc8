"""The guard of a child: a small process between master and child that starts the child again when it dies, while the app sleeps.

It is a shell that waits, so that it takes a quarter of a megabyte: an interpreter would take four. How long to wait before a
restart is told by an interpreter that lives for a moment (:mod:`pysubtask.common.guarded_restart`). Master and guard share a file
without a name (:mod:`pysubtask.common.guard_record`).
"""

import errno
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..common import guard_record, restarts
from ..common.guard_record import FD, VARIABLE, GuardRecord, folder_of, line_of
from ..common.handoff import nameless

KILL = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""The signal that has a guard kill its child and end."""
_SHELL = "/bin/sh"
_FDS = "/dev/fd"
_FIRST_PID_SECS = 0.1  # the shell takes a few milliseconds until it has started the child
_POLL_SECS = 0.001
_SHELLS_FDS = 10  # descriptors below this

# A signal that the app ignores or blocks would be so in the shell, which could not undo that. A stop that is pending is handed on.
_PREPARE = """import _signal as s, posix, sys
asked = "TERM" if s.SIGTERM in s.sigpending() else ""
s.signal(s.SIGTERM, s.SIG_IGN)
for number in (s.SIGTERM, s.SIGUSR1, s.SIGCHLD):
    s.signal(number, s.SIG_DFL)
s.pthread_sigmask(s.SIG_SETMASK, [])
posix.execv(sys.argv[1], [*sys.argv[1:5], asked, *sys.argv[6:]])
"""

# The child ignores SIGTERM until it has its handlers; then it looks for the line "stop". A trap interrupts 'wait', which is called
# again.
_GUARD = f"""exec 3<&0 4>&2 </dev/null 2>/dev/null
asked=$1 fd=$2 python=$3 first=$4 longest=$5 master=$6 born=$7; shift 7
exec {FD}>>"{_FDS}/$fd" || exit 1
export {VARIABLE}="$$ $fd"
child= n=0 status=1
trap 'asked=TERM; n=$((n+1)); echo stop >&{FD}; [ -z "$child" ] || kill -TERM "$child"' TERM
trap 'asked=KILL; n=$((n+1)); [ -z "$child" ] || kill -KILL "$child"' USR1
[ -z "$asked" ] || echo stop >&{FD}
while :; do
  (trap "" TERM; exec "$@") <&3 2>&4 3<&- 4>&- {FD}>&- &
  child=$!
  echo "pid $child" >&{FD}
  [ "$asked" != KILL ] || kill -KILL "$child"
  while :; do
    seen=$n; wait "$child"; code=$?
    [ "$code" = 127 ] || status=$code
    [ "$seen" != "$n" ] || break
  done
  child=
  [ -z "$asked" ] || exit "$status"
  case $status in 0|2|3|4) exit "$status";; esac
  pause=$("$python" -P -m pysubtask.common.guarded_restart --handoff "$fd" "$status" "$first" "$longest" "$master" "$born" \
    2>&4 3<&- 4>&- {FD}>&-) ||
    exit "$status"
  case $pause in ""|*[!0-9.]*) exit "$status";; esac
  [ -z "$asked" ] || exit "$status"
  sleep "$pause" 3<&- 4>&- {FD}>&- & child=$!
  [ -z "$asked" ] || kill "$child"
  wait "$child"; child=
  [ -z "$asked" ] || exit "$status"
done
"""


class Master(NamedTuple):
    """The process that a guard works for: without it no child is started again, nor where one of the ``folders`` is gone."""

    pid: int
    """Its process id."""
    start: str
    """When it was started (``process_start``)."""
    folders: tuple[str, ...] = ()
    """The folders that the child works in and keeps its state in."""


def is_possible() -> bool:
    """Whether this system has what a guard is made of."""
    return sys.platform != "win32" and os.access(_SHELL, os.X_OK) and os.path.isdir(_FDS)


def _is_plain() -> bool:
    """Whether a program that this thread starts has the signals of a guard as they are by default."""
    if sys.platform == "win32":
        return True
    needed = {signal.SIGTERM, KILL, signal.SIGCHLD}
    if needed & signal.pthread_sigmask(signal.SIG_BLOCK, []):
        return False
    return signal.SIG_IGN not in map(signal.getsignal, needed)


class Guard:
    """The master's side of one guard. ``fd``: the descriptor of its record, which the guard inherits."""

    def __init__(self, master: Master) -> None:
        """OSError where no file without a name can be made."""
        folders = filter(None, map(folder_of, master.folders))
        text = "".join(map(line_of, folders)) + f"started {time.monotonic()}\n"
        self.fd = _high(nameless(text.encode("ascii")))
        os.lseek(self.fd, 0, os.SEEK_END)
        self._owner = os.fstat(self.fd)
        self._master = master
        self._known = GuardRecord()

    def words(self, child: Sequence[str]) -> list[str]:
        """The command line of the guard of a child with this command line. OSError where the child's program is not there."""
        if not os.access(child[0], os.X_OK):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), child[0])
        waits = (f"{restarts.FIRST_WAIT_SECS:g}", f"{restarts.LONGEST_WAIT_SECS:g}")
        master = (str(self._master.pid), self._master.start)
        shell = [_SHELL, "-c", _GUARD, "pysubtask-guard", "", str(self.fd), child[0], *waits, *master, *child]
        return shell if _is_plain() else [child[0], "-S", "-P", "-c", _PREPARE, *shell]

    def record(self) -> GuardRecord:
        """What the guard has written up to now."""
        if self._is_mine():
            found = guard_record.read(self.fd)
            if found != GuardRecord():  # empty: it is being replaced
                self._known = found
        return self._known

    def plan_changed(self) -> None:
        """The child would be started again with the settings of its first start, which are not those of the master any more: from
        now on the end of the child is the end of the guard, and the master starts both."""
        if self._is_mine():
            os.lseek(self.fd, 0, os.SEEK_END)
            os.write(self.fd, b"changed\n")

    def wait_for_pid(self) -> None:
        """Wait a moment for the first process of the child."""
        until = time.monotonic() + _FIRST_PID_SECS
        while self.record().pid is None and time.monotonic() < until:
            time.sleep(_POLL_SECS)

    def close(self) -> None:
        """Close the record. The app may have closed that descriptor, and have a file of its own by the number."""
        if self._is_mine():
            os.close(self.fd)

    def _is_mine(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), self._owner)
        except OSError:
            return False


def _high(fd: int) -> int:
    """The same file by a descriptor that the shell has no use for."""
    if sys.platform == "win32":
        raise NotImplementedError
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _SHELLS_FDS)
    finally:
        os.close(fd)
