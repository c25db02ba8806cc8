"""A link that cannot be trusted: real TCP between two network namespaces, through delay, loss, a rate and outages.

::

    with bad_link(delay=0.05, loss=0.01, rate=5_000_000) as link:
        with openssh_server(folder, host=link.far_address, within=link.far) as server:
            link.run_near(["ssh", ..., link.far_address])
            link.down()                    # packets vanish; both sides keep their sockets
            link.up()
            link.counts().there.bytes      # what was on the wire, IP headers included

Each namespace has a TUN device; a process of its own carries the packets between them, so the two kernels' real TCP is
at work with its congestion control and its timeouts. Programs run in one of the two, never both; the namespaces have no
names, no way to any other network, and are gone with the link, with every program in them, however the caller ends.

Needs Linux, ``nsenter`` (util-linux), /dev/net/tun, and root or the right to user namespaces; ``missing()`` says what is
not there. The addresses are of 198.18.0.0/15, set aside for such measurements (RFC 2544).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from ...common.program import here, interpreter
from ._bad_link_lane import Direction, LaneCounts
from ._bad_link_net import kill_all_in

_NEAR, _FAR = "198.18.0.1", "198.18.0.2"
_MTU = 1500
_ANSWER_SECS = 30.0
_LANES = {"there": ["there"], "back": ["back"], "both": ["there", "back"]}


class Counts(NamedTuple):
    """The packets carried since the link was created: from near to far, and back. ``down``: whether the link is down now."""

    there: LaneCounts
    back: LaneCounts
    down: bool


@functools.cache
def missing() -> str | None:
    """The reason why no such link can be created here, in one line; None where it can."""
    if sys.platform != "linux":
        return "a bad link needs Linux' network namespaces"
    if shutil.which("nsenter") is None:
        return "nsenter is not installed (apt-get install util-linux)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened"
    try:
        BadLink(0).close()
    except (OSError, RuntimeError) as exc:
        return str(exc).partition("\n")[0]
    return None


class BadLink:
    """The running link; made by ``bad_link``. Orders, from any thread, are in force when they return.

    ``near``, ``far``: words to put in front of a command line, which run it there. ``near_address``, ``far_address``:
    how each is reached from the other. Raises RuntimeError where such a link cannot be had.
    """

    near_address = _NEAR
    far_address = _FAR

    def __init__(self, seed: int) -> None:
        self._files: list[int] = []
        self._guard = threading.Lock()
        self._orders, theirs = socket.socketpair()
        self._answers = self._orders.makefile("rb")
        self._orders.settimeout(_ANSWER_SECS)
        given = json.dumps({"near": _NEAR, "far": _FAR, "mtu": _MTU, "seed": seed})
        words = [interpreter(here()), "-m", f"{__package__}._bad_link_loop", str(theirs.fileno()), given]
        above = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, (above, os.environ.get("PYTHONPATH", ""))))
        with theirs:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=os.environ | {"PYTHONPATH": paths}
            )
        try:
            hello = self._answer()
            # Open here too, each namespace stays itself until close() has searched it for processes that are left.
            source = f"/proc/{self._process.pid}"
            self._files += [os.open(f"{source}/fd/{number}", os.O_RDONLY) for number in hello["networks"]]
            user = []
            if hello["own_user"]:
                self._files.append(os.open(f"{source}/ns/user", os.O_RDONLY))
                user = [f"--user={self._path(2)}", "--preserve-credentials"]
        except BaseException:
            self.close()
            raise
        self.near = ["nsenter", *user, f"--net={self._path(0)}", "--"]
        self.far = ["nsenter", *user, f"--net={self._path(1)}", "--"]

    def __enter__(self) -> BadLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def set(self, direction: Direction = "both", **values: float | None) -> None:
        """Change ``delay``, ``loss``, ``rate``, ``queue`` (see ``bad_link``) or ``largest`` (bytes of a packet; those above vanish
        without a word, as in a black hole for large packets) for packets that come from now on.
        ValueError for a value that cannot be, RuntimeError where the link is gone."""
        self._order({"set": values, "lanes": _LANES[direction]})

    def down(self) -> None:
        """Let nothing pass from now on; packets in flight are lost, and neither side gets an error."""
        self._order({"down": True})

    def up(self) -> None:
        """End ``down``; planned outages stay planned."""
        self._order({"down": False})

    def outages(self, plan: Sequence[tuple[float, float]]) -> None:
        """Be down from begin to end of each pair, in seconds from now; in the place of any earlier plan."""
        self._order({"outages": list(plan)})

    def counts(self) -> Counts:
        """The packets carried so far."""
        got = self._order({})
        return Counts(LaneCounts(*got["there"]), LaneCounts(*got["back"]), got["down"])

    def start_near(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program on the near side; ``options`` are Popen's. It ends with the link at the latest."""
        return subprocess.Popen([*self.near, *argv], **options)

    def start_far(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program on the far side; as for ``start_near``."""
        return subprocess.Popen([*self.far, *argv], **options)

    def run_near(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a program on the near side to its end; ``options`` are those of subprocess.run."""
        return subprocess.run([*self.near, *argv], **options)

    def run_far(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a program on the far side to its end; as for ``run_near``."""
        return subprocess.run([*self.far, *argv], **options)

    @property
    def pid(self) -> int:
        """The pid of the process that carries the packets."""
        return self._process.pid

    def close(self) -> None:
        """End the link and every program on either side. May be called twice."""
        self._answers.close()
        self._orders.close()
        try:
            self._process.wait(_ANSWER_SECS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        files, self._files = self._files, []
        # The process has done this, unless it was killed.
        kill_all_in(files[:2])
        for file in files:
            os.close(file)

    def _path(self, index: int) -> str:
        return f"/proc/{os.getpid()}/fd/{self._files[index]}"

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        with self._guard:
            try:
                self._orders.sendall(json.dumps(order).encode() + b"\n")
            except OSError as exc:
                raise RuntimeError(f"the link is gone: {exc}") from exc
            try:
                return self._answer()
            except _Refused as exc:
                raise ValueError(str(exc)) from exc

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.readline()
        except OSError as exc:
            raise RuntimeError(f"the link does not answer: {exc}") from exc
        if not line:
            raise RuntimeError("the link's process has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise _Refused(answer["error"])
        found: dict[str, Any] = answer["answer"]
        return found


class _Refused(RuntimeError):
    """The link's process refused an order; the text is its reason."""


@contextlib.contextmanager
def bad_link(
    *,
    delay: float = 0.0,
    loss: float = 0.0,
    rate: float | None = None,
    queue: float = 128 * 1024,
    outages: Sequence[tuple[float, float]] = (),
    seed: int = 0,
) -> Iterator[BadLink]:
    """A link between two network namespaces, for as long as the block runs.

    ``delay``: seconds from one side to the other, so half of a round trip. ``loss``: part of the packets (0 to 1) that is
    lost each way; the same ``seed`` draws the same lots. ``rate``: bit/s each way, None without a limit. ``queue``: bytes
    that wait in front of a busy wire; packets beyond are dropped. ``outages``: see ``BadLink.outages``.
    """
    with BadLink(seed) as link:
        link.set(delay=delay, loss=loss, rate=rate, queue=queue)
        link.outages(outages)
        yield link
