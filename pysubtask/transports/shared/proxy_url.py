"""The URL of a proxy, whose user and password may hold any sign. Pure, and free of any library."""

from __future__ import annotations

import re
import urllib.parse


def quoted_login(url: str) -> str:
    """A proxy's URL in which no sign of user and password (all before the last @) can be taken for the end of them: ``#``, ``/``
    and ``?`` are written as %23, %2F and %3F (RFC 3986, 2.1). What is written so already stays."""
    scheme, slashes, rest = url.partition("://") if "://" in url else ("", "", url)
    login, at, place = rest.rpartition("@")
    if not at:
        return url
    words = [urllib.parse.quote(re.sub("%(?![0-9A-Fa-f]{2})", "%25", word), safe="%!$&'()*+,;=") for word in login.split(":", 1)]
    return f"{scheme}{slashes}{':'.join(words)}@{place}"
