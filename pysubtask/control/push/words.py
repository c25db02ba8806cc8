"""The errors of transports for a push to a URL: there is no config, so the remedies name the URL or an option. Pure."""

from __future__ import annotations

import re

_VALUE = re.compile(r'''(?:\b[Ww]rite )?\b(HostKey|TLSFingerprint|CAFile) = "([^"]*)"''')
_PORT = re.compile(r"(?:\b[Ss]et )?(?:ftp\.)?HostPort to ((?:the |another )[^,.;]*)")
_PLAIN = (
    (r"[Ss]et ftp\.UseTLS to 'explicit' \(or None, for no TLS\)", "write ftps:// in the URL (or ftp://, for no TLS)"),
    (r"[Ss]et ftp\.UseTLS to 'explicit'", "write ftps:// in the URL"),
    (r"[Ss]et ftp\.UseTLS to None", "write ftp:// in the URL"),
    (r"[Ss]et ftp\.UseTLS to 'implicit'", "write ftps:// in the URL and add --set UseTLS=implicit"),
    (r"\(UseTLS = 'implicit'\)", "(ftps:// with --set UseTLS=implicit)"),
    (r"[Ss]et ftp\.UseSFTP to True", "write sftp:// in the URL"),
    (r"[Ww]rite UseSFTP = False", "write ftp:// in the URL"),
    (r"[Ss]et KnownHostsFile or HostKey", "add --set KnownHostsFile=FILE or --set HostKey=SHA256:..."),
    (r"\bare Host and HostPort right\b", "are host and port of the URL right"),
    (r"\b([Ii])s HostPort\b", r"\1s the port of the URL"),
    (r"\bftp\.(?=[A-Z])", ""),
)


def in_words_of_a_push(text: str) -> str:
    """An error whose remedy names the URL and --set in place of settings."""
    text = _VALUE.sub(lambda found: f"add --set {found[1]}={found[2]}", text)
    text = _PORT.sub(lambda found: f"write {found[1] if 'port' in found[1] else f'{found[1]} port'} into the URL", text)
    for pattern, words in _PLAIN:
        text = re.sub(pattern, words, text)
    # A replacement at the beginning of a sentence gets a capital letter.
    return re.sub(r"(?<=[.?] )(write|add)\b", lambda found: found[1].capitalize(), text)
