"""The server: full, read-only, without its folder, unwilling, with another key or password, with few connections."""

from __future__ import annotations

import ftplib
import glob
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pysubtask.testing.servers.ftp import ftp_server
from pysubtask.testing.servers.sshd import OpenSSHServer, make_key

from .bench import Bench, Lab, Outcome
from .catalogue import NotHere, fault, fill, small_disk

_WAIT, _LONG_WAIT = 0.2, 3.0
_HOLD_SECS = 14.0


def _parked_then_well(
    bench: Bench, lab: Lab, times: int, put_wrong: Callable[[], object], put_right: Callable[[], object], what: str
) -> Outcome:
    """Each time: the good copy stays, the file is parked or held with a reason, and is delivered by itself afterwards."""
    survived, reason = 0, ""
    for _ in range(times):
        good = lab.chance.randbytes(30_000)
        bench.write("a.csv", good)
        bench.arrived("a.csv")
        bench.wait(bench.idle)
        put_wrong()
        bench.write("a.csv", lab.chance.randbytes(2_000_000))
        # Restarting the server is a problem, too, and not the one that is asked for.
        reported = bench.wait(lambda: bench.page().get("parked"), 5) or bench.wait(lambda: bench.page().get("problem"), 15)
        page = bench.page()
        rows = page.get("parked") or []
        reason = str(rows[0]["reason"] if rows else (page.get("problem") or {}).get("text", reason))
        path = bench.server / "a.csv"
        kept = not path.exists() or path.read_bytes() == good
        put_right()
        survived += bench.arrived("a.csv") and reported and kept
    return bench.outcome(
        times, survived, f"{what}; said: {reason[:120]!r}; the good copy stayed, delivered by itself when put right"
    )


@fault("server", "disk full")
def full(lab: Lab) -> Outcome:
    """The server's file system is full."""
    sshd = lab.sshd()
    disk = lab.stack.enter_context(small_disk(sshd.files / "small", 4 * 1024 * 1024))
    bench = lab.ssh_bench(sshd, folder="small/in")
    filler: list[Path] = []
    return _parked_then_well(
        bench,
        lab,
        6,
        lambda: filler.append(fill(disk, 4096 * lab.chance.randrange(3))),
        lambda: filler.pop().unlink(),
        "a tmpfs of 4 MiB with 0 to 2 pages left",
    )


@fault("server", "quota: files may not grow beyond a limit")
def quota(lab: Lab) -> Outcome:
    """The server's processes may not let a file grow beyond 1 MB (RLIMIT_FSIZE)."""
    sshd = lab.sshd(file_limit=1_000_000)
    bench = lab.ssh_bench(sshd)

    def right() -> None:
        _again(sshd, file_limit=None)

    def wrong() -> None:
        _again(sshd, file_limit=1_000_000)

    return _parked_then_well(bench, lab, 3, wrong, right, "RLIMIT_FSIZE of the server's processes")


def _again(sshd: OpenSSHServer, file_limit: int | None = None, deny: tuple[str, ...] = ()) -> None:
    sshd.stop()
    sshd._file_limit, sshd._deny = file_limit, deny
    sshd.start()


def _immutable(path: Path, on: bool, how: str = "i") -> None:
    program = shutil.which("chattr")
    if program is None:
        raise NotHere("chattr is not installed (apt-get install e2fsprogs); permissions do not bind root")
    done = subprocess.run([program, f"{'+' if on else '-'}{how}", str(path)], capture_output=True, text=True)
    if done.returncode and on:
        raise NotHere(f"chattr +{how} is not possible here: {done.stderr.strip()[:100]}")


def _locked(lab: Lab, pick: Callable[[Bench], Path], what: str) -> Outcome:
    bench = lab.ssh_bench(lab.sshd())
    bench.write("a.csv", b"x")
    bench.arrived("a.csv")
    path = pick(bench)
    try:
        return _parked_then_well(
            bench, lab, 4, lambda: _immutable(path_of(bench, path), True), lambda: _immutable(path_of(bench, path), False), what
        )
    finally:
        _immutable(path, False)


def path_of(bench: Bench, path: Path) -> Path:
    """The file may be another one by now, under the same name."""
    return path if path.exists() else bench.server


@fault("server", "permission denied on one file, rename over it refused")
def one_file(lab: Lab) -> Outcome:
    """The file on the server cannot be changed or replaced."""
    return _locked(lab, lambda bench: bench.server / "a.csv", "the file is immutable (chattr +i), which binds root, too")


@fault("server", "permission denied on the folder")
def folder(lab: Lab) -> Outcome:
    """The folder on the server takes no new name."""
    return _locked(lab, lambda bench: bench.server, "the folder is immutable (chattr +i)")


@fault("server", "every rename refused")
def rename(lab: Lab) -> Outcome:
    """The server refuses both kinds of rename."""
    sshd = lab.sshd()
    bench = lab.ssh_bench(sshd)
    return _parked_then_well(
        bench,
        lab,
        3,
        lambda: _again(sshd, deny=("rename", "posix-rename")),
        lambda: _again(sshd),
        "sftp-server -P rename,posix-rename",
    )


@fault("server", "read-only")
def read_only(lab: Lab) -> Outcome:
    """The server's file system is remounted read-only. NotHere where it cannot be."""
    sshd = lab.sshd()
    disk = lab.stack.enter_context(small_disk(sshd.files / "small", 16 * 1024 * 1024))
    bench = lab.ssh_bench(sshd, folder="small/in")

    def mount(how: str) -> None:
        deadline = time.monotonic() + 20
        while subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], capture_output=True).returncode:
            if time.monotonic() > deadline:  # busy: a file is open for writing
                raise NotHere(f"the file system cannot be remounted {how}")
            bench.pause(0.1)

    return _parked_then_well(bench, lab, 4, lambda: mount("ro"), lambda: mount("rw"), "the file system is remounted")


@fault("server", "folder removed")
def removed(lab: Lab) -> Outcome:
    """The folder on the server is removed while files are sent to it: what is notified afterwards arrives."""
    bench = lab.ssh_bench(lab.sshd())
    survived = 0
    for _ in range(10):
        for name in ("a.csv", "b.csv"):
            bench.write(name, lab.chance.randbytes(300_000))
        bench.pause(lab.chance.random() * 0.1)
        shutil.rmtree(bench.server, ignore_errors=True)
        # What was there already counts as delivered: somebody removed it. What is notified from now on arrives.
        for name in ("a.csv", "b.csv"):
            bench.write(name, lab.chance.randbytes(100_000))
        survived += bench.arrived("a.csv", "b.csv")
    return bench.outcome(10, survived, "at random moments with uploads under way; made again, and what is notified then arrives")


# ---- logins


def _tries_held(
    bench: Bench, lab: Lab, count: Callable[[], int], put_wrong: Callable[[], object], put_right: Callable[[], object], what: str
) -> Outcome:
    """Counts logins while it is wrong: at most two, and one more for each RetryLongWaitSecs."""
    bench.write("a.csv", lab.chance.randbytes(1000))
    bench.arrived("a.csv")
    put_wrong()
    before, begun = count(), time.monotonic()
    bench.write("a.csv", lab.chance.randbytes(1000))
    bench.write("b.csv", lab.chance.randbytes(1000))
    held = bench.wait(lambda: bench.page().get("state") == "held", 30)
    while time.monotonic() - begun < _HOLD_SECS:
        bench.pause(1.0)
    tries, lasted = count() - before, time.monotonic() - begun
    kinds = bench.kinds()
    reason, reported = str(bench.page().get("why")), kinds["login_refused"] + kinds["server_not_trusted"] > 0
    put_right()
    fixed = time.monotonic()
    well = bench.arrived("a.csv", "b.csv", secs=_LONG_WAIT * 20 + 20)
    allowed = 2 + int(lasted / _LONG_WAIT)
    event = "login_refused" if kinds["login_refused"] else "server_not_trusted"
    note = (
        f"{what}: {tries} tries in {lasted:.0f} s (allowed: {allowed}; RetryLongWaitSecs {_LONG_WAIT:.0f}); state held, "
        f"event {event}, said: {reason[:90]!r}; well {time.monotonic() - fixed:.0f} s after it was put right"
    )
    return bench.outcome(1, int(well and held and reported and 0 < tries <= allowed), note)


def _logins_of(sshd: OpenSSHServer) -> Callable[[], int]:
    return lambda: len(re.findall(r"^Connection from ", sshd.log(), re.MULTILINE))


@fault("server", "host key changed")
def host_key(lab: Lab) -> Outcome:
    """The server has other host keys: the child does not log in, and asks rarely."""
    sshd = lab.sshd()
    bench = lab.ssh_bench(sshd, RetryWaitSecs=_WAIT, RetryLongWaitSecs=_LONG_WAIT)
    keys = [sshd.root / name for name in ("host_ed25519", "host_ed25519.pub", "host_ecdsa", "host_ecdsa.pub")]

    def wrong() -> None:
        sshd.stop()
        for key in keys:
            key.rename(key.with_name(f"old.{key.name}"))
        make_key(sshd.root / "host_ed25519", "ed25519")
        make_key(sshd.root / "host_ecdsa", "ecdsa")
        sshd.start()

    def right() -> None:
        sshd.stop()
        for key in keys:
            key.with_name(f"old.{key.name}").replace(key)
        sshd.start()

    return _tries_held(
        bench,
        lab,
        lambda: Path(bench.notes, "child.log").read_text().count("! Everything is held"),
        wrong,
        right,
        "OpenSSH with new host keys; a try asks for each kind of key in a connection of its own, and none of "
        "them comes to the login",
    )


@fault("server", "login refused: the key is not accepted any more")
def login_key(lab: Lab) -> Outcome:
    """The server takes the key no more: the child asks rarely, and goes on when it is taken again."""
    sshd = lab.sshd()
    bench = lab.ssh_bench(sshd, RetryWaitSecs=_WAIT, RetryLongWaitSecs=_LONG_WAIT)
    allowed = sshd.root / "authorized_keys"
    kept = allowed.read_text()

    def wrong() -> None:
        allowed.write_text("")
        for pid in sshd.session_pids():
            subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)

    return _tries_held(bench, lab, _logins_of(sshd), wrong, lambda: allowed.write_text(kept), "authorized_keys emptied")


@fault("server", "wrong password")
def password(lab: Lab) -> Outcome:
    """The password is wrong: the child logs in rarely, and goes on with the right one."""
    ftpd = lab.stack.enter_context(ftp_server(lab.root / "ftpd"))
    login = ftpd.settings(StallSecs=3, ConnectTimeoutSecs=8)
    bench = lab.bench(ftpd.files, login, RetryWaitSecs=_WAIT, RetryLongWaitSecs=_LONG_WAIT)
    right = ftpd.password

    def wrong() -> None:
        bench.master.stop(forcekill=True)
        bench.again(Password="not the password")

    # Put right where it was wrong: the settings here, while the account stays what it was.
    return _tries_held(
        bench, lab, lambda: ftpd.counts["PASS"], wrong, lambda: bench.again(Password=right), "FTP, counted at the server"
    )


# ---- few connections


@fault("server", "max connections reached: FTP 421")
def busy(lab: Lab) -> Outcome:
    """Somebody else has the only session of an FTP server: its 421 is no refused login."""
    ftpd = lab.stack.enter_context(ftp_server(lab.root / "ftpd", max_sessions=1))
    bench = lab.bench(ftpd.files, ftpd.settings(StallSecs=3, ConnectTimeoutSecs=8, DeadTimeMilli=100))
    survived, reason = 0, ""
    for _ in range(5):
        bench.wait(lambda: not ftpd.sessions, 20)
        with ftplib.FTP() as other:
            other.connect(ftpd.host, ftpd.port, 10)
            other.login(ftpd.user, ftpd.password)
            bench.write("a.csv", lab.chance.randbytes(1000))
            bench.wait(lambda: bench.page().get("problem"), 20)
            reason = str((bench.page().get("problem") or {}).get("text", reason))
        survived += bench.arrived("a.csv")
    return bench.outcome(
        5,
        survived,
        f"somebody else has the only place; said: {reason[:100]!r}; no login counts as refused: "
        f"{bench.kinds()['login_refused'] == 0}",
    )


@fault("server", "connection limit 1")
def one_connection(lab: Lab) -> Outcome:
    """An FTP server with one session at a time: 60 files arrive, one after the other."""
    ftpd = lab.stack.enter_context(ftp_server(lab.root / "ftpd", max_sessions=1))
    bench = lab.bench(ftpd.files, ftpd.settings(StallSecs=3, ConnectTimeoutSecs=8))
    names = [f"box/f{number}" for number in range(60)]
    for name in names:
        bench.write(name, lab.chance.randbytes(20_000))
    return bench.outcome(1, int(bench.arrived(*names)), "60 files through the only connection, Connections 4 asked for")


@fault("server", "sessions refused: MaxSessions 0")
def sessions(lab: Lab) -> Outcome:
    """sshd takes the login and opens no session."""
    sshd = lab.sshd()
    bench = lab.ssh_bench(sshd, folder="in")
    survived, reason = 0, ""
    for limit in (0, 0, 0):
        sshd.stop()
        sshd._max_sessions = limit
        sshd.start()
        bench.write("a.csv", lab.chance.randbytes(1000))
        bench.wait(lambda: bench.page().get("problem"), 20)
        reason = str((bench.page().get("problem") or {}).get("text", reason))
        sshd.stop()
        sshd._max_sessions = 10
        sshd.start()
        survived += bench.arrived("a.csv")
    return bench.outcome(3, survived, f"said: {reason[:120]!r}; delivered when there was room")


# ---- the clock


@fault("server", "its clock a day off")
def clock(lab: Lab) -> Outcome:
    """The server's clock is a day behind or ahead (libfaketime). NotHere where that is not installed."""
    library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
    if library is None:
        raise NotHere("libfaketime is not installed (apt-get install faketime)")
    sshd = lab.sshd()
    survived, tried = 0, 0
    bench = lab.ssh_bench(sshd)
    for jump in ("-1d", "+1d", "+0"):
        script = sshd.root / "sftp.sh"
        sshd.stop()
        sshd.start()
        script.write_text(f"export LD_PRELOAD={library} FAKETIME={jump}\n{script.read_text()}")
        for name in ("a.csv", "b.csv", "a.csv"):
            bench.write(name, lab.chance.randbytes(5000))
            tried += 1
            survived += bench.arrived(name)
        bench.write("a.csv", b"grown\n", more=True)
        bench.notify("a.csv")
        tried += 1
        survived += bench.arrived("a.csv")
    return bench.outcome(
        tried,
        survived,
        "sftp-server under libfaketime a day behind, a day ahead, right again; the child's own: "
        "tests/e2e/test_lifecycle.py::test_a_clock_set_by_a_day_delays_nothing",
    )
