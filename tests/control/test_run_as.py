"""Root does not work over a folder of somebody else; a run becomes that user instead (``RunAs``, ``--run-as``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pysubtask import ConfigError, TaskMaster
from pysubtask.common.entries import read_entries
from pysubtask.common.run_as import identity, stranger
from pysubtask.control.config.toml_words import in_toml
from pysubtask.master.child_config import plan
from pysubtask.master.places import Places
from pysubtask.testing import ftp_server
from pysubtask.testing.servers.ftp import FTPServer
from tests.support import harm
from tests.support.helpers import wait_until
from tests.support.other_user import HIM, as_him, give_him, his_python, needs_root, open_folder
from tests.support.run_station import Run, command, environment, state_dir

HE = f"{HIM}:{HIM}"
SECRET = "root-only-canary-42"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of root's that others can come to: ``data`` in it is his."""
    with open_folder() as folder:
        (folder / "data").mkdir()
        (folder / "secret.txt").write_text(SECRET)
        (folder / "secret.txt").chmod(0o600)
        yield folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FTPServer]:
    with ftp_server(tmp_path_factory.mktemp("ftp")) as ftpd:
        yield ftpd


def config(place: Path, server: FTPServer, base: str = "", watch: str = 'dir = "data"\nsettle_secs = 0.1') -> Path:
    login = server.settings(HostPath=place.name)
    login = {key: login[key] for key in ("UseSFTP", "Host", "HostPort", "User", "Password", "HostPath")}
    path = place / "station.toml"
    path.write_text(
        f"[base]\nRetryWaitSecs = 0.2\n{base}\n[ftp]\nTimerIntervalSecs = 0.3\n"
        + "".join(f"{key} = {in_toml(value)}\n" for key, value in login.items())
        + f"\n[[watch]]\n{watch}\n"
    )
    path.chmod(0o600)
    return path


def give_config(path: Path) -> None:
    """He reads it; root has made it."""
    os.chown(path, HIM, HIM)


class HisRun(Run):
    """``pysubtask run`` started by root with an interpreter that he may run too."""

    def __init__(self, folder: Path, path: Path, *words: str, cwd: Path | None = None) -> None:
        program, environ = his_python()
        self.folder = folder
        self.environ = {**environment(folder), **environ, "PYSUBTASK_REGISTRY": str(folder / "registry")}
        self.output = folder / "output.txt"
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [program, "-P", "-m", "pysubtask", "run", str(path), *words],
                cwd=cwd or folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


def his_command(place: Path, name: str, path: Path) -> subprocess.CompletedProcess[str]:
    """A command that root types, with an interpreter that he may run too, and a config that he may read."""
    program, environ = his_python()
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("Password")))
    path.chmod(0o644)
    return subprocess.run(
        [program, "-P", "-m", "pysubtask", name, str(path)],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(place), **environ, "PYSUBTASK_REGISTRY": str(place / "registry")},
    )


def rights(pid: int) -> dict[str, list[str]]:
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {key: value.split() for key, _, value in lines if key in ("Uid", "Gid", "Groups")}


# ---- what a user names


def test_who_is_meant():
    one = identity("12345:23456")
    assert (one.uid, one.gid, one.groups, str(one)) == (12345, 23456, (23456,), "12345:23456")
    root = identity("root")
    assert (root.uid, root.gid, root.name, root.home) == (0, 0, "root", root.home) and 0 in root.groups
    assert identity("0:0").uid == 0 and identity("0").name == "root"


@pytest.mark.parametrize("text", ["", "nobody-of-this-name", "pi:", ":1", "1:x", "-1:5", "1:2:3", "4294967295:1", "ro ot", "12345"])
def test_who_is_not(text: str):
    with pytest.raises(ConfigError, match="RunAs") as caught:
        identity(text)
    assert caught.value.remedy


def test_it_is_checked_with_the_settings(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"base\.RunAs: there is no user 'nobody-of-this-name'"):
        plan("ftp", "pysubtask.ftp", {"base": {"RunAs": "nobody-of-this-name"}, "ftp": {"Host": "h"}}, str(tmp_path))


# ---- refused


@needs_root
@pytest.mark.parametrize(
    "watch",
    ['dir = "data"', 'file = "data/today.csv"', 'dir = "own"\n[[watch]]\nfile = "data/today.csv"', 'dir = "link"'],
    ids=["a folder", "a file's folder", "the second entry", "behind a link"],
)
def test_a_run_of_roots_is_refused_and_nothing_is_touched(place: Path, server: FTPServer, watch: str):
    (place / "own").mkdir()
    (place / "link").symlink_to("data")
    (place / "data" / "today.csv").write_text("1\n")
    (place / "data" / "today.csv.notify").write_text("")
    planted = place / "data" / ".pysubtask" / "main" / "ftp"
    planted.mkdir(parents=True)
    (planted / "residual.json").write_text(json.dumps([str(place / "secret.txt")]))
    give_him(place / "data")
    before = sorted((path, path.lstat().st_mtime_ns) for path in (place / "data").rglob("*"))
    path = config(place, server, watch=watch)
    done = command(place, "run", str(path))
    folder = place / ("link" if "link" in watch else "data")
    assert done.returncode == 2 and f"{folder} belongs to another user ({HE})" in done.stderr, done.stderr
    assert f"RunAs = '{HE}'" in done.stderr and f"pysubtask run --run-as {HE}" in done.stderr
    assert "belongs to root" in done.stderr and "chown" not in done.stderr
    assert sorted((path, path.lstat().st_mtime_ns) for path in (place / "data").rglob("*")) == before
    assert not (place / "registry").exists() and not (place / "logs").exists() and not (place / "own" / ".pysubtask").exists()
    assert not [name for name in server.names() if name.startswith(place.name)]


@needs_root
def test_so_is_a_master_of_an_app_of_roots(place: Path, server: FTPServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    give_him(place / "data")
    with pytest.raises(ConfigError, match=r"base\.RunAs") as caught:
        TaskMaster([{"dir": "data"}], {"ftp": {"Host": "h"}}, None, False)
    assert f"Start the app as {HE}" in str(caught.value) and f"--run-as {HE}" in str(caught.value)
    assert list((place / "data").iterdir()) == [] and not (place / "logs").exists()
    with pytest.raises(ConfigError, match="all of the app would") as caught:
        TaskMaster([{"dir": "data"}], {"base": {"RunAs": HE}, "ftp": {"Host": "h"}}, None, False)
    assert f"Start the app as {HE}" in str(caught.value)


@needs_root
def test_so_is_a_child_that_root_starts_by_hand(place: Path):
    give_him(place / "data")
    done = subprocess.run(
        [sys.executable, "-m", "pysubtask.base", "-wd", str(place / "data")],
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and f"Start it as {HE}." in done.stderr, done.stderr
    assert list((place / "data").iterdir()) == []


@needs_root
@pytest.mark.slow
def test_check_tells_of_it(place: Path, server: FTPServer):
    give_him(place / "data")
    done = command(place, "check", str(config(place, server)))
    assert done.returncode == 0 and f"note: started by root it is refused: {place}/data belongs to another user" in done.stdout
    checked = his_command(place, "check", config(place, server, f'RunAs = "{HE}"'))
    assert checked.returncode == 0 and "refused" not in checked.stdout, checked.stderr


@pytest.mark.slow
@needs_root
def test_so_does_the_doctor(place: Path, server: FTPServer):
    """It is why nothing is uploaded."""
    give_him(place / "data")
    output = command(place, "doctor", str(config(place, server))).stdout
    assert "rights" in output and f"started by root it is refused: {place}/data belongs to another user" in output
    assert f"--run-as {HE}" in output
    output = his_command(place, "doctor", config(place, server, f'RunAs = "{HE}"')).stdout
    assert "by root it is refused" not in output and f"state folder   {place}/data/.pysubtask/main/ftp" in output, "it looks as he"


@pytest.mark.slow
@needs_root
def test_what_root_created_once_is_given_back_line_by_line(place: Path, server: FTPServer):
    """A station that root ran over his folder: its state is root's, and the doctor says what to type until the queue goes on."""
    state = state_dir(place / "data")
    for folder in (state.parent.parent, state.parent, state):
        folder.mkdir(mode=0o700)
    for name in ("lock", "settings.json"):
        (state / name).touch(0o600)
    os.chown(place / "data", HIM, HIM)
    path = config(place, server, f'RunAs = "{HE}"')
    for _ in range(6):
        output = his_command(place, "doctor", path).stdout
        lines = [line.partition("run:  ")[2] for line in output.splitlines() if "run:  sudo chown" in line]
        if not lines:
            break
        for line in lines:
            assert f"chown -h {HIM} " in line and harm.in_line(line, str(place / "data" / ".pysubtask")) == "", line
            subprocess.run(["sh", "-c", line.replace("sudo ", "")], check=True, timeout=30)
    assert "ok    state folder" in output, output
    assert "sudo chown" not in command(place, "doctor", str(config(place, server))).stdout, "root only looks at his task"
    assert {item.stat().st_uid for item in (place / "data").rglob("*")} == {HIM}


@needs_root
def test_folders_of_roots_go_on_as_they_did(place: Path):
    entries = read_entries([{"dir": str(place / "data")}, {"file": str(place / "x.csv")}, {"dir": str(place / "missing")}])
    assert stranger(entries) is None
    (place / "data").chmod(0o1777)
    assert stranger(entries) is None, "where others may write, its state is kept elsewhere and its sources are looked at by owner"


@needs_root
def test_one_that_becomes_his_meanwhile_is_waited_for(place: Path):
    import logging

    entries = read_entries([{"dir": str(place / "data")}])
    places = Places(entries, [plan("ftp", "pysubtask.ftp", {"ftp": {"Host": "h"}}, str(place / "data"))])
    assert places.check(logging.getLogger("test"))
    give_him(place / "data")
    assert not places.check(logging.getLogger("test")) and "belongs to another user" in places.why
    assert places.closed == str(place / "data"), "no stamp of root's is written there"
    os.chown(place / "data", 0, 0)
    assert places.check(logging.getLogger("test"))


@needs_root
def test_none_is_created_where_he_may_say_where_it_is(place: Path, caplog: pytest.LogCaptureFixture):
    """MakeFolders: his link would say where root's folder comes to lie."""
    import logging

    (place / "roots").mkdir(mode=0o755)
    give_him(place / "data")
    as_him(lambda: (place / "data" / "sub").symlink_to(place / "roots"))
    folder = place / "data" / "sub" / "new"
    settings = {"base": {"MakeFolders": True}, "ftp": {"Host": "h"}}
    entries = read_entries([{"dir": str(place / "data" / "new")}])
    places = Places(entries, [plan("ftp", "pysubtask.ftp", settings, str(place / "data" / "new"))])
    assert not places.check(logging.getLogger("test")) and "is not made" in places.why
    assert not (place / "data" / "new").exists() and not folder.exists()


# ---- run as he


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("by", ["the option", "the config"])
def test_a_run_becomes_the_user_before_it_opens_anything(place: Path, server: FTPServer, by: str):
    give_him(place / "data")
    (place / "registry").mkdir()
    give_him(place / "registry")
    planted = place / "data" / ".pysubtask" / "main" / "ftp"

    def plant() -> None:
        planted.mkdir(parents=True, mode=0o700)
        (planted / "residual.json").write_text(json.dumps([str(place / "secret.txt")]))
        (place / "data" / "linked.csv").symlink_to(place / "secret.txt")

    as_him(plant)
    path = config(place, server, f'RunAs = "{HE}"' if by == "the config" else "")
    if by == "the config":
        path.chmod(0o644)  # root's, and he may read it
        path.write_text(path.read_text().replace(f"Password = {in_toml(server.password)}\n", 'PasswordFile = "password"\n'))
        (place / "password").write_text(f"{server.password}\n")
        (place / "password").chmod(0o600)
        os.chown(place / "password", HIM, HIM)
    else:
        give_config(path)
    run = HisRun(place, path, *(["--run-as", HE] if by == "the option" else []))
    try:
        run.says("Running: main")
        as_him(lambda: (place / "data" / "new.csv").write_text("1\n") and None)
        wait_until(lambda: f"{place.name}/new.csv" in server.names(), 60, f"the file on the server: {run.text()}")
        page = json.loads((state_dir(place / "data") / "status.json").read_text())
        for pid in (run.process.pid, page["pid"]):
            assert rights(pid) == {"Uid": [str(HIM)] * 4, "Gid": [str(HIM)] * 4, "Groups": [str(HIM)]}
        items = [*(place / "data" / ".pysubtask").rglob("*"), *(place / "registry").rglob("*"), *place.glob("logs/*")]
        assert {item.lstat().st_uid for item in items} == {HIM} and len(items) > 5
        assert f"{place.name}/linked.csv" not in server.names() and f"{place.name}/secret.txt" not in server.names()
        run.signal(signal.SIGTERM)
        assert run.status() == 0, run.text()
    finally:
        run.end()
    assert not any(SECRET in (server.files / name).read_text() for name in server.names())


@pytest.mark.slow
@needs_root
def test_root_may_start_it_in_a_folder_closed_to_the_user(place: Path, server: FTPServer):
    """As /root is, where root's shell begins."""
    for folder in ("registry", "home"):
        (place / folder).mkdir()
    (place / "home").chmod(0o700)
    give_him(place / "data", place / "registry")
    path = config(place, server)
    give_config(path)
    run = HisRun(place, path, "--run-as", HE, cwd=place / "home")
    try:
        run.says("Running: main")
        as_him(lambda: (place / "data" / "new.csv").write_text("1\n") and None)
        wait_until(lambda: f"{place.name}/new.csv" in server.names(), 60, f"the file on the server: {run.text()}")
        run.signal(signal.SIGTERM)
        assert run.status() == 0, run.text()
    finally:
        run.end()
    assert "cannot be started" not in run.text()


@pytest.mark.slow
@needs_root
def test_a_reload_does_not_make_it_another_user(place: Path, server: FTPServer):
    give_him(place / "data")
    path = config(place, server, f'RunAs = "{HE}"')
    give_config(path)
    path.chmod(0o600)
    os.chown(path, 0, 0)
    path.chmod(0o644)
    path.write_text(path.read_text().replace(f"Password = {in_toml(server.password)}\n", ""))
    run = HisRun(place, path)
    try:
        run.says("Running: main")
        path.write_text(path.read_text().replace(HE, "0:0"))
        run.signal(signal.SIGHUP)
        run.says("RELOAD is refused")
        assert "it names root, and this process is of another user" in run.text()
        assert rights(run.process.pid)["Uid"] == [str(HIM)] * 4
    finally:
        run.end()


@needs_root
@pytest.mark.slow
def test_a_config_that_he_may_not_read_is_reported(place: Path, server: FTPServer):
    give_him(place / "data")
    run = HisRun(place, config(place, server, f'RunAs = "{HE}"'))
    try:
        assert run.status() == 2 and "Permission denied" in run.text(), run.text()
    finally:
        run.end()


@needs_root
def test_a_program_that_he_may_not_use_is_reported(place: Path, server: FTPServer, monkeypatch: pytest.MonkeyPatch):
    from pysubtask.control.exit_status import CommandError
    from pysubtask.control.run import run_as

    def refused() -> None:
        monkeypatch.setattr(run_as.sys, "executable", str(place / "secret.txt"))
        with pytest.raises(CommandError, match=r"may not use .*secret\.txt\. Install pysubtask where everybody"):
            run_as._check_program(identity(HE))

    as_him(refused)


@pytest.mark.slow
@needs_root
def test_tasks_of_one_run_agree(place: Path, server: FTPServer):
    (place / "cellar").mkdir()
    path = config(place, server)
    path.write_text(
        path.read_text().partition("[[watch]]")[0]
        + "\n".join(
            f'[tasks.{name}]\nwatch = [{{ dir = "{folder}" }}]\n{base}'
            for name, folder, base in (("roof", "data", f'[tasks.roof.base]\nRunAs = "{HE}"\n'), ("cellar", "cellar", ""))
        )
    )
    path.chmod(0o644)
    path.write_text(path.read_text().replace(f"Password = {in_toml(server.password)}\n", ""))
    run = HisRun(place, path)
    try:
        assert run.status() == 2 and f"roof/ftp: {HE}, cellar/ftp: nothing" in run.text(), run.text()
        assert "pysubtask run --task NAME" in run.text()
    finally:
        run.end()
    path.write_text(path.read_text() + '[tasks.cellar.base]\nRunAs = "1:1"\n')
    done = command(place, "run", str(path))
    assert done.returncode == 2 and f"several users ({HE}, 1:1)" in done.stderr, done.stderr
    done = command(place, "run", str(path), "--task", "roof", "--run-as", "1:1")
    assert done.returncode != 0 and not (place / "data" / ".pysubtask").exists()


@pytest.mark.slow
@needs_root
def test_only_root_chooses(place: Path, server: FTPServer):
    program, environ = his_python()
    path = config(place, server, 'RunAs = "0:0"')
    give_him(place / "data")
    give_config(path)
    for words in ([str(path)], [str(path), "--run-as", "1:1"]):
        done = subprocess.run(
            [program, "-P", "-m", "pysubtask", "run", *words],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=60,
            env={**environment(place), **environ},
            user=HIM,
            group=HIM,
            extra_groups=[],
        )
        assert done.returncode == 2, done.stderr
    assert "another user" in done.stderr or "not as" in done.stderr


def test_the_remedies_harm_nothing():
    from pysubtask.common import run_as

    for remedies in (run_as.BY_RUN, run_as.IN_APP, run_as.BY_HAND):
        text = run_as.Stranger("/srv/data", "pi").remedy(remedies)
        assert not any(word in text for word in ("chown", "chmod", "sudo", "rm ", "-R"))


@pytest.mark.slow
@needs_root
def test_a_program_of_ones_own_is_run_as_he(place: Path):
    program, environ = his_python()
    (place / "his").mkdir()
    (place / "his" / "station.py").write_text(
        "import os\nclass Station:\n    def start(self): open('ids', 'w').write(f'{os.getresuid()} {os.getgroups()}')\n"
        "    def loop(self): return False\n"
    )
    give_him(place / "his")
    done = subprocess.run(
        [program, "-P", "-m", "pysubtask", "run", "station:Station", "--run-as", HE],
        cwd=place / "his",
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(place), **environ, "PYSUBTASK_REGISTRY": str(place / "his" / "registry")},
    )
    assert done.returncode == 0, done.stderr
    assert (place / "his" / "ids").read_text() == f"({HIM}, {HIM}, {HIM}) [{HIM}]"


# ---- what the run itself holds


@pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="needs /proc")
def test_a_run_with_a_password_leaves_no_core(place: Path, server: FTPServer):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("no core files are allowed here at all")
    path = config(place, server)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        run = Run(place, path)
        try:
            run.says("Running: main")
            limits = Path(f"/proc/{run.process.pid}/limits").read_text()
        finally:
            run.end()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]
