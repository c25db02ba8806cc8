"""The one filter for secrets: whatever a library quotes, no secret that is known stands in the text of an error."""

from __future__ import annotations

import base64
import io
import sys
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pysubtask.common import redact
from pysubtask.common.config import Section, resolve
from pysubtask.common.errors import FileRefused, LoginRefused, PysubtaskError, TransportLost
from pysubtask.common.logs import close_logging, setup_logging
from pysubtask.common.redact import MASK, know, know_settings, redacted, secrets_of_url
from pysubtask.transports.dropbox.http_session import make_session
from pysubtask.transports.shared.proxy_url import quoted_login


def test_nothing_known_nothing_masked():
    assert redacted("a password") == "a password"


@pytest.mark.parametrize("secret", ["hunter2-x", "pa#ssw0rd", "Secret/99", "a b?c@d", "über$'\"\\%h", "100%25", "%41bc"])
@pytest.mark.parametrize(
    "write",
    [
        str,
        repr,
        lambda secret: quote(secret, safe=""),
        quote,
        quote_plus,
        lambda secret: f"http://u:{secret}@h:1/x",
        lambda secret: "Basic " + base64.b64encode(f"user:{secret}".encode()).decode(),
    ],
)
def test_a_secret_is_found_in_every_form(secret, write):
    know_settings({"Proxy": f"http://user:{secret}@127.0.0.1:1"})
    text = redacted(f"cannot reach {write(secret)} now")
    assert MASK in text and text.startswith("cannot reach") and text.endswith("now")
    for form in (secret, quote(secret, safe=""), base64.b64encode(f"user:{secret}".encode()).decode()):
        assert form not in text


@pytest.mark.parametrize("kind", [PysubtaskError, TransportLost, FileRefused, LoginRefused])
def test_errors_of_this_package_never_tell(kind):
    know(["hunter2-x"])
    error = kind("login with hunter2-x failed")
    assert str(error) == f"{error}" == f"login with {MASK} failed"


def test_a_short_secret_is_masked_where_it_stands_alone():
    know(["pi"])
    assert redacted("user pi, folder /home/pi/pictures, pieces, 'pi'") == f"user {MASK}, folder /home/pi/pictures, pieces, '{MASK}'"


def test_the_mask_of_a_secret_that_is_a_word_of_ours_hides_it():
    know_settings({"Password": "password", "Proxy": "http://me:password@h:1"})
    assert redacted("no password for me:password") == f"no password for {MASK}"


def test_settings_and_tokens():
    know_settings({"Password": "pass-1234", "AccessToken": "token-1234", "PasswordFile": "/file", "Host": "host-name", "Rate": 5})
    know_settings({"Host": "ftp://me:url-1234@h/x"})
    assert redacted("url-1234") == MASK
    assert redacted("pass-1234 token-1234 /file host-name 5") == f"{MASK} {MASK} /file host-name 5"


def test_whoever_resolves_settings_knows_their_secrets():
    from pysubtask import defaults_config

    resolve(defaults_config.SETTINGS, defaults_config, {"ftp": Section("", Host="h", Password="pass-5678")}, "ftp")
    assert redacted("said pass-5678") == f"said {MASK}"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://u:pa#ss@h:1", ["pa#ss", "u:pa#ss"]),
        ("http://u:a/b?c@d@h", ["a/b?c@d", "u:a/b?c@d"]),
        ("http://h:1", []),
        ("http://u@h", []),
        ("u:p@h", ["p", "u:p"]),
        ("", []),
        ("http://u:@h", []),
    ],
)
def test_the_login_in_a_url(url, found):
    assert secrets_of_url(url) == found


@pytest.mark.parametrize(
    ("url", "quoted"),
    [
        ("http://user:pa#ssw0rd@127.0.0.1:1", "http://user:pa%23ssw0rd@127.0.0.1:1"),
        ("http://user:Secret/99@h:1", "http://user:Secret%2F99@h:1"),
        ("http://u:a?b c@d@h", "http://u:a%3Fb%20c%40d@h"),
        ("http://u:pa%23ss@h:1", "http://u:pa%23ss@h:1"),
        ("http://u:100%@h", "http://u:100%25@h"),
        ("http://h:3128", "http://h:3128"),
        ("u:p#q@h:1", "u:p%23q@h:1"),
    ],
)
def test_a_proxys_login_is_written_so_that_it_ends_where_it_ends(url, quoted):
    assert quoted_login(url) == quoted
    assert quoted_login(quoted) == quoted


@pytest.mark.parametrize("password", ["pa#ssw0rd", "Secret/99", "que?ry", "a@b", "sp ace", "100%"])
@pytest.mark.parametrize("of", ["setting", "environment"])
def test_no_part_of_a_proxys_password_in_an_error(password, of, monkeypatch):
    pytest.importorskip("dropbox")
    from pysubtask.transports.dropbox.verdict import verdict

    url = f"http://user:{password}@127.0.0.1:1"
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    if of == "environment":
        monkeypatch.setenv("HTTPS_PROXY", url)
    session = make_session(url if of == "setting" else None, None)
    with pytest.raises(OSError) as failed:
        session.get("https://api.dropboxapi.com/", timeout=5)
    text = str(verdict(failed.value, 0.0))
    for part in {password, *password.replace("#", "/").replace("?", "/").replace("@", "/").split("/")} - {"a", "b"}:
        assert part not in text, text
    assert "Failed to parse" not in text and "user:" not in text


def test_a_log_masks_warnings_and_tracebacks(tmp_path, monkeypatch):
    know(["hunter2-x"])
    for form in ("text", "json"):
        console = io.StringIO()
        monkeypatch.setattr(sys, "stderr", console)
        log = setup_logging("a.B.1", str(tmp_path / form), True, form=form)
        log.warning("cannot log in: %s", OSError("as hunter2-x"))
        try:
            raise ValueError("hunter2-x is wrong")
        except ValueError:
            log.exception("failed")
        close_logging(log)
        for text in (console.getvalue(), (tmp_path / form).read_text()):
            assert "hunter2" not in text and MASK in text


@given(st.text(min_size=4, max_size=20), st.text(max_size=40), st.text(max_size=40))
def test_any_secret_anywhere(secret, before, after):
    redact.forget_all()
    assume(secret not in redact._OUR_WORDS)
    know([secret])
    assert secret not in redacted(f"{before}{secret}{after}").replace(MASK, "\0") or secret in MASK


def test_the_reason_of_an_event_is_masked_and_a_name_is_not(tmp_path):
    from pysubtask.common.events import EventLog, read_events

    know(["hunter2-x"])
    EventLog(str(tmp_path), 1).emit("hook_failed", reason=repr(ValueError("hunter2-x")), name="hunter2-x.csv")
    (event,) = read_events(str(tmp_path))
    assert event.fields == {"reason": f"ValueError('{MASK}')", "name": "hunter2-x.csv"}
