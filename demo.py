"""Try pysubtask by hand: ``python demo.py``.

Its commands append made-up data to the files below and notify the subtask, which uploads them: to the server
or Dropbox set in demo_config.py or, where none is set, to a small SFTP server that this demo runs itself.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import os
import queue
import random
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pysubtask import ChildStatus, TaskMaster
    from pysubtask.testing import SFTPServer

watchfilesdirs = [
    {"file": "logs/test1.mrk"},  # Regular, no burstmode
    {"file": "logs/test1.csv", "burstmode": True},
    {"dir": "logs/watch_all_in_here"},
]

# The demo makes these where they are missing, and appends to them. Files you add above are notified, never written.
DEMO_FILES = ("logs/test1.mrk", "logs/test1.csv")
DEMO_DIR = "logs/watch_all_in_here"
HEADER = "time,value_1,value_2,value_3\n"

SERVER_DIR = "logs/server"
SERVER_KEYS = "logs/.demo_server"  # keys and port of the demo's own server: the same ones every time

COMMANDS = """
'x' = Exit demo.py
'a' = Notify subtask of all files ready with new data
0-n = Notify subtask of a specific file in list (by index num) ready with new data
'c' = Check for pending data (from ending on a Burst) and notify it if it exists
'r' = Reset the subtask (complete shutdown and restart of the subtask process)
's' = Status: what is queued, moving, delivered, and what went wrong
"""
PROMPT = "Enter cmd (x | r | a | c | s | 0-n):"
EXIT = "x"
CHECK_SECS = 1.0

OK, FAILED, BAD_CONFIG = 0, 1, 2


class Stop(Exception):
    """The demo cannot go on: one line that says why, and the exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def not_installed(exc: ImportError, extra: str = "demo") -> Stop:
    return Stop(f"{exc.name or exc} is not installed. In this folder run:  pip install -e '.[{extra}]'", FAILED)


def say(text: str = "") -> None:
    with contextlib.suppress(OSError):  # the terminal is gone: the rest is done all the same
        print(text, flush=True)


def leave_a_terminal_that_is_gone() -> None:
    """What was printed for it and is still in a buffer must not fail the exit (Python then ends with 120)."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


# ---- data


def make_missing() -> None:
    """The demo's own files and folder, where somebody removed them."""
    os.makedirs(DEMO_DIR, exist_ok=True)
    for path in DEMO_FILES:
        with open(path, "a", encoding="ascii", newline="") as file:
            if not file.tell():
                file.write(HEADER)


def append_data(path: str) -> None:
    """One line of made-up data."""
    now = datetime.datetime.now().isoformat(" ", "milliseconds")
    values = [random.uniform(15, 25), random.uniform(40, 60), random.uniform(990, 1030)]
    line = ",".join([now, *(f"{value:.2f}" for value in values)])
    try:
        make_missing()
        with open(path, "a", encoding="ascii", newline="") as file:
            file.write(line + "\n")
        say(f"  {path} + {line}")
    except OSError as exc:
        say(f"ERROR: [{path}] cannot be written: {exc.strerror}")


# ---- where to


def load_config() -> Any:
    """The module demo_config."""
    try:
        import demo_config
    except ImportError as exc:
        raise not_installed(exc) from exc
    except Exception as exc:  # whatever can go wrong in a file edited by hand
        where = f", line {exc.lineno}" if isinstance(exc, SyntaxError) else ""
        raise Stop(f"demo_config.py{where}: {exc}", BAD_CONFIG) from exc
    return demo_config


def uses_ftp(config: Any) -> bool:
    ftp = getattr(config, "ftp", None)
    use: bool | None = getattr(ftp, "UseFTP", None)
    return bool(getattr(ftp, "Host", "")) if use is None else use


def uses_dropbox(config: Any) -> bool:
    dropbox = getattr(config, "dropbox", None)
    use: bool | None = getattr(dropbox, "UseDropbox", None)
    tokens = [getattr(dropbox, key, None) for key in ("RefreshToken", "RefreshTokenFile", "AccessToken")]
    return any(str(token or "").strip("*") for token in tokens) if use is None else use


def needs_server(config: Any) -> bool:
    ftp = getattr(config, "ftp", None)
    use = getattr(ftp, "UseFTP", None)
    return not getattr(ftp, "Host", "") and use is not False and (use is True or not uses_dropbox(config))


def start_server() -> SFTPServer:
    """An SFTP server on this machine that stores into SERVER_DIR, if possible on the port it had the last time."""
    from pysubtask import ConfigError
    from pysubtask.testing import sftp_server

    port_file = os.path.join(SERVER_KEYS, "port")
    try:
        port = 0
        with contextlib.suppress(OSError, ValueError), open(port_file, encoding="ascii") as file:
            port = int(file.read())
        try:
            server = sftp_server(SERVER_DIR, keys=SERVER_KEYS, port=port)
        except (OSError, OverflowError):
            server = sftp_server(SERVER_DIR, keys=SERVER_KEYS)
        with open(port_file, "w", encoding="ascii") as file:
            file.write(f"{server.port}\n")
    except ConfigError as exc:
        raise not_installed(exc.__cause__) if isinstance(exc.__cause__, ImportError) else exc from exc
    except (OSError, RuntimeError, ValueError) as exc:
        raise Stop(f"The demo's own SFTP server does not start ({exc}). It may help to remove {SERVER_KEYS}/.", FAILED) from exc
    return server


def with_account(config: Any, account: dict[str, Any]) -> dict[str, Any]:
    """``config`` with ``account`` laid over its ftp section; the config itself is left as it is."""
    from pysubtask import Section

    sections: dict[str, Any] = {name: value for name, value in vars(config).items() if isinstance(value, Section)}
    ftp = sections.get("ftp", Section())
    sections["ftp"] = {**{key: getattr(ftp, key) for key in ftp}, "Password": None, "HostPath": "", "HostSFTPPath": None, **account}
    return sections


def find_sdk() -> None:
    """Stop where Dropbox's SDK is not installed; it is loaded by the child alone."""
    try:
        found = importlib.util.find_spec("dropbox")
    except ImportError:
        found = None
    if found is None:
        raise not_installed(ModuleNotFoundError(name="dropbox"), "dropbox")


# ---- keys


class Lines:
    """What is typed or piped in, by the line. The end of it (Ctrl-D) is the command x."""

    def __init__(self) -> None:
        self._rest = b""
        self._queue: queue.SimpleQueue[str] | None = None
        if sys.platform == "win32" and sys.stdin is not None:  # its select takes sockets only
            self._queue = queue.SimpleQueue()
            threading.Thread(target=self._pump, args=(self._queue,), daemon=True).start()

    def take(self, secs: float) -> list[str]:
        """The lines that came, after waiting ``secs`` seconds at most."""
        if sys.stdin is None:
            return [EXIT]
        if self._queue is not None:
            try:
                return [self._queue.get(timeout=secs)]
            except queue.Empty:
                return []
        fd = sys.stdin.fileno()
        if not select.select([fd], [], [], secs)[0]:
            return []
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""  # the terminal is gone
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            lines = [self._rest, EXIT.encode()] if self._rest else [EXIT.encode()]
        return [line.decode("utf-8", "replace").strip() for line in lines]

    @staticmethod
    def _pump(lines: queue.SimpleQueue[str]) -> None:
        for line in sys.stdin:
            lines.put(line.strip())
        lines.put(EXIT)


# ---- status


def clock(at: str) -> str:
    """A time of the status page (UTC) as the time of day here."""
    return datetime.datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S")


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def status_lines(child: ChildStatus) -> list[str]:
    """One child's status for people."""
    page: dict[str, Any] = child.page or {}
    destination = page.get("destination", child.extension)
    if child.pid is not None and page.get("pid") != child.pid:
        page = {}  # an earlier child's: the new one has not written its own yet
    queued = page.get("queue", {})
    state = page.get("state", "starting") if child.alive else f"not running ({child.last_exit or 'stopped'})"
    why = page.get("why") if child.alive else ""
    if child.next_restart_in is not None:
        why = f"next start in {child.next_restart_in:.0f} s"
    rows = {
        "destination": destination,
        "state": state + (f": {why}" if why else ""),
        "queued": f"{counted(queued.get('waiting', 0), 'file')}, {counted(queued.get('bytes', 0), 'byte')}",
        "delivered": f"{counted(page.get('delivered', 0), 'file')}, {counted(page.get('bytes_sent', 0), 'byte')}"
        + (f", since {clock(page['started_at'])}" if "started_at" in page else ""),
        "last delivery": "none yet",
        "last error": "none",
        "moving": ", ".join(f"{row['name']} ({row['done']:,} of {row['size']:,})" for row in page.get("moving", [])) or "nothing",
    }
    if last := page.get("last_delivery"):
        rows["last delivery"] = f"{last['name']} ({counted(last['size'], 'byte')}) at {clock(last['at'])}"
    if error := page.get("last_error"):
        text = "as above" if error["text"] == why else error["text"]
        rows["last error"] = f"{text}, at {clock(error['at'])}"
    if parked := page.get("parked"):
        rows["parked"] = ", ".join(row["name"] for row in parked)
    return [f"  {name + ':':15}{value}" for name, value in rows.items()]


# ---- the shell


class Shell:
    """Runs commands on a master until x."""

    def __init__(self, master: TaskMaster) -> None:
        self._master = master
        entries: Any = watchfilesdirs
        self._files = [entry["file"] for entry in entries if "file" in entry]
        self._seen = self._pages()

    def run(self) -> None:
        say(COMMANDS)
        for index, path in enumerate(self._files):
            say(f"  {index} = {path}")
        say(f"  Or copy any file into {DEMO_DIR}/\n")
        self._master.start(precleanup_old_files=True)
        lines = Lines()
        say(PROMPT)
        while True:
            for line in lines.take(CHECK_SECS):
                if line == EXIT:
                    return
                self.command(line)
                say(PROMPT)
            self._master.check_pending_notifications()
            self._prompt_again()

    def command(self, line: str) -> None:
        if line == "a":
            for path in self._files:
                self._append(path)
            self._master.notify_all_files()
        elif line.isascii() and line.isdecimal() and len(line) < 10:
            index = int(line)
            if index < len(self._files):
                self._append(self._files[index])
            self._master.notify_file_by_index(index)
        elif line == "c":
            self._master.check_pending_notifications()
        elif line == "r":
            self._master.reset()
        elif line == "s":
            for child in self._master.status().children:
                for row in status_lines(child):
                    say(row)
        elif line:
            say(f"ERROR: [{line}] Unknown cmd!")

    def _append(self, path: str) -> None:
        if path in DEMO_FILES:
            append_data(path)

    def _prompt_again(self) -> None:
        """Show the prompt below whatever the subtask has logged meanwhile."""
        pages = self._pages()
        if pages != self._seen:
            say(PROMPT)
        self._seen = pages

    def _pages(self) -> list[tuple[Any, Any]]:
        """Up to which event each child has told of itself."""
        pages = [child.page or {} for child in self._master.status().children]
        return [(page.get("epoch"), page.get("n")) for page in pages]


def stop(master: TaskMaster) -> None:
    say("Stopping. What is queued is sent first; Ctrl-C stops at once.")
    try:
        master.stop(forcekill=False)
    except KeyboardInterrupt:
        master.stop(forcekill=True)


def demo() -> None:
    try:
        from pysubtask import ConfigError, TaskMaster
    except ImportError as exc:
        raise not_installed(exc) from exc
    config = load_config()
    to_dropbox = uses_dropbox(config)
    if to_dropbox:
        find_sdk()
    try:
        make_missing()
    except OSError as exc:
        raise Stop(f"The test data cannot be made: {exc}", FAILED) from exc
    try:
        with contextlib.ExitStack() as stack:
            if needs_server(config):
                server = stack.enter_context(start_server())
                config = with_account(config, server.settings())
                say(f"demo_config.py names no server, so this demo runs its own SFTP server: {server.host}, port {server.port}.")
                say(f"What is uploaded appears in {SERVER_DIR}/")
            elif uses_ftp(config):
                say("Uploads go to the server that demo_config.py names.")
            if to_dropbox:
                say("Uploads go to the Dropbox of the token in demo_config.py.")
            master = TaskMaster(watchfilesdirs, config, LogToConsole=True)
            try:
                Shell(master).run()
            except KeyboardInterrupt:
                say()
            finally:
                stop(master)
    except ConfigError as exc:
        raise Stop(f"demo_config.py: {exc}", BAD_CONFIG) from exc


def end_politely(number: int, frame: object) -> None:
    """As Ctrl-C does, but once: a terminal that is closed may say so twice."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """The exit status: 0 ended by x, Ctrl-C or Ctrl-D; 1 something is missing here; 2 demo_config.py is wrong."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a clone runs without pip's check
        say("pysubtask needs Python 3.11 or newer; this is {}.{}.".format(*sys.version_info))
        return FAILED
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end_politely)
    try:
        demo()
    except KeyboardInterrupt:
        pass
    except Stop as exc:
        print(f"ERROR: {exc}", file=sys.stderr)
        return exc.status
    finally:
        leave_a_terminal_that_is_gone()
    return OK


if __name__ == "__main__":
    sys.exit(main())
