"""A real vsftpd on loopback, as the user who runs the test: own files, own certificate, own log.

::

    with vsftpd_server(tmp_path, tls="explicit") as server:
        transport = FTPTransport(server.settings(), workdir)

``missing()`` says why there can be none. It takes anonymous logins only, which need no account of the system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._certificate import Certificate, make_certificate
from ._processes import descendants
from ._settings import ftp_settings
from .ports import OwnPorts

_START_SECS = 20.0
_END_SECS = 10.0
_DATA_PORTS = 40


def find_program() -> str | None:
    """The path of vsftpd; None where it is not installed."""
    return shutil.which("vsftpd") or shutil.which("vsftpd", path="/usr/sbin:/usr/local/sbin:/sbin")


def missing() -> str | None:
    """The reason why no vsftpd can be started here; None when it can."""
    return None if find_program() is not None else "vsftpd is not installed (apt-get install vsftpd)"


class VsftpdServer(OwnPorts):
    """A running vsftpd. ``files`` is the folder that a login starts in; ``data_ports`` its passive ports."""

    def __init__(
        self, root: Path, tls: str | None, tls_version: str | None, file_limit: int | None, options: dict[str, Any]
    ) -> None:
        self.root = root
        self.files = root / "files"
        self.host = "127.0.0.1"
        self.port = 0
        self.data_ports = range(0)
        self.tls = tls
        self.certificate: Certificate | None = None
        self._tls_version = tls_version
        self._file_limit = file_limit
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.files.mkdir(parents=True, exist_ok=True)
        if tls is not None:
            self.certificate = make_certificate(root / "tls")

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of an FTPTransport that logs in here and verifies the certificate."""
        settings = ftp_settings(
            self.host,
            self.port,
            "anonymous",
            "nobody@localhost",
            tls=self.tls,
            certificate=self.certificate,
            folder=str(self.files),
        )
        return {**settings, **more}

    def start(self) -> None:
        """Start vsftpd; the second time on the ports it had. RuntimeError where it does not answer."""
        if sys.platform == "win32":
            raise NotImplementedError
        program = find_program()
        assert program is not None
        for _ in range(5):
            ports = self._take_ports(_DATA_PORTS + 1)
            self._write_config(ports)
            environment = {**os.environ, "OPENSSL_CONF": str(self.root / "openssl.cnf")}
            with open(self.root / "stderr", "ab") as log:
                self._process = subprocess.Popen(
                    self._command(program),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=environment,
                )
            if self._answers(ports[0]):
                self.port, self.data_ports = ports[0], ports[1:]
                return
            self._end(signal.SIGKILL)
            if not self.port:
                self._leave_ports()
        raise RuntimeError(f"vsftpd does not start: {(self.root / 'stderr').read_text()[-2000:]}")

    def stop(self) -> None:
        """End vsftpd and every session it serves. ``start`` works again."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End vsftpd and every session it serves with SIGKILL, at once."""
        if sys.platform == "win32":
            raise NotImplementedError
        self._end(signal.SIGKILL)

    def session_pids(self) -> list[int]:
        """The living processes of its sessions."""
        return descendants(self._process.pid) if self._process is not None else []

    def log(self) -> str:
        """Every command and answer so far."""
        path = self.root / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def _command(self, program: str) -> list[str]:
        command = [program, str(self.root / "vsftpd.conf")]
        if self._file_limit is None:
            return command
        # Ignored, SIGXFSZ becomes EFBIG: what a full disk looks like. The unit is 512 bytes (POSIX ulimit).
        limits = f"trap '' XFSZ; ulimit -f {max(1, self._file_limit // 512)}; exec \"$@\""
        return ["/bin/sh", "-c", limits, "sh", *command]

    def _write_config(self, ports: range) -> None:
        yes, no = "YES", "NO"
        options: dict[str, Any] = {
            "listen": yes,
            "listen_ipv6": no,
            "listen_address": self.host,
            "listen_port": ports[0],
            "background": no,
            "run_as_launching_user": yes,
            "pasv_min_port": ports[1],
            "pasv_max_port": ports[-1],
            "pasv_promiscuous": yes,
            "anonymous_enable": yes,
            "local_enable": no,
            "no_anon_password": yes,
            "write_enable": yes,
            "anon_root": self.files,
            "anon_upload_enable": yes,
            "anon_mkdir_write_enable": yes,
            "anon_other_write_enable": yes,
            "anon_world_readable_only": no,
            "anon_umask": "022",
            "seccomp_sandbox": no,
            "isolate": no,
            "isolate_network": no,
            "xferlog_enable": yes,
            "vsftpd_log_file": self.root / "log",
            "log_ftp_protocol": yes,
            "use_localtime": no,
            "connect_from_port_20": no,
            "max_clients": 100,
            "max_per_ip": 100,
        }
        if self.certificate is not None:
            options |= {
                "ssl_enable": yes,
                "allow_anon_ssl": yes,
                "force_anon_logins_ssl": yes,
                "force_anon_data_ssl": yes,
                "ssl_tlsv1": yes,
                "ssl_sslv2": no,
                "ssl_sslv3": no,
                "ssl_ciphers": "HIGH",
                "require_ssl_reuse": yes,
                "strict_ssl_read_eof": yes,
                "rsa_cert_file": self.certificate.whole,
                "implicit_ssl": yes if self.tls == "implicit" else no,
            }
        words = "".join(f"{key}={value}\n" for key, value in {**options, **self._options}.items())
        (self.root / "vsftpd.conf").write_text(words)
        bounds = ""
        if self._tls_version is not None:
            bounds = f"MinProtocol = TLSv{self._tls_version}\nMaxProtocol = TLSv{self._tls_version}\n"
        head = "openssl_conf = all\n[all]\nssl_conf = modules\n[modules]\nsystem_default = here\n[here]\n"
        (self.root / "openssl.cnf").write_text(f"{head}{bounds}CipherString = DEFAULT\n")

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((self.host, port), timeout=2) as probe:
                if self.tls == "implicit" or probe.recv(3) == b"220":
                    # Another server may have had the port first; this process would have ended then.
                    return self._process.poll() is None
            time.sleep(0.01)
        return False

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        pids = [process.pid, *descendants(process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        try:
            process.wait(_END_SECS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def vsftpd_server(
    root: str | os.PathLike[str],
    *,
    tls: str | None = None,
    tls_version: str | None = None,
    file_limit: int | None = None,
    **options: Any,
) -> Iterator[VsftpdServer]:
    """A running vsftpd whose files are in ``root``/files; ended with everything it serves at the end.

    ``tls``: "explicit" or "implicit"; sessions must then be reused for data connections, vsftpd's default, and
    data must end with a close_notify. ``tls_version``: "1.2" or "1.3" alone. ``file_limit``: bytes a file may have
    at most (RLIMIT_FSIZE), which fails like a full disk. ``options``: lines of vsftpd.conf.
    """
    server = VsftpdServer(Path(root).absolute(), tls, tls_version, file_limit, options)
    try:
        server.start()
        yield server
    finally:
        server.close()
