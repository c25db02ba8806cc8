"""A server and an ssh without a common algorithm: the line of ssh's configuration that enables an old algorithm. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_NONE = re.compile(r"no matching (host ?key type|key exchange method|cipher|MAC) found\. Their offer: ([\w.@,+-]+)", re.IGNORECASE)
_SETTINGS = {"hostkeytype": "HostKeyAlgorithms", "keyexchangemethod": "KexAlgorithms", "cipher": "Ciphers", "mac": "MACs"}
_OLD = {
    "HostKeyAlgorithms": ("ssh-rsa", "ssh-dss"),
    "KexAlgorithms": ("diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1", "diffie-hellman-group1-sha1"),
    "Ciphers": ("aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc"),
    "MACs": ("hmac-sha1", "hmac-sha1-96", "hmac-md5", "hmac-md5-96"),
}
"""Algorithms that OpenSSH has disabled by default and still implements, the best first (ssh_config(5))."""


class Offer(NamedTuple):
    """``setting``: the keyword of ssh_config(5); ``name``: the best of the server's algorithms that ssh has disabled."""

    setting: str
    name: str

    @property
    def line(self) -> str:
        """As ssh_config(5) writes it: ``+`` appends the algorithm to the default list."""
        return f"{self.setting} +{self.name}"


def offered_alone(output: str) -> Offer | None:
    """From ssh's output: an algorithm that the server offers and that this ssh uses only where its configuration says so; None
    where no line of the configuration would help."""
    found = _NONE.search(output)
    if found is None:
        return None
    setting = _SETTINGS[found[1].lower().replace(" ", "")]
    offer = found[2].split(",")
    name = next((name for name in _OLD[setting] if name in offer), None)
    return None if name is None else Offer(setting, name)


def ssh_config_remedy(output: str, host: str) -> str:
    """The remedy for the server ``host``, from ssh's output; '' where only an update helps."""
    offer = offered_alone(output)
    return "" if offer is None else f"Update the server. Until then: {in_ssh_config(host, offer.line)}"


def in_ssh_config(host: str, line: str) -> str:
    """How a person adds a line of configuration for one server."""
    return f"put two lines into ~/.ssh/config (or the file that SSHConfigFile names): 'Host {host}', and below it '    {line}'"


def for_an_rsa_key(host: str) -> str:
    """The remedy for an RSA key that an old server refuses: servers before OpenSSH 7.2 know only the signature by SHA-1
    (ssh-rsa), which ssh no longer offers."""
    return (
        "A server before OpenSSH 7.2 (2016) takes an RSA key only as ssh no longer offers it. Better make a key of another "
        f"kind; or {in_ssh_config(host, 'PubkeyAcceptedAlgorithms ssh-rsa')}."
    )
