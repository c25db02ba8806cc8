"""Which program a child is: an interpreter, a frozen app, or nothing that may be started."""

import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import pysubtask
from pysubtask import BaseMaster, ConfigError, freeze, freeze_support
from pysubtask.common import program
from pysubtask.common.program import (
    Host,
    again_words,
    asked,
    child_words,
    for_child,
    for_others,
    host,
    interpreter,
    is_python,
    outside,
)
from pysubtask.master import child
from tests.support.helpers import wait_until

HERE = {"platform": "linux", "version_info": (3, 11, 7), "exec_prefix": "/venv"}
PLAIN = Host("", "/venv/bin/python", "/venv/bin/python", "/venv/bin/python3.11")


def seen(compiled=None, **more):
    return host(SimpleNamespace(**HERE, orig_argv=["./app"], **more), compiled)


def nuitka(**more):
    return SimpleNamespace(process_exe="/tmp/unpacked/app.bin", standalone=True, onefile=False, **more)


@pytest.mark.parametrize(
    ("found", "frozen", "file", "inner"),
    [
        (seen(executable="/venv/bin/python"), "", "/venv/bin/python", "/venv/bin/python"),
        (seen(executable=""), "", "", ""),
        (seen(executable=None), "", "", ""),
        (seen(executable="/opt/app", frozen=True, _MEIPASS="/tmp/_MEI1"), "PyInstaller", "/opt/app", "/opt/app"),
        (seen(executable="/opt/app", frozen="console_exe"), "a freezer", "/opt/app", "/opt/app"),
        (seen(nuitka(), executable="/tmp/unpacked/python"), "Nuitka", "/tmp/unpacked/app.bin", "/tmp/unpacked/app.bin"),
        (
            seen(SimpleNamespace(process_exe="/t/app.bin", standalone=True, onefile=True), executable="/t/python"),
            "Nuitka",
            os.path.abspath("./app"),
            "/t/app.bin",
        ),
        # Compiled, but run by an interpreter.
        (seen(SimpleNamespace(standalone=False), executable="/venv/bin/python"), "", "/venv/bin/python", "/venv/bin/python"),
        # An old Nuitka tells nothing but that it was there.
        (seen(SimpleNamespace(), executable="/t/no-such-python"), "Nuitka", os.path.abspath("./app"), os.path.abspath("./app")),
        (seen(SimpleNamespace(), executable=sys.executable), "", sys.executable, sys.executable),
    ],
)
def test_what_the_program_is(found, frozen, file, inner):
    assert found[:3] == (frozen, file, inner)


def test_where_this_environments_interpreter_would_be():
    assert seen(executable="x").python == "/venv/bin/python3.11"
    windows = SimpleNamespace(platform="win32", version_info=(3, 12), exec_prefix="C:/py", executable="C:/py/pythonw.exe")
    assert host(windows).python.replace("\\", "/") == "C:/py/python.exe"


def test_an_interpreter_runs_the_module():
    assert child_words(PLAIN, "pysubtask.ftp", False) == ["/venv/bin/python", "-P", "-m", "pysubtask.ftp"]
    assert again_words(PLAIN, ["python", "-P", "-m", "x"]) == ["/venv/bin/python", "-P", "-m", "x"]


@pytest.mark.parametrize("frozen", ["PyInstaller", "Nuitka", "a freezer"])
def test_a_frozen_app_is_started_only_if_it_can_be_a_child(frozen):
    app = Host(frozen, "/opt/app", "/tmp/app.bin", "/venv/bin/python3.11")
    with pytest.raises(ConfigError, match=r"freeze_support.*first lines of the program's main"):
        child_words(app, "pysubtask.ftp", False, lambda path: True)
    words = child_words(app, "pysubtask.ftp", True)
    assert words == ["/opt/app", "--pysubtask-child=pysubtask.ftp"]
    assert asked([*words, "--handoff", "--label=x"]) == "pysubtask.ftp"
    assert again_words(app, [*words, "--handoff"]) == ["/tmp/app.bin", words[1], "--handoff"]
    with pytest.raises(ConfigError, match="ordinary Python"):
        interpreter(app)


@pytest.mark.parametrize(
    "argv",
    [
        ["app"],
        [],
        ["app", "--handoff"],
        ["app", "--pysubtask-child=x"],
        ["app", "x", "--handoff"],
        ["app", "a", "--pysubtask-child=x", "--handoff"],
    ],
)
def test_other_arguments_are_the_apps_own(argv):
    assert asked(argv) == ""


@pytest.mark.parametrize("name", ["python", "python3.11", "pythonw.exe", "Python", "python_d.exe", "pypy3", "python3.13t"])
def test_names_of_an_interpreter(name):
    assert is_python(f"/x/{name}")


def test_a_program_with_python_built_in_is_never_started(tmp_path):
    blender = Host("", "/usr/bin/blender", "/usr/bin/blender", "/opt/blender/bin/python3.11")
    assert interpreter(blender, lambda path: True) == "/opt/blender/bin/python3.11"
    with pytest.raises(ConfigError, match=r"/usr/bin/blender is not a Python.*Set sys\.executable"):
        interpreter(blender, {"/usr/bin/blender"}.__contains__)
    with pytest.raises(ConfigError, match=r"sys\.executable: it is empty.*/venv/bin/python3\.11"):
        interpreter(PLAIN._replace(file=""), lambda path: True)
    # One that is not there now may be there again: that is for the start, and its back-off.
    assert interpreter(PLAIN._replace(file="/venv/bin/station"), lambda path: False) == "/venv/bin/station"
    link = tmp_path / "station"
    link.symlink_to(sys.executable)
    assert interpreter(PLAIN._replace(file=str(link))) == str(link)


APPS = {
    "PATH": "/bin",
    "LD_LIBRARY_PATH": "/tmp/_MEI1:/mine",
    "LD_LIBRARY_PATH_ORIG": "/mine",
    "_PYI_ARCHIVE_FILE": "/opt/app",
    "_MEIPASS2": "/tmp/_MEI1",
    "NUITKA_ONEFILE_PARENT": "7",
}


def test_other_programs_get_the_users_environment():
    app = Host("PyInstaller", "/opt/app", "/opt/app", "")
    assert outside(app, APPS) == {"PATH": "/bin", "LD_LIBRARY_PATH": "/mine"}
    assert outside(app, {"LD_LIBRARY_PATH": "/tmp/_MEI1", "A": "b"}) == {"A": "b"}
    assert outside(app._replace(frozen="Nuitka"), {"LD_LIBRARY_PATH": "/mine", "NUITKA_X": "1"}) == {"LD_LIBRARY_PATH": "/mine"}
    assert outside(PLAIN, APPS) == APPS


def test_a_frozen_child_unpacks_for_itself_and_needs_no_folders():
    environment = for_child(Host("PyInstaller", "/opt/app", "/opt/app", ""), APPS, ["/tmp/_MEI1"])
    assert environment == {
        "PATH": "/bin",
        "LD_LIBRARY_PATH": "/mine",
        "PYINSTALLER_RESET_ENVIRONMENT": "1",
        "PYINSTALLER_SUPPRESS_SPLASH_SCREEN": "1",
    }


@pytest.fixture
def frozen(monkeypatch):
    """This process has the signs of a frozen app."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", "/tmp/_MEI1", raising=False)
    monkeypatch.setattr(program._Started, "host", None)


def test_a_master_in_a_frozen_app_names_what_is_missing(frozen, tmp_path, monkeypatch):
    monkeypatch.setattr(child.subprocess, "Popen", lambda *words, **more: pytest.fail("something was started"))
    with pytest.raises(ConfigError, match="freeze_support"):
        BaseMaster([{"file": str(tmp_path / "a.csv")}])
    freeze_support()
    with pytest.raises(ConfigError, match=r"'xz_subtask' is not in this frozen program.*--hidden-import xz_subtask"):
        BaseMaster([{"file": str(tmp_path / "a.csv")}], None, "xz_subtask")
    # cx_Freeze keeps the standard library in a zip file, and os then has no file of its own.
    monkeypatch.delattr(os, "__file__")
    BaseMaster([{"file": str(tmp_path / "a.csv")}], LogFileName=None)


def test_a_program_that_has_changed_since_is_tried_again_later(tmp_path, monkeypatch):
    master = BaseMaster([{"file": str(tmp_path / "a.csv")}], LogFileName=None)
    monkeypatch.setattr(sys, "executable", "")
    master.start()
    assert "sys.executable: it is empty" in master.status().children[0].last_exit
    assert master.notify_file_by_index(0)
    master.stop()


def test_it_does_nothing_in_an_ordinary_interpreter(monkeypatch):
    monkeypatch.setattr(program._Started, "host", None)
    monkeypatch.setattr(sys, "argv", ["app", "--pysubtask-child=pysubtask.base", "--handoff"])
    assert freeze_support() is None


def test_a_frozen_app_becomes_the_child_it_is_asked_to_be(frozen, monkeypatch, tmp_path):
    (tmp_path / "own_child.py").write_text("import json, sys\nprint(json.dumps([__name__, sys.argv[1:]]))\nsys.exit(7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["app", "--pysubtask-child=own_child", "--handoff", "--label=x"])
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        freeze_support()
    assert ended.value.code == 7
    assert json.loads(sys.stdout.getvalue()) == ["__main__", ["--handoff", "--label=x"]]


def test_a_module_that_is_not_in_the_program_is_named(frozen, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["app", "--pysubtask-child=xz_subtask", "--handoff"])
    with pytest.raises(SystemExit) as ended:
        freeze_support()
    assert ended.value.code == 2
    assert "xz_subtask" in capsys.readouterr().err


STATION = """#!{python}
import os, sys, time
with open("starts", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if open("starts").read().count("\\n") > 6:
    sys.exit("storm")
sys.executable = os.path.abspath(__file__)
import pysubtask
{first}
try:
    quiet = {{"Master_Log_FileName": None, "Subtask_Log_FileName": None}}
    master = pysubtask.BaseMaster([{{"file": "a.csv"}}], quiet, LogToConsole=False)
except pysubtask.ConfigError as exc:
    sys.exit(f"refused: {{exc}}")
master.start()
deadline = time.monotonic() + {secs}
while (master.status().children[0].page or {{}}).get("state") != "watching" and time.monotonic() < deadline:
    time.sleep(0.02)
print((master.status().children[0].page or {{}}).get("state"))
master.stop(forcekill=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "pysubtask.freeze_support()"])
def test_an_app_that_resembles_a_python_and_is_none(first, tmp_path):
    """Nothing tells that it is frozen, and its name begins as an interpreter's: its first copy refuses to be the app."""
    app = tmp_path / "python-station"
    app.write_text(STATION.format(python=sys.executable, first=first, secs=60 if first else 3))
    app.chmod(0o755)
    search = os.path.dirname(os.path.dirname(pysubtask.__file__))
    done = subprocess.run(
        [app],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([search, *sys.path[1:]])},
    )
    starts = [line for line in (tmp_path / "starts").read_text().splitlines() if "guarded_restart" not in line]
    assert starts[0] == "" and "-m pysubtask.base --handoff" in starts[1]
    # A child that does not live is tried again with longer and longer waits; none of the copies starts another.
    assert len(starts) <= (2 if first else 4), starts
    assert done.stdout.split()[-1:] == ["watching" if first else "None"], done.stderr


@pytest.mark.parametrize(
    ("argv", "taken"),
    [
        (["app", "-P", "-m", "pysubtask.ftp", "--handoff", "--label=x"], True),
        (["app", "--pysubtask-child=x", "--handoff"], False),
        (["/x/pysubtask/ftp.py", "--handoff", "--label=x"], False),
        (["app"], False),
        (["app", "-m", "x"], False),
        ([], False),
        (["--handoff"], False),
    ],
)
def test_words_of_a_child_that_an_app_got(argv, taken):
    assert program.is_taken_for_python(argv) == taken


OWN = """
from pysubtask import BaseSubtask, FTPSubtask

class Plain(BaseSubtask):
    pass

class Upper(FTPSubtask):
    pass

class Lower(Upper):
    pass
"""


@pytest.mark.parametrize(
    ("text", "door"),
    [(OWN, None), (OWN.replace("class Plain(BaseSubtask):\n    pass\n", ""), "ftp"), (OWN.partition("class Upper")[0], "base")],
)
def test_a_module_that_cannot_run_as_main_is_run_by_its_subtask(text, door, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_child.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_child", raising=False)
    ran = []
    for name in ("base", "ftp", "dropbox"):
        monkeypatch.setattr(f"pysubtask.{name}.main", lambda subtask, name=name: ran.append((name, subtask.__name__)) or 0)
    status = freeze._run_compiled("own_child")
    if door is None:
        assert status == 2
        assert "has 2 subtasks of its own" in capsys.readouterr().err
    else:
        assert (status, ran) == (0, [(door, "Lower" if door == "ftp" else "Plain")])


UNPACKER = """
import signal, subprocess, sys
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
below = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"])
sys.exit(below.wait() and 9)
"""


@pytest.mark.parametrize("ask", ["terminate", "kill"])
def test_a_signal_reaches_the_process_behind_an_unpacker(ask, tmp_path):
    """What unpacks a one-file program must live to tidy up."""
    (tmp_path / "unpacker.py").write_text(UNPACKER)
    fd = os.memfd_create("test")
    started = child.Child(child.Launch("unpacker", (str(tmp_path),), str(tmp_path), False, str(tmp_path / "log")), fd)
    os.close(fd)
    started._unpacks = True
    wait_until(lambda: (tmp_path / "log").read_text().startswith("up"), 60)
    assert child.unpacked(started.pid) != started.pid
    getattr(started, ask)()
    assert child.wait([started], 60) == []
    assert started.exit == "exit status 9"


APP = """
import sys, time
import pysubtask
from pysubtask import BaseMaster
if __name__ == "__main__":
    master = BaseMaster([{"file": "a.csv"}], {"Master_Log_FileName": None, "Subtask_Log_FileName": None}, LogToConsole=False)
    master.start()
    deadline = time.monotonic() + 60
    while not (master.status().children[0].page or {}).get("state") == "watching" and time.monotonic() < deadline:
        time.sleep(0.02)
    print(master.status().children[0].page["state"])
    master.stop(forcekill=False)
"""


@pytest.mark.parametrize("how", ["-c", "-m", "stdin", "link", "interactive"])
def test_however_the_app_was_started(how, tmp_path):
    """Without a script, as a module, from stdin, by an interpreter of another name, and typed in, as in a notebook."""
    words, typed = [sys.executable, "-c", APP], None
    if how == "-m":
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "__main__.py").write_text(APP)
        words = [sys.executable, "-m", "app"]
    elif how == "stdin":
        words, typed = [sys.executable], APP
    elif how == "interactive":
        words, typed = [sys.executable, "-i", "-q"], f"exec({APP!r})\n"
    elif how == "link":
        (tmp_path / "station").symlink_to(sys.executable)
        words[0] = str(tmp_path / "station")
    search = os.path.dirname(os.path.dirname(pysubtask.__file__))
    done = subprocess.run(
        words,
        cwd=tmp_path,
        input=typed,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([search, *sys.path[1:]])},
    )
    assert done.stdout.strip().endswith("watching"), done.stderr


def test_another_program_gets_no_secret_of_this_package():
    """ssh may send its environment to the server (SendEnv), and a hook may report its own."""
    given = {
        "PYSUBTASK_FTP_PASSWORD": "x",
        "PYSUBTASK_PASSWORD": "x",
        "PYSUBTASK_FTP_PASSWORDFILE": "kept",
        "PYSUBTASK_REGISTRY": "kept",
        "MY_TOKEN": "kept",
        "PATH": "kept",
    }
    assert for_others(given) == {key: value for key, value in given.items() if value == "kept"}
