"""The report on a wrong config: every line of it, word for word, beside the config in ``wrong_configs.txt``.

A new answer is written by ``python -m tests.control.test_wrong_configs`` and read by whoever commits it.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest

from pysubtask.control.config.config_file import load
from pysubtask.control.config.problems import ConfigProblems

PAGE = Path(__file__).with_name("wrong_configs.txt")
WATCH = '[[watch]]\ndir = "data"\n'
ANSWER = "--- "


def cases() -> list[tuple[str, str, list[str]]]:
    """(name, config, the lines of the answer) of each case."""
    found = []
    for block in re.split(r"^=== ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, rest = block.partition("\n")
        lines = rest.splitlines()
        answer = [line.removeprefix(ANSWER) for line in lines if line.startswith(ANSWER)]
        found.append((name, "\n".join(line for line in lines if not line.startswith(ANSWER)) + "\n", answer))
    return found


def answer_to(text: str, folder: Path) -> list[str]:
    """The problems of a config, one a line, with FOLDER for where it is."""
    environ = dict(line.split("=", 1) for line in re.findall(r"^#env (.*)$", text, re.MULTILINE))
    for name, secret in re.findall(r"^#credential (.*)=(.*)$", text, re.MULTILINE):
        (folder / "credentials").mkdir(exist_ok=True)
        (folder / "credentials" / name).write_text(secret)
        environ["CREDENTIALS_DIRECTORY"] = str(folder / "credentials")
    for name, data, mode in (("open.txt", "hunter2\n", 0o644), ("closed.txt", "hunter2\n", 0o600), ("empty.txt", "", 0o600)):
        (folder / name).write_text(data)
        (folder / name).chmod(mode)
    path = folder / "station.toml"
    path.write_text(text + ("" if "#nowatch" in text else WATCH))
    path.chmod(0o600)
    try:
        found = load(str(path), environ)
    except ConfigProblems as exc:
        head, *lines = str(exc).splitlines()
        assert len(lines) == len(exc.problems) and ("one problem" in head or f"{len(lines)} problems" in head)
        return [line.strip().replace(str(folder), "FOLDER") for line in lines]
    raise AssertionError(f"nothing is said against it: {found}")


CASES = cases()


@pytest.mark.parametrize(("text", "answer"), [pytest.param(text, answer, id=name) for name, text, answer in CASES])
def test_the_answer_to_a_wrong_config(tmp_path: Path, text: str, answer: list[str]):
    found = answer_to(text, tmp_path)
    assert found == answer
    for line in found:
        # FILE:LINE: KEY: what is wrong. What to do.
        assert re.match(r"(FOLDER/|PYSUBTASK_|CREDENTIALS_DIRECTORY)[^ ]*: ([^ ]+: )?[^ ].*\. [A-Z'].*", line), line
        assert "hunter2" not in line and "12345678" not in line


def test_there_are_enough_of_them_and_no_two_are_alike():
    assert len(CASES) >= 30
    assert len({"\n".join(answer) for _, _, answer in CASES}) == len(CASES)


if __name__ == "__main__":
    os.umask(0o022)
    parts = []
    for name, text, _ in CASES:
        with tempfile.TemporaryDirectory() as folder:
            parts.append(f"=== {name}\n{text}" + "".join(f"{ANSWER}{line}\n" for line in answer_to(text, Path(folder))))
    PAGE.write_text("".join(parts), encoding="utf-8")
