"""Another user can neither read, nor call, nor forge; nothing but what was declared has a name; paths of others are not trusted."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

import pysubtask
from pysubtask import NoSuchDaemon, Refused
from pysubtask.common import own_folders, requests
from pysubtask.daemon import folders, records
from pysubtask.daemon.connection import Connection
from pysubtask.daemon.peer import is_trusted, peer_of
from tests.support.daemons import SECS, Program, get
from tests.support.helpers import wait_until
from tests.support.other_user import HIM, as_him, needs_root

DOME = """
from pysubtask import Daemon, item, method

class Dome(Daemon):
    azimuth = item(0.0, keep=True)
    secret = "canary-42"
    @method
    def park(self) -> str:
        return "parked"
    def undeclared(self):
        return self.secret

if __name__ == "__main__":
    raise SystemExit(Dome().run())
"""


def ours(*roots: str) -> list[Path]:
    return [path for root in roots for path in [Path(root), *Path(root).rglob("*")]]


def test_every_file_and_folder_is_this_users_alone(place):
    with Program(place, DOME, module="dome"):
        dome = get("Dome")
        dome.azimuth = 10
        assert dome.park() == "parked"
        found = ours(str(place / "pysubtask"), os.environ["PYSUBTASK_REGISTRY"])
        assert {"socket", "events.jsonl", "status.json", "calls.jsonl", "Dome.json", "Dome.lock"} <= {path.name for path in found}
        for path in found:
            about = path.lstat()
            assert (about.st_uid == os.geteuid() and not about.st_mode & 0o077) or stat.S_ISSOCK(about.st_mode), path


@pytest.mark.slow
@needs_root
def test_another_user_cannot_read_call_or_forge(place):
    os.chmod(place, 0o755)
    with Program(place, DOME, module="dome"):
        dome = get("Dome")
        dome.azimuth = 10
        folder = Path(records.read("Dome").folder)
        # Even where the folders are thrown open the socket asks the system who is there. The daemon closes them again.
        over = threading.Event()

        def throw_open() -> None:
            while not over.wait(0.001):
                for path in (folder.parent, folder, folder / "socket"):
                    os.chmod(path, 0o777)

        def connected(client: socket.socket) -> bool:
            with contextlib.suppress(PermissionError):
                client.connect(str(folder / "socket"))
                return True
            return False

        def attack() -> None:
            for name in ("events.jsonl", "status.json", "calls.jsonl", "describe.json"):
                with pytest.raises(PermissionError):
                    wait_until(lambda name=name: (folder / name).exists() and (folder / name).read_text(), SECS)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                wait_until(lambda: connected(client), SECS)
                with contextlib.suppress(OSError):
                    client.sendall(b'{"op": "call", "args": {"name": "park"}, "who": {}}\n')
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(10) == b""
            # A request by file: he puts one there as if he were somebody.
            order = {
                "format": 1,
                "op": "set",
                "args": {"values": {"azimuth": 99}},
                "at": "",
                "who": {"user": "x", "pid": 1, "command": "x", "host": "x"},
            }
            wait_until(lambda: put(json.dumps(order)), SECS)

        def put(text: str) -> bool:
            with contextlib.suppress(PermissionError):
                (folder / "requests").mkdir(exist_ok=True)
                (folder / "requests" / "0-1-a.json").write_text(text)
                return True
            return False

        thread = threading.Thread(target=throw_open)
        thread.start()
        try:
            as_him(attack)
            assert (folder / "requests" / "0-1-a.json").exists()
            time.sleep(0.6)  # twice the daemon has looked for request files
        finally:
            over.set()
            thread.join()
        assert dome.requested == 1 and dome.azimuth == 10.0


@needs_root
def test_a_runtime_folder_of_another_user_is_refused(place):
    os.chmod(place, 0o777)
    as_him(lambda: os.mkdir(place / "pysubtask", 0o777))
    with Program(place, DOME, module="dome") as program:
        assert program.wait() == 1
        assert "belongs to another user" in program.text()
    assert os.listdir(place / "pysubtask") == []


@pytest.mark.slow
@needs_root
def test_a_client_talks_to_no_socket_of_another_user(place):
    """He has taken the place of a daemon that is dead."""
    with Program(place, DOME, module="dome") as program:
        get("Dome")
        folder = Path(records.read("Dome").folder)
        program.kill()
    record = records.read("Dome")
    lock = records.take("Dome")  # as if it lived
    os.chmod(place, 0o755)
    (folder / "socket").unlink(missing_ok=True)
    for path in (folder.parent, folder):
        os.chmod(path, 0o777)
    pid = os.fork()
    if pid == 0:
        os.setgid(HIM)
        os.setuid(HIM)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "socket"))
            os.chmod(folder / "socket", 0o777)
            server.listen()
            while True:
                server.accept()[0].sendall(b'{"ok": true, "result": {}}\n')
    try:
        wait_until(lambda: (folder / "socket").exists(), SECS)
        with pytest.raises((own_folders.NotOurs, NoSuchDaemon)):
            Connection("Dome").ask("describe", {}, timeout=5)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        lock.release()
    assert record is not None


def test_the_system_says_who_asks(place):
    with Program(place, DOME, module="dome"):
        dome = get("Dome")
        with dome.follow() as follower:
            follower.next(SECS)
            wire = dome._connection.open()
            forged = {"user": "somebody", "uid": 4711, "pid": 1, "command": "x" * 1000, "host": "elsewhere"}
            wire.send({"op": "set", "id": "", "args": {"values": {"azimuth": 5}}, "who": forged})
            while (change := follower.next(SECS)).key != "azimuth":
                assert change is not None
            by = change.fields["by"]
            assert (by["pid"], by["uid"]) == (os.getpid(), os.geteuid()) and by["user"] != "somebody"
            assert len(by["command"]) == 200
            assert (change.fields["old"], change.value) == (0.0, 5.0)
            wire.close()


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"nothing\n",
        b'{"op": 3, "args": {}, "who": {}}\n',
        b'{"op": "get", "args": [], "who": {}}\n',
        b'{"op": "get", "args": {}}\n',
        b"[" * 100000 + b"\n",
        b'{"op": "__class__", "args": {}, "who": {}}\n',
        b'{"op": "call", "args": {"name": "undeclared"}, "who": {}}\n',
        b'{"op": "call", "args": {"name": ["park"]}, "who": {}}\n',
        b'{"op": "get", "args": {"name": "secret"}, "who": {}}\n',
        b'{"op": "set", "args": {"values": {"secret": 1}}, "who": {}}\n',
        b'{"op": "set", "args": {"values": {"azimuth": 1e999}}, "who": {}}\n',
    ],
)
def test_a_line_that_is_no_request_is_refused_and_no_more(place, line):
    with Program(place, DOME, module="dome") as program:
        dome = get("Dome")
        wire = dome._connection.open()
        wire.client.settimeout(SECS)
        wire.client.sendall(line)
        reply = json.loads(wire.line(None))
        assert reply["ok"] is False and "canary" not in str(reply)
        wire.close()
        assert dome.park() == "parked" and dome.azimuth == 0.0
        assert "Traceback" not in program.text()


def test_a_request_without_an_end_is_not_kept(place):
    with Program(place, DOME, module="dome"):
        dome = get("Dome")
        wire = dome._connection.open()
        wire.client.settimeout(SECS)
        with contextlib.suppress(OSError):
            for _ in range(8):
                wire.client.sendall(b"x" * 1024 * 1024)
        with pytest.raises((EOFError, OSError)):
            wire.line(None)
        assert dome.park() == "parked"


def test_a_name_is_no_path():
    for name in ("../x", "a/b", "", ".hidden", "x" * 64, "a\0b"):
        assert records.read(name) is None
        with pytest.raises(pysubtask.ConfigError):
            folders.check_name(name)
        with pytest.raises(NoSuchDaemon):
            pysubtask.get(name)


def test_a_link_in_the_place_of_a_record_is_not_followed(place):
    folder = Path(os.environ["PYSUBTASK_REGISTRY"]) / "daemons"
    folder.mkdir(parents=True, mode=0o700)
    (place / "forged.json").write_text(json.dumps(records.DaemonRecord("Dome", "Dome", 1, "", "", str(place), "")._asdict()))
    os.symlink(place / "forged.json", folder / "Dome.json")
    assert records.read("Dome") is None


def test_peers_are_known():
    a, b = socket.socketpair()
    with a, b:
        assert peer_of(a) == (os.getpid(), os.geteuid())
        assert is_trusted(a)


def test_files_carry_requests_where_there_is_no_socket(place):
    """The same answers, by another way: a path that is too long for a socket."""
    deep = place / ("d" * 90)
    deep.mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(deep)
    with Program(place, DOME, module="dome") as program:
        dome = get("Dome")
        assert "requests come by files alone" in program.text()
        dome.azimuth = 12
        assert dome.azimuth == 12.0 and dome.park() == "parked"
        with dome.follow() as follower:
            assert follower.next(SECS).kind == "page"
            dome.azimuth = 13
            changes = iter(lambda: follower.next(SECS), None)
            assert next(change.value for change in changes if change.key == "azimuth") == 13.0
        with pytest.raises(Refused, match=r"^Dome.azimuth: 'x' is a str, and no float"):
            dome._connection.ask("set", {"values": {"azimuth": "x"}}, part="azimuth")
        folder = records.read("Dome").folder
        id = requests.send(folder, "call", {"name": "park", "args": {}}, requests.myself("test"))
        wait_until(lambda: requests.reply_to(folder, id), SECS)
        assert requests.reply_to(folder, id).result == "parked"


@pytest.mark.slow
def test_a_request_file_from_long_ago_is_refused(place):
    with Program(place, DOME, module="dome") as program:
        get("Dome")
        folder = records.read("Dome").folder
        program.kill()
    late = requests.send(folder, "set", {"values": {"azimuth": 7}}, requests.myself("test"))
    os.utime(Path(folder) / "requests" / f"{late}.json", (1, 1))
    fresh = requests.send(folder, "call", {"name": "park", "args": {}}, requests.myself("test"))
    with Program(place, DOME, module="dome"):
        wait_until(lambda: requests.reply_to(folder, late) and requests.reply_to(folder, fresh), SECS)
        assert "too long ago" in requests.reply_to(folder, late).error
        assert requests.reply_to(folder, fresh).result == "parked"
        assert get("Dome").azimuth == 0.0


def test_threads_may_share_a_proxy(place):
    with Program(place, DOME, module="dome"):
        dome, found = get("Dome"), []
        threads = [threading.Thread(target=lambda: found.extend(dome.park() for _ in range(20))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECS)
        assert found == ["parked"] * 120
