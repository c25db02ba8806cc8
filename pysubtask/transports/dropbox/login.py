"""``python -m pysubtask.dropbox --login``: a person lets this machine into a Dropbox, once.

OAuth 2 with PKCE (RFC 7636) and no redirect, by the official SDK: no secret of the app is on this machine. The result is a
refresh token, which is printed for that person or written to a file that no other user can read.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from ...common.advice import install, keep_private
from .verdict import one_line

DONE, REFUSED, USAGE = 0, 1, 2

_ANSWER_SECS = 30  # a person waits for it
_NEEDED_SCOPES = ("files.content.write", "files.metadata.read")
_WITHOUT_A_KEY = f"""\
An app key is free: at https://www.dropbox.com/developers/apps create an app with "Scoped access" and "App folder". Under
"Permissions" tick {" and ".join(_NEEDED_SCOPES)}, press Submit; "Settings" shows the App key.
"""
_PERMISSIONS = 'Tick them under "Permissions" at https://www.dropbox.com/developers/apps, press Submit, and log in again'


class _LoginEnded(Exception):
    """The login ends here: a line with the reason and the remedy, and the exit status."""

    def __init__(self, text: str, status: int = REFUSED) -> None:
        super().__init__(text)
        self.status = status


def login(app_key: str | None, store: str | None, proxy: str | None, ca_file: str | None) -> int:
    """Ask for the code, log in, print the lines for the config. ``store`` names the file for the token, which is not printed
    then.

    The exit status: 0 done, 1 refused or no network, 2 wrong usage or the library is missing.
    """
    try:
        with _place(store) as place:
            _login(app_key, place, proxy, ca_file)
    except _LoginEnded as exc:
        _say(f"pysubtask: {exc}", sys.stderr)
        return exc.status
    except KeyboardInterrupt:
        _say("\npysubtask: nothing was changed.", sys.stderr)
        return REFUSED
    return DONE


def _login(app_key: str | None, place: _TokenFile | None, proxy: str | None, ca_file: str | None) -> None:
    try:
        from dropbox import Dropbox
        from dropbox.exceptions import DropboxException
        from dropbox.oauth import DropboxOAuth2FlowNoRedirect
        from requests import RequestException

        from .http_session import make_session
    except ImportError as exc:
        raise _LoginEnded(f"{exc.name} is not installed. Run: {install('dropbox')}.", USAGE) from exc
    if ca_file is not None and not os.path.isfile(ca_file):
        raise _LoginEnded(f"--ca-file: there is no file {ca_file}.", USAGE)
    if not app_key:
        _say(_WITHOUT_A_KEY)
        app_key = _ask("App key: ")
    session = make_session(proxy, ca_file)
    flow = DropboxOAuth2FlowNoRedirect(app_key, use_pkce=True, token_access_type="offline", timeout=_ANSWER_SECS)
    flow.requests_session = session
    _say(f"Open this page, press Allow, and copy the code that it shows:\n\n{flow.start()}\n")
    code = _ask("Code: ")
    try:
        given = flow.finish(code)
        client = Dropbox(
            given.access_token, session=session, timeout=_ANSWER_SECS, max_retries_on_error=0, max_retries_on_rate_limit=0
        )
        account = client.users_get_current_account()
    except RequestException as exc:
        raise _LoginEnded(_why(exc)) from exc
    except DropboxException as exc:
        raise _LoginEnded(f"Dropbox gave a token but does not take it: {_clean(exc)}.") from exc
    except (KeyError, ValueError, TypeError) as exc:
        raise _LoginEnded("what answers is not Dropbox; does this network want a login of its own first?") from exc
    finally:
        session.close()
    _check(given.refresh_token, given.scope)
    _say(f"\nThis is the Dropbox of {_clean(account.name.display_name)} ({_clean(account.email)}).")
    if place is None:
        _say(f"Put these lines into your config, and let nobody else read that file ({keep_private('CONFIG')}):\n")
        token = f"dropbox.RefreshToken = {given.refresh_token!r}"
    else:
        place.keep(given.refresh_token)
        _say("The token is stored. Put these lines into your config:\n")
        token = f"dropbox.RefreshTokenFile = {place.path!r}"
    _say(f"dropbox.AppKey = {app_key!r}\n{token}")


def _check(refresh_token: str, scope: str | None) -> None:
    if not refresh_token:
        raise _LoginEnded("Dropbox gave no refresh token. Is this the key of an app with scoped access?")
    missing = [name for name in _NEEDED_SCOPES if scope and name not in scope.split()]
    if missing:
        raise _LoginEnded(f"the app has no permission for {' and '.join(missing)}. {_PERMISSIONS}.")


# ---- the network


def _why(exc: Any) -> str:
    """The meaning of a failed call, in words for a person; repeats neither codes nor tokens."""
    from requests import exceptions

    if isinstance(exc, exceptions.HTTPError):
        return _refusal(exc.response)
    if isinstance(exc, exceptions.JSONDecodeError):
        return "what answers is not Dropbox; does this network want a login of its own first?"
    if isinstance(exc, exceptions.SSLError):
        return f"the certificate is not trusted ({_root(exc)}). If a company's proxy signs with its own: --ca-file FILE."
    if isinstance(exc, (exceptions.InvalidProxyURL, exceptions.InvalidURL, exceptions.InvalidSchema)):
        return "the proxy's URL is not one: give http://host:port, by --proxy or in HTTPS_PROXY."
    if isinstance(exc, exceptions.ProxyError):
        return f"the proxy does not connect to Dropbox ({_root(exc)}). Check --proxy or HTTPS_PROXY."
    if isinstance(exc, exceptions.Timeout):
        return f"no answer from Dropbox within {_ANSWER_SECS} s."
    return f"no connection to Dropbox ({_root(exc)}). Behind a proxy: --proxy http://host:port or HTTPS_PROXY."


def _refusal(response: Any) -> str:
    """The meaning of an HTTP error of oauth2/token (RFC 6749 section 5.2)."""
    try:
        body = response.json()
        error, words = str(body.get("error", "")), str(body.get("error_description", ""))
    except (ValueError, AttributeError):
        error, words = "", ""
    message = _clean(words or error or response.reason)
    if error.startswith("invalid_client"):
        return f"Dropbox does not know this app key: {message}."
    if error.startswith("invalid_grant"):
        return f"Dropbox does not take this code: {message}. A code is good once, for a few minutes: begin again."
    return f"Dropbox answers {response.status_code}: {message}."


def _root(exc: BaseException) -> str:
    """The text of the operating system or the TLS library, from inside the exceptions wrapped around it."""
    reason, seen = type(exc).__name__, []
    inner: Any = exc
    while inner is not None and inner not in seen:
        seen.append(inner)
        if isinstance(inner, OSError) and not type(inner).__module__.startswith("requests"):
            reason = getattr(inner, "verify_message", "") or inner.strerror or str(inner) or reason
        # requests keeps the error of urllib3 as argument, urllib3 its reason as attribute.
        wrapped = [getattr(inner, "reason", None), *inner.args, inner.__cause__, inner.__context__]
        inner = next((one for one in wrapped if isinstance(one, BaseException)), None)
    return _clean(reason)


# ---- the person


def _ask(prompt: str) -> str:
    """A person's input, without spaces around it."""
    try:
        answer = input(prompt).strip()
    except EOFError:
        answer = ""
    if not answer:
        raise _LoginEnded(f"nothing was given for {prompt.rstrip(': ')!r}.", USAGE)
    if not (answer.isascii() and answer.isprintable() and " " not in answer):
        raise _LoginEnded(f"what was given for {prompt.rstrip(': ')!r} is not one: copy it once more.", USAGE)
    return answer


def _say(text: str, to: Any = None) -> None:
    to = to or sys.stdout
    encoding = to.encoding or "ascii"
    to.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    to.flush()


def _clean(words: object) -> str:
    """Text from elsewhere on one short line, which a sentence may end with."""
    return one_line(words).rstrip(".")


# ---- the file


class _TokenFile:
    """The token's file, created empty beside ``path`` before any question is asked, so that a token that was issued can be
    kept."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))
        if os.path.isdir(self.path):
            raise _LoginEnded(f"--store: {self.path} is a folder.", USAGE)
        try:
            # O_EXCL and mode 0600 from the start: see mkstemp.
            self._fd, self._temp = tempfile.mkstemp(prefix=f".{os.path.basename(self.path)}.", dir=os.path.dirname(self.path))
        except OSError as exc:
            raise _LoginEnded(f"--store: {self.path} cannot be written ({exc.strerror}).", USAGE) from exc

    def keep(self, token: str) -> None:
        try:
            with open(self._fd, "w", encoding="utf-8", closefd=False) as file:
                file.write(token + "\n")
                file.flush()
                os.fsync(self._fd)
            # After the sync: the old token stays until the new one is on the disk, as Dropbox shows neither again.
            os.replace(self._temp, self.path)
        except OSError as exc:
            raise _LoginEnded(f"--store: {self.path} cannot be written ({exc.strerror}). The token is lost: begin again.") from exc

    def close(self) -> None:
        os.close(self._fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temp)


@contextlib.contextmanager
def _place(path: str | None) -> Iterator[_TokenFile | None]:
    if path is None:
        yield None
        return
    place = _TokenFile(path)
    try:
        yield place
    finally:
        place.close()
