"""Everything the doctor tells a person to type, at folders, keys and servers that are called as badly as can be: none of it
harms. Each cause that comes with a command is reached; a new one must be added here."""

from __future__ import annotations

import ast
import asyncio
import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import pysubtask.control.doctor
from pysubtask.common import account, limits
from pysubtask.common.entries import Entry, read_entries
from pysubtask.common.errors import ConfigError, FileRefused, LoginRefused, TransportLost
from pysubtask.control.doctor import (
    bbr,
    causes,
    certificate,
    endpoint_checks,
    examine,
    file_causes,
    local,
    login_files,
    network,
    prepare,
    rounds,
    server_checks,
    state_folder,
    watch_paths,
)
from pysubtask.control.doctor.finding import Finding, remedy_lines
from pysubtask.control.doctor.prepare import Endpoint
from pysubtask.control.doctor.source import load_python, of_config, of_plan
from pysubtask.master.child_config import plan
from pysubtask.testing.servers.sshd import make_key
from pysubtask.transports.shared import key_file
from pysubtask.transports.shared.ssh_login import AnotherKey
from pysubtask.transports.shared.standstill import MTU
from pysubtask.transports.ssh.errors import BETWEEN
from tests.support import alterations, harm

DOCTOR = Path(pysubtask.control.doctor.__file__).parent
BAD = "it's $(touch hit) -rf"
KEY = "SHA256:" + "b" * 43


def target(folder, watch=None, section="ftp", **settings):
    given = (
        {"ftp": {"Host": "h", "User": "pi", **settings}}
        if section == "ftp"
        else {"dropbox": {"AppKey": "k", "RefreshToken": "r", **settings}}
    )
    entries = read_entries(watch, cwd=str(folder)) if watch else None
    return of_plan(plan(section, f"pysubtask.{section}", given, entries[0].path if entries else str(folder)), entries, "toml")


def causes_with_commands() -> set[str]:
    """Of the source: the second word of each fail(...) or warn(...) that has commands."""
    found = set()
    for path in sorted(DOCTOR.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            at = {"fail": 1, "warn": 1, "Finding": 3}.get(name)
            has = any(word.arg == "commands" for word in node.keywords) or (name == "Finding" and "commands=" in ast.unparse(node))
            if at is None or not has or len(node.args) <= at:
                continue
            cause = node.args[at]
            if isinstance(cause, ast.Constant):
                found.add(cause.value)
            else:
                assert ast.unparse(cause) in ("cause", "exc.cause", "found.cause", "seen.cause"), ast.unparse(cause)
                found |= _of_key_files() if ast.unparse(cause) in ("found.cause", "seen.cause") else set()
                found |= {"port-closed", "port-filtered", "no-route"} if ast.unparse(cause) == "exc.cause" else set()
    return found


def _of_key_files() -> set[str]:
    """The same of the faults of a key file: KeyFault(cause, text, words, commands)."""
    found = set()
    for node in ast.walk(ast.parse(Path(key_file.__file__).read_text())):
        is_fault = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "KeyFault" and len(node.args) > 3
        if is_fault and ast.unparse(node.args[3]) != "()":
            cause = node.args[0]
            found.add(cause.value if isinstance(cause, ast.Constant) else getattr(key_file, ast.unparse(cause)))
    assert len(found) > 8
    return found


def findings_here(tmp_path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """By the checks of this machine."""
    none = {}.get
    (tmp_path / BAD).mkdir()
    (tmp_path / "file").touch()
    few = {"/proc/sys/fs/inotify/max_user_watches": "8", "/proc/sys/fs/inotify/max_user_instances": "1"}
    good = target(tmp_path, [{"dir": BAD}])
    disk = lambda free: lambda path: SimpleNamespace(free=free)  # noqa: E731
    found = local.check([good], read=few.get, disk=disk(1000), wall=lambda: 0.0)
    found += local.check([good], read=none, disk=disk(2 * good.settings["MinFreeBytes"]))
    found.append(watch_paths.check(Entry("dir", str(tmp_path / "file"))))
    for watch in ("/kamera/pics", "/media/usb/camera", "/mnt", str(tmp_path / "new" / "deep"), str(tmp_path / "-rf")):
        found += local.check([target(tmp_path, [{"dir": watch}])], read=none, disk=disk(10**12))
    # The state folder's nearest is any folder above, down to the root; and each way in which it cannot be written.
    for number in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EIO):
        patch.setattr(state_folder, "_cannot_write", lambda folder, number=number: OSError(number, os.strerror(number)))
        for state in (
            "/kamera/.pysubtask/main/ftp",
            "/media/usb/camera/.pysubtask/main/ftp",
            "/.pysubtask/main/ftp",
            str(tmp_path / BAD / ".pysubtask/main/ftp"),
            str(tmp_path / "file" / ".pysubtask/main/ftp"),
        ):
            found.append(state_folder.check(good._replace(state_dir=state, entries=None)))
    state_dir = tmp_path / BAD / ".pysubtask" / "main" / "ftp"
    state_dir.mkdir(parents=True)
    (state_dir / "spool.db").touch()
    patch.setattr(state_folder, "_cannot_write", lambda folder: PermissionError(errno.EACCES, "Permission denied"))
    ours = state_folder.check(good)
    assert ours.remedy.commands == () or "chmod u+rwx" in ours.remedy.commands[0]
    for user in (os.getuid(), os.getuid() + 1):
        patch.setattr(os, "getuid", lambda user=user: user)
        found.append(state_folder.check(good))
        assert found[-1].remedy.commands
    patch.undo()
    patch.setattr(watch_paths.os, "access", lambda path, mode: mode != os.R_OK | os.X_OK)
    found.append(watch_paths.check(good.entries[0]))
    patch.setattr(watch_paths.os, "access", lambda path, mode: mode != os.W_OK)
    found.append(watch_paths.check(good.entries[0]))
    patch.undo()
    config = tmp_path / "my config.py"
    config.write_text("class ftp:\n    Host = 'h'\n    UseSFTP = False\n    Password = 'hunter2'\n")
    config.chmod(0o644)
    found += local.config_file(of_config(load_python(str(config)))[0])
    found.append(bbr.advice({bbr._IN_USE: "cubic", bbr._AVAILABLE: "cubic"}.get, lambda: True))
    found += asyncio.run(_disk_that_hangs(patch))
    return found


async def _disk_that_hangs(patch):
    async def late(work, secs):
        raise TimeoutError

    patch.setattr(rounds.network, "in_thread", late)
    found = await rounds._here([])
    patch.undo()
    return found


def findings_of_files(tmp_path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """By the checks of the files of a login, and of the programs."""
    keys = tmp_path / "my keys"
    keys.mkdir()
    found = login_files.key_file(keys / "new key") + login_files.key_file("/kamera/keys/id") + login_files.key_file(keys)
    make_key(keys / BAD)
    make_key(keys / "shut", passphrase="secret")
    private = (keys / BAD).read_text()
    for name, text, mode in (
        ("open", private, 0o644),
        ("x.pub", "ssh-ed25519 AAAA", 0o644),
        ("cut", private[:200], 0o600),
        ("putty", "PuTTY-User-Key-File-3: ssh-ed25519", 0o600),
        ("wrong", "hello", 0o600),
    ):
        (keys / name).write_text(text)
        (keys / name).chmod(mode)
    for number, (name, text) in enumerate(alterations.cases(private)):
        (keys / f"{number} {name} {BAD}").write_bytes(text)
        (keys / f"{number} {name} {BAD}").chmod(0o600)
    patch.delenv("SSH_AUTH_SOCK", raising=False)
    for name in [BAD, *(path.name for path in sorted(keys.iterdir())), "opne"]:
        found += login_files.key_file(keys / name)
    patch.setattr(key_file, "why_mode_is_fixed", lambda path: "it is mounted read-only")
    for home in (tmp_path, keys):
        (keys / ".ssh").mkdir(exist_ok=True)
        patch.setenv("HOME", str(home))
        found += login_files.key_file(keys / "open")
    for kind in ("-20d:-10d", "+10d:+20d", "-1d:+20d"):
        certified = keys / f"{kind[0]}{kind[2]} {BAD}"
        alterations.certified(keys / BAD, certified, kind, "somebody")
        fault = key_file.explained(LoginRefused("the login was refused"), str(certified), "pi")
        found += [causes.login_finding(fault, {"Host": "h"})]
    patch.setattr("builtins.open", _denied)
    found += login_files.key_file(keys / "shut")
    patch.undo()
    found += login_files._authority(tmp_path / "no ca") + login_files._authority(keys / "wrong") + login_files._authority(keys)
    patch.setattr(account, "has_entry", lambda: False)
    patch.setattr(prepare.importlib.util, "find_spec", lambda name: None)
    found += prepare._program({}) + prepare._program({"SFTPLibrary": "pysftp"}) + prepare._program({"SSHProgram": "nosuch"})
    patch.undo()
    return found


def _denied(path, *more, **others):
    raise PermissionError(errno.EACCES, "Permission denied", path)


def findings_of_servers(tmp_path: Path, patch: pytest.MonkeyPatch) -> list[Finding]:
    """By what transports and servers say."""
    one = {"Host": "h.example", "User": "pi", "HostPort": 2222, "HostPath": BAD}
    denied = "the login was refused. ssh said: 'pi@h: Permission denied (publickey).'"
    words = "the login was refused. ssh said: 'pi@h: Permission denied (publickey,password).'"
    found = [
        causes.login_finding(exc, {**one, **more})
        for exc, more in (
            (LoginRefused(denied), {"Password": "x"}),
            (LoginRefused(denied), {"KeyFile": f"/{BAD}/id"}),
            (LoginRefused(denied), {}),
            (LoginRefused(words), {"Password": "x"}),
            (LoginRefused("they share no algorithm"), {}),
            (LoginRefused("the login works, but the server offers no SFTP to it"), {}),
            (TransportLost("it ended"), {}),
            (TransportLost(f"{BETWEEN} came to its end"), {"Host": BAD}),
            (ConfigError("ftp.Host", "wrong", "Mend it."), {}),
            (TransportLost(f"no answer: {MTU}"), {"Host": BAD}),
        )
    ]
    found += [causes.login_finding(LoginRefused(message), one, missing_key=f"/{BAD}/id_ed25519") for message in (denied, words)]
    found.append(causes.login_finding(LoginRefused(denied), {**one, "KeyFile": f"/{BAD}/id"}, public=False))
    for message in ("the token has expired", "the app may not do this", "no"):
        found.append(causes.dropbox_finding(LoginRefused(message)))
    for message in ("server said: Permission denied", "server said: '553 Could not create file.'", "read-only"):
        for folder in ("/", "", "/sys/kernel", BAD):
            found.append(file_causes.file_finding("write", FileRefused(message), one, folder))
    where = target(tmp_path, Host="h.example", KnownHostsFile=f"/{BAD}/known")
    examination = examine._Examination(where, examine.Times(), 0.0, None, {}.get, False)
    examination._place = Endpoint("h.example", 2222, "pi", True, (f"/{BAD}/known",))
    checks = examination._endpoint = examination._checks_of(examination._place)
    for online in ("head\nroute\n", "head\n"):
        checks._read = {"/proc/net/route": online}.get
        found += [checks._no_address(network.NoAddress(cause, "?"), "h.example") for cause in ("name-unknown", "no-name-service")]
    elsewhere = examine._Examination(target(tmp_path, section="dropbox"), examine.Times(), 0.0, None, {}.get, False)
    elsewhere._place = examination._place
    checks.addresses = [(2, ("127.0.0.1", 1)), (2, ("127.0.0.2", 1))]
    found.append(asyncio.run(_of_a_dead_address(checks, patch)))
    for cause in ("port-closed", "port-filtered", "no-route"):
        found.append(asyncio.run(elsewhere._checks_of(elsewhere._place)._no_answer(network.NoAnswer(cause, "?"))))
    found += [elsewhere._refused(ImportError(name="dropbox")), examination._refused(ImportError(name="pysftp"))]
    for message in ("another host key", "revoked", "not known"):
        found.append(asyncio.run(examination._host_key(LoginRefused(f"{message}: ssh-ed25519 {KEY}"))))
    found.append(asyncio.run(examination._host_key(AnotherKey(f"ssh-ed25519 {KEY}"))))
    checks.addresses = [(2, ("127.0.0.1", 1))]
    for problem in ("expired", "early", "name", "untrusted"):
        patch.setattr(certificate, "inspect", lambda *_, problem=problem: certificate.Certificate("AA", ("a",), "", problem, "?"))
        found.append(asyncio.run(examination._certificate(LoginRefused("certificate"))))
    patch.undo()
    secret = target(tmp_path)._replace(hidden=("Password",), task_config=str(tmp_path / "st.toml"))
    hidden = examine._Examination(secret, examine.Times(), 0.0, None, {}.get, False)
    found += asyncio.run(_of_hidden(hidden, patch))
    found += asyncio.run(_of_a_clock())
    return found


async def _of_a_dead_address(checks, patch):
    async def dead(addresses, secs):
        return [network.NoAnswer("port-filtered", "127.0.0.2: no answer")]

    patch.setattr(network, "dead_among", dead)
    finding = await checks.dead()
    patch.undo()
    return finding


async def _of_hidden(examination, patch):
    async def good():
        return Finding("x", "ok", "x")

    patch.setattr(prepare, "check", lambda settings: [])
    patch.setattr(prepare, "endpoint", lambda settings: Endpoint("h", 22))
    for step in ("name", "port", "protocol"):
        patch.setattr(endpoint_checks.EndpointChecks, step, lambda self: good())
    found = [finding async for finding in examination.findings()]
    patch.undo()
    return found


async def _of_a_clock():
    visit = server_checks.ServerChecks(SimpleNamespace(folder=""), {}, 0.0, wall=lambda: 10.0**6)

    async def upload(*_):
        return SimpleNamespace(remote=SimpleNamespace(mtime=5.0))

    visit._probe.upload = upload
    return [finding async for finding in visit._clock()]


@pytest.mark.slow
def test_nothing_that_the_doctor_tells_to_type_harms(tmp_path, monkeypatch):
    found = [
        *findings_here(tmp_path, monkeypatch),
        *findings_of_files(tmp_path, monkeypatch),
        *findings_of_servers(tmp_path, monkeypatch),
    ]
    with_commands = {finding.cause for finding in found if finding.remedy.commands}
    assert causes_with_commands() - with_commands == set(), "causes that nobody tried"
    assert len(with_commands) > 25
    for finding in found:
        own_folder = str(tmp_path / BAD / ".pysubtask")
        assert [why for line in finding.remedy.commands if (why := harm.in_line(line, own_folder))] == [], finding
        for line in remedy_lines(finding, "ftp", "toml"):
            assert "True" not in line and "False" not in line, line


def test_a_missing_thing_is_reported_once_and_dependents_skipped(tmp_path):
    """The case that ruined machines: 'sudo chown -R $(id -un) /' for a watched folder that is not there."""
    for watch in ("/kamera/pics", "/media/usb/camera", str(tmp_path / "cam")):
        found = local.check([target(tmp_path, [{"dir": watch}])], read={}.get)
        states = {finding.check: finding.state for finding in found}
        assert (states["watch path"], states["state folder"], states["free disk"]) == ("fail", "skip", "skip")
        assert "chown" not in repr(found) and "chmod" not in repr(found)


def test_a_folder_that_is_mistyped_is_named_and_not_created(tmp_path):
    (tmp_path / "camera").mkdir()
    [found] = [one for one in local.check([target(tmp_path, [{"dir": "cam"}])]) if one.cause]
    assert "did you mean" in found.text and str(tmp_path / "camera") in found.text and found.remedy.commands == ()


@pytest.mark.parametrize("near", ["none", "used"])
def test_the_limit_of_processes_is_named(near, monkeypatch):
    group = "/sys/fs/cgroup/a"
    files = {
        "/proc/self/limits": "Max processes  20  30  processes\n",
        "/proc/self/cgroup": "0::/a/b\n",
        f"{group}/pids.max": "12\n",
        f"{group}/pids.current": "12\n",
        f"{group}/b/pids.max": "max\n",
    }
    if near == "none":
        monkeypatch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
    monkeypatch.setattr(os, "getuid", lambda: 0)  # RLIMIT_NPROC does not bind root
    [found] = local.processes(files.get)
    assert found.state == ("fail" if near == "none" else "warn")
    assert "pids.max is 12, 12 in use (/sys/fs/cgroup/a)" in found.text
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert "RLIMIT_NPROC is 20" in limits.reached(files.get)
    assert "TasksMax" in limits.words(files.get)
