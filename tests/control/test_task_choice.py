"""Which task a command means: two that live and one that is dead, of one name, and every order and every query of each.

``pytest -s`` shows the table.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from pysubtask import BaseMaster, Section
from pysubtask.common import registry
from pysubtask.common.process import is_alive
from pysubtask.common.receipts import read_receipts
from pysubtask.common.status import read_status
from pysubtask.control import exit_status
from pysubtask.control.cli import commands, main
from tests.support.helpers import wait_until

CHILD = "tests.support.folder_child"
NAME = "folder_child"


class LiveTask:
    """A task named ``main``, like every other, that watches a folder called ``name``."""

    def __init__(self, root, name, parent=""):
        self.name = name
        self.data = root / parent / name
        self.data.mkdir(parents=True, exist_ok=True)
        self.server = root / "server" / parent / name
        self.server.mkdir(parents=True, exist_ok=True)
        (self.data / "a.csv").write_text("1\n")
        self.master = BaseMaster(
            [{"file": str(self.data / "a.csv")}],
            Section(
                "",
                TimerIntervalSecs=0.2,
                Subtask_Log_FileName=str(root / f"{parent}{name}.txt"),
                Master_Log_FileName=str(root / f"{parent}{name}.master.txt"),
            ),
            CHILD,
            LogToConsole=False,
        )
        self.state = self.data / ".pysubtask" / "main" / NAME

    def start(self):
        os.environ["TEST_SERVER_FOLDER"] = str(self.server)
        self.master.start()
        page = lambda: read_status(str(self.state)) or {}  # noqa: E731
        wait_until(lambda: page().get("state") in ("watching", "connected") and self.lives(), 40, f"{self.name} at work")
        return self

    def lives(self):
        child = self.master.status().children[0]
        return child.alive and (read_status(str(self.state)) or {}).get("pid") == child.pid

    def ids(self):
        """Every order that was ever given to it, answered or not."""
        folders = [self.state / "requests", self.state / "replies"]
        return {path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix == ".json"}


class Scene:
    """p and q live; a was killed together with its master, as after a crash of its app."""

    def __init__(self, root):
        # The dead one comes first in every order of names.
        self.p, self.q, self.a = LiveTask(root, "p"), LiveTask(root, "q"), LiveTask(root, "a")
        self.every = (self.p, self.q, self.a)
        code = (
            "import sys, time, pathlib; from tests.control.test_task_choice import LiveTask\n"
            f"task = LiveTask(pathlib.Path({str(root)!r}), 'a').start(); print('at work', flush=True); time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as app:
            assert app.stdout is not None and app.stdout.readline() == "at work\n"
            wait_until(lambda: list(read_receipts(str(self.a.state))), 40, "a receipt")
            pid = read_status(str(self.a.state))["pid"]
            os.kill(pid, signal.SIGKILL)
            app.kill()
        wait_until(lambda: not is_alive(pid, ""), 20, "its death")
        for task in (self.p.start(), self.q.start()):
            wait_until(lambda task=task: (task.server / "a.csv").exists() and list(read_receipts(str(task.state))), 40, "a receipt")

    def reached(self, before):
        return "".join(task.name for task in self.every if task.ids() != before[task.name])

    def ids(self):
        return {task.name: task.ids() for task in self.every}


@pytest.fixture(scope="module")
def _registry_of_its_own():
    """The tests look for what the module's own fixture starts: one registry is for all of them."""
    yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("which")
        patch.setenv(registry.VARIABLE, str(root / "registry"))
        patch.setenv("COLUMNS", "200")
        one_scene = Scene(root)
        yield one_scene
        for one in (one_scene.p, one_scene.q):
            one.master.stop()


@pytest.fixture
def run(capsys, monkeypatch):
    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["pysubtask", *argv])
        capsys.readouterr()
        status = main(list(argv))
        found = capsys.readouterr()
        return status, found.out, found.err

    return run


ORDERS = {
    "pause": [],
    "resume": [],
    "retry": [],
    "notify": [],
    "set": ["RetryCount=6"],
    "queue": [],
    "get": ["RetryCount"],
    "drop": ["nothing.csv"],
    "start": [],
    "reset": [],
    "stop": [],
}
QUERIES = ("status", "events", "receipts", "watch")
READS = ("queue", "get")
OTHERS = {"init", "doctor", "check", "run", "push", "selftest", "service", "reload"}
"""They name a config or files, or a ``pysubtask run`` (see test_reload.py)."""


def words_of(scene, word):
    return {
        "(none)": None,
        "main": "main",
        "main/child": f"main/{NAME}",
        "p": "p",
        "p/child": f"p/{NAME}",
        "a": "a",
        "folder of p": str(scene.p.data),
        "state of q": str(scene.q.state),
        "folder of a": str(scene.a.data) + "/",
        "mian": "mian",
    }[word]


MEANT = {
    "(none)": "",
    "main": "",
    "main/child": "",
    "p": "p",
    "p/child": "p",
    "a": "a",
    "folder of p": "p",
    "state of q": "q",
    "folder of a": "a",
    "mian": "",
}


def test_every_command_is_in_the_table():
    assert set(commands()) - OTHERS >= set(ORDERS) | set(QUERIES)
    assert set(ORDERS) | set(QUERIES) | OTHERS >= {
        "status",
        "watch",
        "events",
        "receipts",
        "queue",
        "get",
        "set",
        "pause",
        "resume",
        "retry",
        "drop",
        "notify",
        "stop",
        "start",
        "reset",
        "reload",
    }


# A stop of one that lives would end the scene: the last test has that.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "op"), [(word, op) for word in MEANT for op in ORDERS if op != "stop" or MEANT[word] not in ("p", "q")]
)
def test_no_order_reaches_another_task(scene, run, op, word):
    before = scene.ids()
    typed = words_of(scene, word)
    status, out, err = run(op, *(["-t", typed] if typed else []), *ORDERS[op])
    reached = scene.reached(before)
    first_line = (err or out).splitlines()[0][:95]
    print(f"\n| {op:7} | {word:12} | {reached or '-':7} | {status} | {first_line} |")
    meant = MEANT[word]
    if op in ("start", "reset") and meant == "a":
        assert (status, reached) == (exit_status.FAILED, "") and "nobody is there to start one" in err
        return
    if not meant:
        assert (status, reached, out) == (exit_status.NO_TASK, "", "")
        if word == "mian":
            assert "Did you mean 'main'?" in err
        else:
            assert "nothing was done" in err and err.index("-t p ") < err.index("-t q ") < err.index("-t a ")
            rows = {line.split()[1]: line for line in err.splitlines() if line.startswith("  -t ")}
            assert rows["p"].split()[2] == rows["q"].split()[2] == "running" and rows["a"].split()[2] == "dead"
            for task in scene.every:
                assert str(task.data) in rows[task.name] and f"file://{task.server}" in rows[task.name]
        return
    expected = {
        "get": "",
        "queue": "" if meant == "a" else meant,  # a dead one's is read from its files
        "drop": "" if meant == "a" else meant,
        "stop": "",
    }.get(op, meant)
    assert reached == expected
    if op == "drop":
        assert status == exit_status.FAILED and "neither in the queue nor paused" in err
    elif meant == "a":
        assert status == (exit_status.OK if op in (*READS, "stop") else exit_status.NO_ANSWER)
        assert ("The order stays" in err) == (status == exit_status.NO_ANSWER)
    else:
        assert status == exit_status.OK and f"{meant}/{NAME}" in out


@pytest.mark.slow
@pytest.mark.parametrize("word", MEANT)
@pytest.mark.parametrize("op", QUERIES)
def test_a_query_lists_all_that_fit_and_says_which_is_which(scene, run, op, word):
    typed = words_of(scene, word)
    option = ["-t", typed] if op == "receipts" and typed else [typed] if typed else []
    fitting = {"(none)": "pqa", "main": "pqa", "main/child": "pqa"}.get(word, MEANT[word])
    before = scene.ids()
    if op == "watch":
        if not fitting:
            assert run(op, *option)[0] == exit_status.NO_TASK
            return
        words = [sys.executable, "-m", "pysubtask", "watch", "--json", *option]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as it:
            assert it.stdout is not None
            seen = set()
            for _ in range(20):  # a task that changes has a line for that, too
                seen.add(json.loads(it.stdout.readline())["child"].partition("/")[0])
                if seen >= set(fitting):
                    break
            it.send_signal(signal.SIGINT)
        status = exit_status.OK
    else:
        status, out, _ = run(op, "--json", *option)
        if op == "status" and out:
            seen = {row["child"].partition("/")[0] for row in json.loads(out)["tasks"]}
        else:
            seen = {json.loads(line)["child"].partition("/")[0] for line in out.splitlines()}
    print(f"\n| {op:8} | {word:12} | {''.join(sorted(seen)) or '-'} | {status} |")
    assert scene.reached(before) == ""
    assert status == (exit_status.OK if fitting else exit_status.NO_TASK)
    assert seen == set(fitting)


def test_several_are_meant_where_several_are_named(scene, run):
    before = scene.ids()
    status, out, _ = run("set", "-t", "p", "-t", str(scene.q.data), "RetryCount=7")
    assert status == 0 and scene.reached(before) == "pq"
    assert [line.partition(":")[0] for line in out.splitlines()] == [f"p/{NAME}", f"q/{NAME}"]
    # One of them cannot be distinguished from others: nothing is done at all.
    before = scene.ids()
    assert run("pause", "-t", "p", "-t", "main")[0] == exit_status.NO_TASK
    assert scene.reached(before) == ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["set", "RateLimt=5"], "Did you mean 'RateLimit'?"),
        (["set", "RateLimit=fast"], "bytes per second"),
        (["set", "RateLimit=-1"], "out of range"),
        (["set", "TaskName=x"], "does not take it"),
        (["set", "dropbox.RateLimit=5"], "no section"),
        (["set", "RateLimit=5", "RetryCont=4"], "Did you mean 'RetryCount'?"),
        (["notify", "/etc/passwd"], "does not watch it"),
        *(([op, "x.csv"], "neither in the queue nor paused") for op in ("pause", "resume", "retry", "drop")),
    ],
)
def test_an_order_for_a_dead_one_is_checked_before_it_is_kept(scene, run, argv, words):
    before = scene.ids()
    status, out, err = run(argv[0], "-t", "a", *argv[1:])
    assert status == exit_status.FAILED and words in err and out == "" and "The order stays" not in err
    assert scene.reached(before) == ""


def test_two_of_one_label_are_distinguished_by_their_folders(scene, run, tmp_path_factory):
    twin = LiveTask(tmp_path_factory.mktemp("twin"), "p").start()
    try:
        before, ids = scene.ids(), twin.ids()
        status, _, err = run("pause", "-t", "p")
        assert status == exit_status.NO_TASK and scene.reached(before) == "" and twin.ids() == ids
        assert f"  -t {twin.data} " in err and f"  -t {scene.p.data} " in err
        status, out, _ = run("status", "p")
        assert f"p/{NAME} in {twin.data}" in out and f"p/{NAME} in {scene.p.data}" in out
        assert run("pause", "-t", str(twin.data))[1] == f"p/{NAME} in {twin.data}: paused everything\n"
        assert scene.reached(before) == "" and twin.ids() != ids
    finally:
        twin.master.stop()
    # Of two of a name the one that lives is meant.
    before, ids = scene.ids(), twin.ids()
    assert run("retry", "-t", "p")[0] == 0
    assert scene.reached(before) == "p" and twin.ids() == ids
    shutil.rmtree(twin.data)


@pytest.mark.slow
def test_without_a_name_the_only_living_task_is_meant(scene, run):
    before = scene.ids()
    assert run("stop", "-t", "q")[0] == 0
    assert scene.reached(before) == "q"
    wait_until(lambda: scene.q.master.status().children[0].last_exit == "stopped by an order", 40)
    for words in ([], ["-t", "main"], ["-t", f"main/{NAME}"]):
        for op in ("pause", "resume", "retry", "queue", "set"):
            before = scene.ids()
            status, out, _ = run(op, *words, *ORDERS[op])
            assert (status, scene.reached(before)) == (0, "p") and out.startswith(f"p/{NAME}"), (op, words)
    assert scene.p.lives()
    # A stop of one that was stopped is no order for the next child.
    before = scene.ids()
    status, out, _ = run("stop", "-t", "q")
    assert status == 0 and "nothing to stop" in out and scene.reached(before) == ""
    # What can be started is meant, not what runs or what nobody would start.
    with subprocess.Popen([sys.executable, "-m", "pysubtask", "start"], stdout=subprocess.PIPE, text=True) as starting:
        wait_until(lambda: scene.q.master.check_pending_notifications() or starting.poll() is not None, 40)
        assert starting.stdout is not None and starting.stdout.read() == f"q/{NAME}: running\n"
    wait_until(scene.q.lives, 40)


@pytest.mark.slow
def test_two_destinations_get_the_request_unless_one_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    first = LiveTask(tmp_path, "roof")
    other = BaseMaster(
        [{"file": str(first.data / "a.csv")}],
        Section(
            "",
            TimerIntervalSecs=0.2,
            Subtask_Log_FileName=str(tmp_path / "other.txt"),
            Master_Log_FileName=str(tmp_path / "other.master.txt"),
        ),
        "tests.support.hooks_child",
        LogToConsole=False,
    )
    first.start()
    other.start()
    second = first.data / ".pysubtask" / "main" / "hooks_child"
    try:
        wait_until(lambda: (read_status(str(second)) or {}).get("state") == "watching", 40, "the other one at work")
        assert run("pause") == (0, "roof/folder_child: paused everything\nroof/hooks_child: paused everything\n", "")
        assert run("resume", "-t", "roof/hooks_child") == (0, "roof/hooks_child: resumed everything\n", "")
        assert [row["child"] for row in json.loads(run("queue", "--json")[1])] == ["roof/folder_child", "roof/hooks_child"]
        # One that was stopped belongs to the task still, and hears of an order when it comes back.
        assert run("stop", "-t", "roof/hooks_child")[0] == 0
        wait_until(lambda: other.status().children[0].last_exit == "stopped by an order", 40)
        status, out, err = run("set", "RetryCount=9")
        assert (
            status == exit_status.NO_ANSWER
            and "roof/folder_child: RetryCount = 9" in out
            and "roof/hooks_child: no child runs" in err
        )
    finally:
        first.master.stop()
        other.stop()


def test_a_config_file_means_its_task_without_old_destinations(run, tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    task = LiveTask(tmp_path, "roof").start()
    try:
        (record,) = registry.records()
        config = tmp_path / "station.toml"
        config.write_text("")
        registry.announce(record._replace(label="station", config_file=str(config)))
        # Once there was another destination; nobody who lives has started it.
        before = task.state.parent / "dropbox"
        before.mkdir()
        (before / "lock").write_text("")
        registry.announce(registry.Record("main", "dropbox", "dropbox://x/", str(before)))
        monkeypatch.chdir(tmp_path)
        for word in ("station", "station.toml", str(config), "roof", "./roof/", "roof/.pysubtask", "roof/.pysubtask/main"):
            status, out, err = run("resume", "-t", word)
            assert (status, out) == (0, "station/folder_child: resumed nothing\n"), (word, err)
        assert not (before / "requests").exists()
        assert run("status", "station.toml")[0] == 0
    finally:
        task.master.stop()


def test_a_record_of_an_older_version_has_a_label_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "registry"))
    for task in ("main", "cellar"):
        state = tmp_path / "roof" / ".pysubtask" / task / "ftp"
        state.mkdir(parents=True)
        name = os.path.join(registry.folder(), registry._name(str(state)))
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "w", encoding="ascii") as file:
            json.dump({"task": task, "extension": "ftp", "destination": "ftp://h/", "state_dir": str(state)}, file)
    found = {record.task: (record.label, record.folder, record.config_file) for record in registry.records()}
    assert found == {"main": ("roof", str(tmp_path / "roof"), ""), "cellar": ("cellar", str(tmp_path / "roof"), "")}
