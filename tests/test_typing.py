"""What ``mypy --strict`` says of an app: wrong entries and settings are errors, and whatever is documented is none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import pages

pytestmark = pytest.mark.slow

WRONG = """
import logging
from pathlib import Path
from pysubtask import ChildEvent, Config, FTPSettings, Section, TaskMaster, WatchEntry
from pysubtask._config import Struct

config = Section(Host='h')
TaskMaster([{'fil': 'x'}], config)                              # error
TaskMaster([{'file': 'x', 'burst': True}], config)              # error
TaskMaster([{'file': 'x', 'recursive': True}], config)          # error
TaskMaster([{'dir': 'x', 'settle_secs': 'long'}], config)       # error
TaskMaster([{'file': 'x'}, {'dri': 'y'}], config)               # error
TaskMaster([{'as': 'x'}], config)                               # error
files: list[WatchEntry] = [{'file': Path('x')}, {'dirr': 'y'}]  # error
Section(Hots='h')                                               # error
Section('my station', Host=7)                                   # error
Struct(RetryCont=3)                                             # error
config.Hots = 'h'                                               # error
config.RetryCount = 'often'                                     # error
config.HostKeyPolicy = 'lax'                                    # error
print(config.Hots)                                              # error
plain: Config = {'ftp': {'Hots': 'h'}}                          # error
more: Config = {'fpt': {'Host': 'h'}}                           # error
ftp: FTPSettings = {'Host': 'h', 'start_trigger_milli': 5}      # error
class Station(Section):
    Host = 7                                                    # error
master = TaskMaster(files, {'ftp': ftp})
master.set(RateLimt=5)                                          # error
master.set(Host='other')                                        # error
TaskMaster(files, plain, Logger=3)                              # error
def happened(event: ChildEvent) -> None:
    print(event.event.fields['nmae'])                           # error
    print(event.kind)                                           # error
master.on_event(lambda: None)                                   # error
page = master.status().children[0].page
if page is not None:
    print(page['delivred'])                                     # error
    print(page['queue']['wating'])                              # error
"""

RIGHT = """
import asyncio
import logging
from pathlib import Path
from types import ModuleType
from typing import Any
import pysubtask
from pysubtask import (BaseMaster, BaseSubtask, BaseTaskMaster, BurstSettings, ChildEvent, ChildStatus, Config, ConfigError, Event,
                       EventCallback, EventPosition, FTPSettings, FTPSubtask, FTPTaskMaster, MasterStatus, Section, StatusPage,
                       TaskMaster, WatchEntry)
from pysubtask._config import Struct
from pysubtask.base import main, notify_file, touch
from pysubtask.testing import sftp_server

# a config of version 1
base = Struct('base')
base.TimerIntervalSecs = 5
base.HeartbeatIntervalSecs = 60
burst_mode = Struct('bursts')
burst_mode.start_trigger_milli = 500
ftp = Struct('the server')
ftp.Host = 'files.example.org'
ftp.User, ftp.Password = 'station7', 'secret'
ftp.UseTLS = None

WatchFiles = [{'file': 'logs/a.csv', 'burstmode': True}, {'dir': 'logs/box'}]
old = [FTPTaskMaster(WatchFiles, object()), FTPTaskMaster([{'file': 'a'}], {'ftp': {'Host': 'h'}}, None, False)]
BaseTaskMaster(WatchFiles, base, SubtaskModuleName='my_subtask', LogFileName='x.log', LogToConsole=False)
BaseMaster([{'file': 'a'}])

class MySubtask(BaseSubtask):
    def process_notify(self, snapshot: str) -> None:
        self.log.info('%s', self.source_path)

class Other(FTPSubtask):
    def process_interval(self) -> None: ...

class MyMaster(TaskMaster):
    def __init__(self, config: object) -> None:
        super().__init__([{'file': 'a.csv'}], config, Logger='mine')

# any form of a config
class Sections:
    ftp = Section('', Host='h', KeyFile='~/.ssh/id')
    base = {'TimerIntervalSecs': 0.5}
class Station(Section):
    Host = 'h'
plain = {'ftp': {'Host': 'h'}}
typed: Config = {'ftp': {'Host': 'h', 'RetryCount': 3}, 'base': Section(LogLevel='debug'), 'burst_mode': {'expire_milli': 5}}
some: dict[str, Any] = {'Host': 'h'}
module: ModuleType = pysubtask
files: list[WatchEntry] = [{'file': Path('a'), 'as': 'b', 'append': True}, {'dir': b'c', 'include': ['*.csv'], 'exclude': 'x'}]
for config in (Sections, Sections(), plain, typed, module, {'ftp': Section(**some)}, {'ftp': Station()}):
    TaskMaster(files, config)
with sftp_server('root') as server:
    TaskMaster([{'file': 'a'}], {'ftp': server.settings()})
    whole: Config = {'ftp': server.section()}

master = TaskMaster([{'file': 'a.csv'}, {'dir': 'b', 'settle_secs': 2}], typed, None, False, Logger=logging.getLogger('x'))
@master.on_event
def happened(one: ChildEvent) -> None:
    event: Event = one.event
    print(one.extension, event.kind, event.fields.get('name'), event.fields.get('size', 0) + 1)
callback: EventCallback = happened
child_events, position = master.events()
child_events, position = master.events(position)
master.set(keep=True, RateLimit=50_000)
status: MasterStatus = master.status()
child: ChildStatus = status.children[0]
page: StatusPage | None = child.page
if page is not None:
    print(page['queue']['waiting'] + 1, page.get('delivered', 0), [row['done'] / row['size'] for row in page['moving']])
why: str = status.why + child.why
async def app() -> bool:
    return await asyncio.to_thread(master.wait_delivered, 'a.csv', 60)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def mypy(folder: Path, cache: Path, *files: str) -> str:
    env = {**os.environ, "MYPYPATH": str(pages.ROOT)}
    # What an app installs is not looked at, either.
    options = ["--strict", "--follow-imports", "silent", "--cache-dir", str(cache), "--config-file", ""]
    command = [sys.executable, "-m", "mypy", *options, *files]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr


def test_what_is_wrong_is_an_error_and_nothing_else_is(tmp_path: Path, cache: Path):
    (tmp_path / "wrong.py").write_text(WRONG)
    found = {int(line) for line in re.findall(r"^wrong\.py:(\d+): error", mypy(tmp_path, cache, "wrong.py"), re.MULTILINE)}
    assert found == {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# error")}


def test_every_usage_of_version_1_and_of_this_one_has_types(tmp_path: Path, cache: Path):
    (tmp_path / "right.py").write_text(RIGHT)
    assert mypy(tmp_path, cache, "right.py").startswith("Success")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", pages.read(page), re.DOTALL | re.MULTILINE)


def test_the_programs_of_the_pages_have_types(tmp_path: Path, cache: Path):
    (tmp_path / "my_config.py").write_text("from pysubtask import Section\nftp = Section(Host='h')\n")
    head = "def measuring() -> bool: ...\ndef append_a_line(path: str) -> None: ...\n"
    sources = [block for page in ("api.md", "config.md") for block in blocks(page)] + re.findall(
        r"^```python\n(.*?)^```$", (pages.ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    names = []
    for number, source in enumerate(sources):
        if source.startswith("import") or "from pysubtask" in source or "pytest_plugins" in source:
            names.append(f"block{number}.py")
            (tmp_path / names[-1]).write_text(head + source if "measuring()" in source else source)
    assert len(names) >= 5
    found = mypy(tmp_path, cache, *names)
    assert [line for line in found.splitlines() if ": error:" in line and "empty-body" not in line] == []
