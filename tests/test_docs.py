"""The pages say what the code does; the programs they show are run."""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import inspect
import lzma
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from pysubtask import BaseMaster, defaults_config
from pysubtask.common import entries
from pysubtask.common.config import SECTIONS
from pysubtask.common.events import read_events
from pysubtask.common.status import read_status
from pysubtask.control import exit_status
from pysubtask.control.cli import commands, main
from pysubtask.subtask import base_subtask
from pysubtask.subtask.engine import exit_status as child_exit_status
from pysubtask.subtask.engine.cli import PASSWORD_VARIABLE, TOKEN_VARIABLES, make_parser
from tests import make_config_doc
from tests.support import pages
from tests.support.helpers import wait_until

MARKDOWN = [*sorted(pages.ROOT.glob("*.md")), *sorted(pages.DOCS.rglob("*.md"))]
SOURCES = sorted((pages.ROOT / "pysubtask").rglob("*.py"))


@functools.cache
def every_call() -> list[ast.Call]:
    """Those of the package's modules that may write an event or the page."""
    texts = [path.read_text(encoding="utf-8") for path in SOURCES]
    trees = [ast.parse(text) for text in texts if re.search(r"emit\(|happened\(|problem\(|board\.|page\.update", text)]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def calls(*names: str) -> Iterator[ast.Call]:
    """Every call in the package of a method of one of these names, and of the function ``happened``."""
    for node in every_call():
        method = isinstance(node.func, ast.Attribute) and node.func.attr in names
        if method or (isinstance(node.func, ast.Name) and node.func.id == "happened" in names):
            yield node


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The table below a heading: first cell -> the other cells; a first cell with several words in code gives several rows."""
    section = re.split(rf"^#+ {re.escape(heading)}\n", pages.read(page), flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and not set(line) <= set("|-"):
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1:])
    return found


# ---- config.md


def test_settings_and_options_are_those_of_the_code():
    text = pages.read("config.md")
    expected = [*(f"settings {section}" for section in SECTIONS), "flags base", "flags ftp", "flags dropbox"]
    assert sorted(make_config_doc.parts(text)) == sorted(expected), "a section or a child has no table in docs/config.md"
    assert text == make_config_doc.rewritten(text), f"docs/config.md is out of date; run: {make_config_doc.COMMAND}"
    for section in SECTIONS:
        for row in defaults_config.SETTINGS[section]:
            assert f"| `{row.key}` | `{row.default!r}` |" in text
    for extension in ("base", "ftp", "dropbox"):
        for action in make_parser(extension)._actions:
            for flag in action.option_strings if action.help != argparse.SUPPRESS else []:
                assert f"`{flag}`" in text
    for variable in (PASSWORD_VARIABLE, *TOKEN_VARIABLES.values()):
        assert f"`{variable}`" in text


def test_every_key_of_an_entry_is_explained_with_its_default():
    explained = rows("config.md", "Watch entries")
    assert set(explained) == {*entries._FILE_KEYS, *entries._DIR_KEYS}
    for key, (where, default, _) in explained.items():
        kinds = [kind for kind, keys in (("file", entries._FILE_KEYS), ("dir", entries._DIR_KEYS)) if key in keys]
        assert where == ("both" if len(kinds) == 2 else kinds[0]), key
        known = entries.Entry._field_defaults.get(key)
        if known is not None:
            assert default == f"`{int(known) if type(known) is float and known.is_integer() else known!r}`", key


def test_every_kind_of_event_is_explained():
    kinds = [call.args[0] for call in calls("emit", "happened", "problem", "_problem") if call.args]
    kinds = [one for kind in kinds for one in ([kind.body, kind.orelse] if isinstance(kind, ast.IfExp) else [kind])]
    emitted = {kind.value for kind in kinds if isinstance(kind, ast.Constant) and isinstance(kind.value, str)}
    assert len(emitted) > 20
    assert set(rows("config.md", "events.jsonl")) == emitted


def test_every_field_of_the_status_page_is_explained():
    fields = {"state", "state_since", "why", "format", "moving"}
    for call in calls("set", "add", "update"):
        if re.search(r"\b_?(status_model\.(set|add)|page\.update)$", ast.unparse(call.func)):
            fields |= {keyword.arg for keyword in call.keywords if keyword.arg}
    explained = set(rows("config.md", "status.json"))
    assert {"queue", "problem", "n"} <= fields
    assert fields <= explained, fields - explained


def test_every_exit_status_is_explained():
    found = {value for name, value in vars(child_exit_status).items() if name.startswith("EXIT_")}
    section = pages.read("config.md").split("Exit status of a child", 1)[1].split("\n## ", 1)[0]
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == found


# ---- commands.md


def test_every_command_option_and_exit_status_is_explained():
    text = pages.read("commands.md")
    expected = [*(f"command {name}" for name in commands()), "list commands", "list statuses"]
    assert sorted(make_config_doc.parts(text)) == sorted(expected), "a command has no part in docs/commands.md"
    assert text == make_config_doc.rewritten(text), f"docs/commands.md is out of date; run: {make_config_doc.COMMAND}"
    for name in commands():
        section = text.split(f"<!-- made: command {name} -->")[1].split("<!-- end -->")[0]
        command = make_config_doc.command_named(name)
        assert f"\n## {name}\n" in text and command.help and command.short_help
        for written, meaning in make_config_doc.options_of(command):
            assert f"| {written} | ".replace("N|T", "N\\|T") in section and meaning, f"{name} {written}"
        example = section.rsplit("```text\n", 1)[1]
        assert section.count("```text") == 2 and re.search(rf"^pysubtask {name}\b", example, re.MULTILINE), f"{name} has no example"
    for value in [value for name, value in vars(exit_status).items() if name.isupper() and isinstance(value, int)]:
        assert value in exit_status.MEANINGS and f"| {value} | " in text


# ---- every page


def typed_lines(path: Path) -> Iterator[str]:
    """What stands after the word ``pysubtask`` in lines to type and in `code`; a command's bare name is a mention of it."""
    for line in path.read_text(encoding="utf-8").splitlines():
        at_its_beginning = re.match(r"(?:\$ |    |\*/10 \* \* \* \* +)?(?:sudo )?(?:/\S+/)?pysubtask ([a-z-]+(?: .*|$))", line)
        found = (
            [at_its_beginning[1]]
            if at_its_beginning and (line[0] in "$ *" or path.name == "commands.md" or path.parent.name == "guides")
            else []
        )
        for words in [*found, *re.findall(r"`(?:sudo )?pysubtask ([^`]+)`", line)]:
            typed = re.split(r" [|>] | >|   |  #| # ", words)[0].strip()
            if re.match(r"[a-z]+ ", typed) and "[OPTIONS]" not in typed and "[TASK]" not in typed:
                yield typed


def test_every_line_with_the_command_is_one_that_it_takes():
    seen = 0
    for path in MARKDOWN:
        for line in typed_lines(path):
            name, *words = shlex.split(line)
            command = make_config_doc.command_named(name)
            with contextlib.suppress(click.exceptions.Exit):  # --help
                command.make_context(name, words)  # UsageError for what it does not take
            seen += 1
    assert seen > 50


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_python_in_the_pages_is_python(path: Path):
    for block in re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        ast.parse(block)


def test_every_hook_and_helper_that_is_named_exists():
    from pysubtask import BaseSubtask

    source = inspect.getsource(base_subtask)
    for text in rows("your-own-subtask.md", "What you can override and use"):
        name = re.split(r"[( ]", text.removeprefix("self."))[0]
        assert hasattr(BaseSubtask, name) or f"self.{name} = " in source or f"self.{name}: " in source, text


@pytest.mark.parametrize("path", sorted((pages.DOCS / "guides").glob("*.md")), ids=lambda path: path.name)
def test_the_configs_of_the_guides_are_right(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYSUBTASK_REGISTRY", str(tmp_path / "registry"))
    for folder in ("pictures", "logs", "data"):
        (tmp_path / folder).mkdir()
    for secret in ("nas.password", ".dropbox_token"):
        (tmp_path / secret).write_text("secret\n")
        (tmp_path / secret).chmod(0o600)
    configs = re.findall(r"^```toml\n# (\S+)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert configs and len(configs) == path.read_text(encoding="utf-8").count("```toml")
    for name, text in configs:
        text = text.replace("/home/pi", str(tmp_path)).replace("THE-FINGERPRINT", "AB" * 32)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
        assert main(["check", str(tmp_path / name)]) == 0, name


# ---- a subtask of one's own


def environment(*folders: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, folders), str(pages.ROOT), *filter(None, sys.path)])}


class Packer:
    """The app of the page, run for real."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "data" / ".pysubtask" / "main" / "xz_subtask"
        self.app: subprocess.Popen[str] | None = None
        self.written_at = 0.0

    def start(self) -> None:
        with open(self.folder / "output", "a") as output:
            self.app = subprocess.Popen(
                [sys.executable, "app.py"], cwd=self.folder, env=environment(), stdin=subprocess.PIPE, stderr=output, text=True
            )

    def say(self, line: str) -> None:
        self.written_at = time.monotonic()
        self.app.stdin.write(line + "\n")
        self.app.stdin.flush()

    def end(self) -> None:
        self.app.stdin.close()
        assert self.app.wait(60) == 0, (self.folder / "output").read_text()

    def child(self, other_than: int = 0) -> int:
        """The living child's pid; the app is kept calling, so that it starts another one where that is due."""

        def living() -> int:
            if other_than and time.monotonic() > self.written_at + 0.3:
                self.say("next")
            page: dict[str, Any] = read_status(str(self.state)) or {}
            pid = page.get("pid", 0) if page.get("state") == "watching" else 0
            return pid if pid != other_than else 0

        return wait_until(living, 60, "a living child")

    def packed(self, name: str = "a.csv") -> bytes:
        path = self.folder / "packed" / f"{name}.xz"
        return lzma.decompress(path.read_bytes()) if path.exists() else b""


@pytest.fixture
def packer(tmp_path: Path) -> Iterator[Packer]:
    pages.write("your-own-subtask.md", tmp_path)
    (tmp_path / "data" / "box").mkdir(parents=True)
    one = Packer(tmp_path)
    yield one
    if one.app is not None:
        one.app.kill()
        one.app.communicate()


@pytest.mark.slow
def test_the_pages_subtask_packs_notified_files_after_a_kill(packer: Packer):
    data = packer.folder / "data" / "a.csv"
    # So large that packing it takes a while, and the kill hits the middle of it.
    noise = os.urandom(200_000).hex()
    packer.start()
    first = packer.child()
    (packer.folder / "data" / "box" / "photo").write_bytes(b"from the box")
    packer.say("1")
    wait_until(lambda: packer.packed() == b"1\n" and packer.packed("photo") == b"from the box", 60, "the first files")

    packer.say(noise)
    part = packer.folder / "packed" / "a.csv.xz.part"

    def caught() -> bool:
        wait_until(part.exists, 60, "the packing of the large one")
        os.kill(first, signal.SIGSTOP)
        if part.exists():
            return True
        os.kill(first, signal.SIGCONT)
        packer.say("too late")
        return False

    wait_until(caught, 60, "the child in the middle of it")
    os.kill(first, signal.SIGKILL)
    assert data.read_bytes().startswith(packer.packed()), "a reader never sees half a file"
    packer.child(other_than=first)
    wait_until(lambda: packer.packed().startswith(f"1\n{noise}\n".encode()), 90, "what the kill interrupted")
    wait_until(lambda: packer.packed() == data.read_bytes(), 60, "the newest version")
    packer.end()
    assert not list(packer.folder.rglob("*.notify")), "they go once everything is worked off"
    assert not list((packer.folder / "data" / "upload").iterdir()), "snapshots go when they are done with"


@pytest.mark.slow
def test_the_pages_subtask_recovers_after_everything_was_killed(packer: Packer):
    packer.start()
    child = packer.child()
    os.kill(child, signal.SIGSTOP)
    packer.say("never lost")
    wait_until((packer.folder / "data" / "a.csv.notify").exists, what="the notify")
    packer.app.kill()
    packer.app.communicate()
    os.kill(child, signal.SIGKILL)
    assert packer.packed() == b""
    packer.start()
    wait_until(lambda: packer.packed() == b"never lost\n", 60, "the file")
    packer.end()


def test_the_uploading_subtask_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("asyncssh")
    from pysubtask.testing import sftp_server

    pages.write("your-own-subtask.md", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_bytes(b"1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with sftp_server(tmp_path / "server") as server:
        config = {"ftp": {**server.settings(), "TimerIntervalSecs": 0.3}}
        with BaseMaster([{"file": "data/a.csv"}], config, "station.ftp", LogToConsole=False) as master:
            master.notify_file_by_index(0)
            wait_until((tmp_path / "server" / "a.csv").exists, 60, "the upload")
    assert "On its way: " in (tmp_path / "logs" / "ftp_subtask.log.txt").read_text()


# ---- a transport of one's own


@pytest.mark.slow
def test_the_transport_of_the_page_passes_the_contract(tmp_path: Path):
    pages.write("adding-a-transport.md", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 60\n")
    env = {**environment(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", "test_shell_transport.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 20
    assert "failed" not in done.stdout and "skipped" not in done.stdout


def test_the_child_of_the_page_uploads_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pages.write("adding-a-transport.md", tmp_path)
    child, incoming = tmp_path / "shell_child.py", tmp_path / "incoming"
    child.write_text(child.read_text().replace("/srv/incoming", str(incoming)))
    incoming.mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_bytes(b"1\n2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with BaseMaster([{"file": "logs/a.csv"}], {"TimerIntervalSecs": 2}, "shell_child", LogToConsole=False) as master:
        master.notify_file_by_index(0)
        wait_until((incoming / "a.csv").exists, 60, "the upload")
    assert (incoming / "a.csv").read_bytes() == b"1\n2\n"
    kinds = [event.kind for event in read_events(str(tmp_path / "logs" / ".pysubtask" / "main" / "shell_child"))]
    assert kinds.count("delivered") == 1
