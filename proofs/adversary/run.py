"""One run, and what is found.

While the adversary is at work, and when it has ended: no byte of a file that only the task's user may read is on its way to the
server, in the data folder, in the state folder or with the adversary; nothing of that user's outside the data folder is changed; no
process of his that records were made to name is ended; the child is the one that was started. Afterwards every file that the
adversary left alone is on the server as it was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from pysubtask.common.process import process_start
from pysubtask.testing.servers.ftp import FTPServer, ftp_server

from .world import OTHER, World

_CHECK_SECS, _ARRIVE_SECS, _BEGIN_SECS, _END_SECS = 0.5, 90.0, 30.0, 60.0
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": _ROOT, "PYTHONDONTWRITEBYTECODE": "1"}
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")


class Result(NamedTuple):
    """What one run of ``case`` (a kind of folder) by ``seed`` in ``secs`` seconds came to. ``problems``: what must not be; of
    the task's ``own`` files so many ``arrived``; ``delivered``: the count on the status page; ``children``: how many children
    there were; ``done`` and ``refused``: acts by kind; ``folder``: where all of it is, if it was kept."""

    case: str
    seed: int
    secs: float
    own: int
    arrived: int
    delivered: int
    children: int
    done: dict[str, int]
    refused: dict[str, int]
    problems: list[str]
    folder: str = ""


class CannotRun(Exception):
    """The reason why there can be no run here."""


def interpreter() -> str:
    """A Python that ordinary users may start, with this package. CannotRun where there is none: both may be in root's home."""
    why = "there is none"
    there = (sys.executable, os.path.realpath(sys.executable), shutil.which("python3", path=os.defpath))
    for program in dict.fromkeys(filter(None, there)):
        try:
            done = subprocess.run(
                [program, "-c", "import proofs.adversary.app"],
                env=_ENVIRONMENT,
                cwd="/",
                user=OTHER,
                group=OTHER,
                extra_groups=[],
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as exc:
            why = str(exc)
            continue
        if done.returncode == 0:
            return program
        why = f"{program}: {done.stderr.strip().splitlines()[-1:]}"
    raise CannotRun(f"ordinary users cannot start a Python with this package here ({why})")


def run(case: str, secs: float, seed: int, *, base: dict[str, Any] | None = None, again: float = 0.0, keep: bool = False) -> Result:
    """Let the adversary work for ``secs``. ``base``: settings of the task ("{data}" in a text is the folder); ``again``: the app is
    stopped and started so often, in seconds, 0 for never; ``keep``: leave the folder where there are problems."""
    root = os.path.realpath(tempfile.mkdtemp(prefix="pysubtask-adversary-"))
    try:
        result = _Run(World(root, case), secs, seed, base or {}, again).result()
    except BaseException:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
        raise
    if keep and result.problems:
        return result._replace(folder=root)
    shutil.rmtree(root, ignore_errors=True)
    return result


class _Run:
    def __init__(self, world: World, secs: float, seed: int, base: dict[str, Any], again: float) -> None:
        self._world, self._secs, self._seed, self._base, self._again = world, secs, seed, base, again
        self._heard = self._pid = 0
        self._tail = b""
        self._problems: dict[str, None] = {}
        self._own: dict[str, str] = {}
        self._report: dict[str, Any] = {}
        self._interpreter = interpreter()
        self._begins_first = random.Random(seed).random() < 0.5

    def result(self) -> Result:
        world = self._world
        acts: dict[str, Any] = {}
        log = os.path.join(world.root, "out.txt")
        with ftp_server(world.server) as server, open(log, "w+b") as out, self._bystander() as bystander:
            server.heard = self._hear
            self._pid = bystander.pid
            with contextlib.ExitStack() as stack:
                adversary = stack.enter_context(self._adversary(out)) if self._begins_first else None
                if adversary is not None:
                    time.sleep(0.5)
                app = stack.enter_context(self._app(server, out))
                if adversary is None:
                    self._until(app, lambda: bool(self._own), _BEGIN_SECS)
                    if not self._until(app, lambda: self._missing(server) < len(self._own), _BEGIN_SECS):
                        self._problems["nothing was sent before the adversary began"] = None
                    adversary = stack.enter_context(self._adversary(out))
                self._until(app, lambda: False, self._secs)
                acts = self._end(adversary)
                _say(app, "no more")
                self._until(app, lambda: self._missing(server) == 0, _ARRIVE_SECS)
                missing = self._missing(server)
                if missing:
                    self._problems[f"{missing} of {len(self._own)} files that were left alone did not arrive"] = None
                assert app.stdin is not None
                app.stdin.close()
                self._read(app, _END_SECS)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    app.wait(_END_SECS)
            self._check()
            if bystander.poll() is not None:
                self._problems["a process of the task's user was ended"] = None
            self._child(out)
        done, refused = acts.get("done", {}), acts.get("refused", {})
        page = self._report.get("page") or {}
        return Result(
            world.case,
            self._seed,
            self._secs,
            len(self._own),
            len(self._own) - missing,
            int(page.get("delivered") or 0),
            len(self._report.get("pids", [])),
            done,
            refused,
            list(self._problems),
        )

    def _child(self, out: IO[bytes]) -> None:
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
        found = len(_TRACEBACK.findall(text))
        if found:
            at = text.index("Traceback")
            self._problems[f"{found} tracebacks, the first: {text[at : at + 3000]}"] = None
        pids = self._report.get("pids", [])
        if not self._report:
            self._problems[f"the app did not come to its end: {text[-1500:]}"] = None
        elif self._report["ended"] or len(pids) != self._report["masters"]:
            self._problems[
                f"{len(pids)} children for {self._report['masters']} starts, {self._report['ended']}; {text[-1500:]}"
            ] = None

    def _hear(self, data: bytes) -> None:
        """On the server's thread."""
        self._heard += len(data)
        if self._world.token.encode("ascii") in self._tail + data:
            self._problems["the canary was sent to the server"] = None
        self._tail = data[-100:]

    def _check(self) -> None:
        for path in self._world.leaked():
            self._problems[f"the canary is in {path}"] = None
        for path in self._world.changed():
            self._problems[f"{path} was changed, made or removed"] = None

    def _missing(self, server: FTPServer) -> int:
        missing = 0
        for path, digest in self._own.items():
            try:
                with open(os.path.join(server.files, os.path.basename(path)), "rb") as file:
                    missing += hashlib.sha256(file.read()).hexdigest() != digest
            except OSError:
                missing += 1
        return missing

    def _until(self, app: subprocess.Popen[bytes], there: Any, secs: float) -> bool:
        until = time.monotonic() + secs
        check_at = 0.0
        while True:
            self._read(app, 0.05)
            if time.monotonic() >= check_at:
                self._check()
                check_at = time.monotonic() + _CHECK_SECS
            if there():
                return True
            if time.monotonic() >= until or app.poll() is not None:
                return False

    def _read(self, app: subprocess.Popen[bytes], secs: float) -> None:
        """What the app tells, for so long or to its end."""
        assert app.stdout is not None
        until = time.monotonic() + secs
        while (left := until - time.monotonic()) > 0 and select.select([app.stdout], [], [], left)[0]:
            line = app.stdout.readline()
            if not line:
                time.sleep(min(left, 0.05))
                return
            record = json.loads(line)
            if "own" in record:
                self._own[record["own"]] = record["sha256"]
            else:
                self._report = record

    @contextlib.contextmanager
    def _bystander(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process of the task's user that has nothing to do with it."""
        with subprocess.Popen(["sleep", "100000"], **self._as(self._world.task), start_new_session=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def _adversary(self, out: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        world = self._world
        orders = {
            "seed": self._seed,
            "data": world.data,
            "mine": world.mine,
            "victims": world.victims,
            "spared": world.spared,
            "pid": self._pid,
            "start": process_start(self._pid),
        }
        with self._python("acts", world.other, orders, out) as process:
            yield process

    @contextlib.contextmanager
    def _app(self, server: FTPServer, out: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        login = {"Host": server.host, "HostPort": server.port, "User": server.user, "Password": server.password, "UseSFTP": False}
        base = {key: value.format(data=self._world.data) if isinstance(value, str) else value for key, value in self._base.items()}
        orders = {"data": self._world.data, "ftp": login, "base": base, "run_as": self._world.run_as, "again": self._again}
        with self._python("app", self._world.task, orders, out) as process:
            yield process

    @contextlib.contextmanager
    def _python(self, name: str, who: Any, orders: dict[str, Any], out: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        world = self._world
        environment = {**_ENVIRONMENT, "HOME": world.home, "XDG_STATE_HOME": world.state}
        command = [self._interpreter, "-m", f"proofs.adversary.{name}"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            cwd="/",
            env=environment,
            bufsize=0,
            umask=0o022,
            **self._as(who),
        ) as process:
            try:
                _say(process, json.dumps(orders))
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def _as(self, who: Any) -> dict[str, Any]:
        return {"user": who.uid, "group": who.gid, "extra_groups": list(who.groups)}

    def _end(self, adversary: subprocess.Popen[bytes]) -> dict[str, Any]:
        adversary.terminate()
        assert adversary.stdout is not None
        try:
            return dict(json.loads(adversary.stdout.readline()))
        except ValueError:
            self._problems["the adversary came to an end of its own"] = None
            return {}


def _say(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(line.encode("utf-8") + b"\n")
