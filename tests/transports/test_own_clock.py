"""A clock that is wrong is reported as such, and nothing is held, pinned, forgotten or given up for it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest

from pysubtask.common.errors import ServerNotTrusted, TransportLost
from pysubtask.delivery_rules.retry import Policy, decide
from pysubtask.testing.servers._certificate import make_certificate
from pysubtask.testing.servers.ftp import FTPServer, Oddities
from pysubtask.transports.ftp import FTPTransport
from pysubtask.transports.shared import reach, swap_record
from pysubtask.transports.shared.swap_record import SwapRecord
from pysubtask.transports.ssh.errors import verdict

NOW = 1_796_000_000.0


def at(monkeypatch: pytest.MonkeyPatch, module: str, now: float) -> None:
    monkeypatch.setattr(f"pysubtask.transports.{module}.time", SimpleNamespace(time=lambda: now))


@pytest.mark.parametrize(
    ("code", "now", "blamed"),
    [(9, 20.0, True), (9, NOW, True), (10, 20.0, True), (10, NOW, False), (18, 20.0, False), (62, NOW, False)],
)
def test_whose_fault_a_certificate_is(code: int, now: float, blamed: bool):
    found = reach.not_valid_now(code, now)
    assert (found is not None) == blamed
    if found is not None:
        assert "this machine's clock says" in found.cause and "timedatectl" in found.remedy
        assert ("1970" in found.cause and "cannot be right" in found.cause) == (now < NOW)
        assert "pin" not in str(found).lower() and "Fingerprint" not in str(found)
        policy = Policy(5, 1.0, 3.0, 20.0)
        assert {decide(n, found, policy, 0.0).action for n in range(1, 20)} == {"wait"}
        assert max(decide(n, found, policy, 0.0).secs for n in range(1, 20)) == 3.0


def test_a_server_whose_certificate_is_not_valid_yet(tmp_path: Path):
    server = FTPServer(tmp_path / "files", "127.0.0.1", "explicit", None, Oddities())
    certificate = server.certificate = make_certificate(tmp_path / "tls", "localhost", ("127.0.0.1",), (2, 10))
    server.start()
    try:
        for trusted in (str(certificate.file), None):
            transport = FTPTransport(server.settings(CAFile=trusted), str(tmp_path / "work"))
            with pytest.raises(TransportLost if trusted else ServerNotTrusted) as failed:
                asyncio.run(transport.connect())
            assert ("this machine's clock says" in str(failed.value)) == bool(trusted)
            assert ("TLSFingerprint" in str(failed.value)) != bool(trusted)
    finally:
        server.stop()


def test_dropbox_with_a_clock_of_1970(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("dropbox")
    requests = pytest.importorskip("requests")
    from pysubtask.transports.dropbox import verdict as of_dropbox

    bad = ssl.SSLCertVerificationError("certificate is not yet valid")
    for code, kind in ((9, TransportLost), (20, ServerNotTrusted)):
        bad.verify_code = code
        error = of_dropbox.verdict(requests.exceptions.SSLError(SimpleNamespace(reason=bad), bad), 0.0)
        assert type(error) is kind and ("clock" in str(error)) == (code == 9)


@pytest.mark.parametrize(
    ("now", "validity", "blamed"),
    [(20.0, "not yet valid", True), (NOW, "not yet valid", True), (20.0, "expired", True), (NOW, "expired", False)],
)
def test_a_host_certificate(monkeypatch: pytest.MonkeyPatch, now: float, validity: str, blamed: bool):
    at(monkeypatch, "ssh.errors", now)
    words = f"Certificate invalid: {validity}\nNo ED25519-CERT host key is known for h and you have requested strict checking.\n"
    error = verdict(f"{words}Host key verification failed.\n", 255)
    assert type(error) is (TransportLost if blamed else ServerNotTrusted)


def test_what_was_put_aside_before_the_clock_was_set_is_known(tmp_path: Path):
    record = SwapRecord(str(tmp_path), "me")
    record.add(b".a", b"a", 20.0)
    assert not record.is_over(20.0, 30.0) and not record.is_over(20.0, NOW) and not record.is_over(NOW, 30.0)
    assert record.is_over(NOW - swap_record._KEEP_SECS - 1, NOW) and not record.is_over(NOW - 60, NOW)
    record.add(b".b", b"b", NOW)
    assert SwapRecord(str(tmp_path), "me").asides == {b".a": (b"a", NOW), b".b": (b"b", NOW)}
