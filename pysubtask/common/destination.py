"""What a destination's URL says: which server, and where on it. Pure."""

import posixpath
import re
from typing import NamedTuple

_DRIVE = re.compile(r"/[A-Za-z]:(?:/|\Z)")
_PROTOCOLS = frozenset(("ftp", "ftps", "sftp"))


class Server(NamedTuple):
    """A destination's server (``key``: protocol, user, host, port), and the folder that its names are below."""

    key: str
    folder: str

    def full(self, name: str) -> str:
        """A name from the login's folder, or from the root."""
        if name.startswith("/") or not self.folder:
            return name
        return posixpath.join(self.folder, name)


def server_of(destination: str) -> Server:
    """The parts of a destination. Two that lead to one place by other words, as a link or another user's folder, are two: an
    identity that cannot be proved is no clash."""
    scheme, _, rest = destination.partition("://")
    login, _, folder = rest.partition("/")
    user, at, host = login.rpartition("@")
    plain = posixpath.normpath(folder) if folder else ""
    if _DRIVE.match(plain):
        plain = plain.removeprefix("/")  # Windows takes both for one place
    return Server(f"{scheme}://{user}{at}{host.lower()}", "" if plain == "." else plain)


def protocol_of(destination: str) -> str:
    """'ftp', 'ftps', 'sftp' and so on."""
    return destination.partition("://")[0]


def is_same_place(one: str, other: str) -> bool:
    """Whether two destinations are one folder of one host and user by two protocols. Without a user's name that is not known: one
    protocol takes it for anybody, the other for the user who asks."""
    if one == other or not {protocol_of(one), protocol_of(other)} <= _PROTOCOLS or protocol_of(one) == protocol_of(other):
        return False
    users_hosts = []
    for server in (server_of(one), server_of(other)):
        user, _, place = server.key.partition("://")[2].rpartition("@")
        users_hosts.append((user, place.rpartition(":")[0], server.folder))
    return bool(users_hosts[0][0]) and users_hosts[0] == users_hosts[1]
