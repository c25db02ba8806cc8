"""Lines that people are advised to type: one module builds them, and each is harmless to a person who copies it unread."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import pysubtask
from pysubtask.common import advice
from tests.support import harm

PACKAGE = Path(pysubtask.__file__).parent
_COMMANDS = re.compile(
    r"(?<![\w./-])(?:sudo(?! pysubtask)|chown|chgrp|chmod|rm|rmdir|mv|cp|ln|mkdir|dd|tee|truncate|setfacl|chattr|useradd|usermod|"
    r"ssh-keygen|ssh-keyscan|ssh-copy-id|sysctl -w|modprobe|loginctl|timedatectl|apt-get|apt install|pip3? install|mkfs|umount)"
    r"(?: +(?:[-'\"/~${]|install|set-|enable|[ugoa]*[+-]|[0-7]{3}\b|\w+@))"
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Each text of a module that is no docstring, with its line; values that are put in show as {}."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}

    def visit(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from visit(part.value)
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(tree)


@pytest.mark.slow
def test_no_other_module_makes_a_line_for_a_shell():
    """The package's own tests of servers (``testing``) name Debian's packages; they change nothing of the user's."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "testing" not in path.parts and path.name != "advice.py"
        for line, text in texts(path)
        if _COMMANDS.search(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "sudo chown -R $(id -un) /",
        "run: chmod 600 {}",
        "mkdir -p {}",
        "mv {} {}.old",
        "ssh-keygen -t ed25519 -f {}",
        "rm -f {}",
        "chown {} {}",
        "pip install 'pysubtask[cli]'",
        "sudo apt-get install x",
        "ssh-keyscan -p {} {} >> {}",
        "loginctl enable-linger",
        "sudo chgrp g {} && sudo chmod g+w {}",
        "echo x | sudo tee -a /etc/x",
        "chmod u+rwx {}",
    ],
)
def test_such_a_line_would_be_seen(text, tmp_path):
    file = tmp_path / "x.py"
    line = repr(text.replace("{}", "{a}"))
    file.write_text(f'def f(a, b):\n    """chmod 600 in a docstring."""\n    return f{line}\n')
    assert [line for line, found in texts(file) if _COMMANDS.search(found)] == [3]


def test_no_page_tells_of_a_whole_tree():
    pages = [*PACKAGE.parent.glob("*.md"), *PACKAGE.parent.glob("docs/*.md")]
    assert len(pages) > 5
    found = [
        f"{page.name}: {line}"
        for page in pages
        for line in page.read_text().splitlines()
        if re.search(r"\b(?:chown|chmod|chgrp|rm)\s+(?:\S+\s+)*-\w*[rR]", line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "name", ["plain", "two words", "it's", "$(touch hit)", "`touch hit`", "-rf", "a;touch hit", "a\nb", "~", "*"]
)
def test_a_path_stays_one_word_whatever_it_is_called(name, tmp_path):
    (tmp_path / name).mkdir()
    shell = subprocess.run(
        ["sh", "-c", f"printf '%s|' {advice.word(name)}; ls -d {advice.word(name)} >&2"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert shell.stdout in (f"{name}|", f"./{name}|")
    assert sorted(os.listdir(tmp_path)) == [name]


def test_home_stays_home():
    shell = subprocess.run(
        ["sh", "-c", f"echo {advice.word('~/my keys/id')}"],
        capture_output=True,
        text=True,
        env={"HOME": "/h"},
        check=True,
        timeout=30,
    )
    assert shell.stdout == "/h/my keys/id\n"


STATE_FOLDER = "/kamera/pics/.pysubtask"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/kamera",
        "/kamera/pics",
        "/kamera/pics/.pysubtask-other",
        "/media/usb",
        "/kamera/pics/.pysubtask/../..",
        "relative",
        "",
        "/kamera/pics/.pysubtask/../photo.jpg",
    ],
)
@pytest.mark.parametrize("state_folder", [STATE_FOLDER, f"{STATE_FOLDER}/", "/", "", "/kamera", ".pysubtask"])
def test_what_we_did_not_make_is_never_given_to_anybody(path, state_folder):
    assert not advice.is_ours(path, state_folder)
    assert advice.give_back([path], state_folder) == () == advice.open_again(path, state_folder)


def test_what_we_created_is_given_back_one_by_one():
    paths = [STATE_FOLDER, f"{STATE_FOLDER}/main", f"{STATE_FOLDER}/main/ftp", f"{STATE_FOLDER}/main/ftp/spool.db"]
    [line] = advice.give_back(["/kamera", *paths], STATE_FOLDER)
    assert line == f'sudo chown -h "$(id -u)" {" ".join(paths)}'
    assert harm.in_line(line, STATE_FOLDER) == ""


def test_a_folder_is_created_in_an_existing_one_never_for_a_disk():
    assert advice.make_folder("/srv/data/new") == ("mkdir /srv/data/new",)
    for path in ("/media/usb/camera", "/mnt", "/run/media/pi/stick"):
        assert advice.make_folder(path) == ()


def test_only_a_config_is_handed_over(tmp_path):
    (tmp_path / "station.toml").touch()
    (tmp_path / "link.toml").symlink_to("/etc/passwd")
    (tmp_path / "folder.toml").mkdir()
    assert advice.hand_over_config(f"{tmp_path}/station.toml", "pi") == (f"sudo chown -h pi {tmp_path}/station.toml",)
    for name in ("link.toml", "folder.toml", "missing.toml", "."):
        assert advice.hand_over_config(f"{tmp_path}/{name}", "pi") == ()


def test_a_config_and_its_folder_are_closed_to_others_writing(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "two words.toml").touch()
    for path in (tmp_path / "conf.d", tmp_path / "conf.d" / "two words.toml"):
        for sudo in (False, True):
            line = advice.only_you_write(str(path), sudo=sudo)
            assert line.startswith("sudo ") == sudo and harm.in_line(line) == ""
    assert harm.in_line(advice.only_you_write(str(tmp_path))) == f"no config: chmod go-w {tmp_path}"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("sudo chown -R $(id -un) /", "a whole tree"),
        ("sudo chown $(id -un) /kamera", "not ours"),
        ("chmod -R 777 .", "a whole tree"),
        (f"sudo chown x {STATE_FOLDER}", "through a link"),
        ("mkdir -p /media/usb/camera", "folders above"),
        ("rm x", "unknown"),
        ("mv a b", "unknown"),
        ("ls x && rm -rf /", "unknown"),
        ("ssh-keygen -p -N '' -f k", "somebody's key"),
        ("chmod 600 /", "no file"),
        ("echo x | sudo tee -a /etc/ssh/sshd_config", "unknown"),
        ("chmod g+w /kamera", "not ours"),
        ("chmod go-w /kamera", "no config"),
        ("chmod go-w", "no config"),
        ("chmod -R go-w /etc", "a whole tree"),
    ],
)
def test_the_judge_of_lines_knows_harm(line, why):
    assert why in harm.in_line(line, STATE_FOLDER)
