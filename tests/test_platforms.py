"""Calls that one operating system lacks: where they stand, and what stands in their place."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pysubtask

PACKAGE = Path(pysubtask.__file__).parent
# Standard library of POSIX alone, and names of modules that every system has.
MODULES = {"fcntl", "grp", "pwd", "resource", "termios"}
_OS = """
    chown chroot fchmod fchown fork forkpty getegid geteuid getgid getgrouplist getgroups getpgid getresgid getresuid getsid getuid
    killpg lchown makedev memfd_create mkfifo mknod pidfd_open posix_fadvise pread preadv pwrite pwritev sendfile set_blocking
    setegid seteuid setgid setgroups setpgid setresgid setresuid setsid setuid statvfs sync wait waitid writev
    O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH P_PIDFD SEEK_DATA SEEK_HOLE WNOHANG
"""
_SIGNAL = "SIGCHLD SIGCONT SIGHUP SIGKILL SIGSTOP SIG_BLOCK SIG_SETMASK SIG_UNBLOCK pidfd_send_signal pthread_sigmask"
_SOCKET = "AF_UNIX MSG_DONTWAIT SCM_RIGHTS TCP_QUICKACK recv_fds send_fds"
NAMES = {"os": _OS.split(), "select": ("POLLIN", "POLLOUT", "epoll", "poll"), "signal": _SIGNAL.split(), "socket": _SOCKET.split()}
WITHOUT = "nothing: the module does what it is for on such systems alone"
ASYNCSSH = "SFTP by asyncssh"
# Outside of common/ and subtask/platform/: what does the work where the call is missing.
ELSEWHERE = {
    "control/alerts/program.py": "the end is seen by Popen.poll, and the output of the program is not kept",
    "control/alerts/watch.py": "no signal is held back",
    "control/doctor/state_folder.py": "the check of users is left out",
    "control/run/sd_notify.py": WITHOUT,
    "control/run/unit_files.py": WITHOUT,
    "control/run/unit_install.py": WITHOUT,
    "control/tasks/owners.py": "no other user's tasks are looked for",
    "daemon/connection.py": "requests and events come by files",
    "daemon/core.py": "no user id is told",
    "daemon/folders.py": "the login name is a part of the folder's",
    "daemon/polls.py": "the memory is not told",
    "daemon/server.py": "requests come by files",
    "master/child.py": "Popen's own poll and signals; CTRL_BREAK asks for a stop",
    "master/guard.py": "no guard: the app's next call starts a dead child",
    "master/owner.py": "an app is not forked there",
    "subtask/engine/cli.py": "no signal is inherited there",
    "subtask/engine/stop_state.py": "no signal is held back",
    "subtask/snapshot/bak_folder.py": "folders have no modes there",
    "subtask/snapshot/file_blocks.py": "holes are copied as bytes; the sync writes all at its end",
    "subtask/watch/inotify.py": "watchdog",
    "subtask/watch/unmounted_folders.py": "a scan in turn",
    "transports/dropbox/http_session.py": "the kernel is not asked how many bytes are under way",
    "transports/ftp/data.py": "the kernel is not asked how many bytes are under way",
    "transports/shared/key_file.py": "no reason is given why the mode of a key cannot be changed",
    "transports/ssh/askpass.py": ASYNCSSH,
    "transports/ssh/askpass_pipes.py": ASYNCSSH,
    "transports/ssh/orphans.py": ASYNCSSH,
    "transports/ssh/process.py": ASYNCSSH,
    "transports/ssh/process_record.py": ASYNCSSH,
    "transports/ssh/socket_handover.py": ASYNCSSH,
    "transports/ssh/stream.py": ASYNCSSH,
    "transports/ssh/tcp_latency.py": ASYNCSSH,
}


def posix_names(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in NAMES.get(node.value.id, ()):
            found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name in MODULES}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module in MODULES:
            found.add(node.module)
    return found


def used_by_the_package() -> dict[str, set[str]]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        names = posix_names(ast.parse(path.read_text(encoding="utf-8")))
        if names:
            found[path.relative_to(PACKAGE).as_posix()] = names
    return found


@pytest.mark.slow
def test_calls_of_posix_stand_where_their_fallback_is():
    used = {name for name in used_by_the_package() if not name.startswith(("common/", "subtask/platform/", "testing/"))}
    assert used == set(ELSEWHERE)


@pytest.mark.parametrize("source", ["os.fork()", "import fcntl", "from pwd import getpwuid", "signal.SIGKILL", "select.poll()"])
def test_the_rule_sees_a_call_of_posix(source):
    assert posix_names(ast.parse(source))


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_types_are_clean_as_on(platform, tmp_path):
    """A call that the system lacks is an error of the types unless it stands behind a check of the platform."""
    words = [sys.executable, "-m", "mypy", "--platform", platform, "--cache-dir", str(tmp_path), "--no-error-summary"]
    run = subprocess.run(words, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=110)
    assert (run.returncode, run.stdout) == (0, "")


def test_every_file_is_opened_as_binary():
    """A descriptor that is opened without O_BINARY changes line ends on Windows. Folders are not opened there."""
    apart = {
        "common/own_files.py",
        "control/run/unit_files.py",
        "subtask/watch/unmounted_folders.py",
    }  # adds it itself; Linux alone
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in apart or name.startswith(("testing/", "transports/ssh/")):
            continue
        rows = path.read_text(encoding="utf-8").split("\n")
        for number, row in enumerate(rows):
            around = " ".join(rows[number : number + 4])
            if any(f"os.{flag}" in row for flag in ("O_RDONLY", "O_WRONLY", "O_RDWR")):
                found += [] if "O_BINARY" in around or "O_DIRECTORY" in around else [f"{name}:{number + 1}"]
    assert found == []
