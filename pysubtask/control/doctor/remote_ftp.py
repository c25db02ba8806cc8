"""FTP with the further operations that an examination needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

from ...transports.ftp import FTPTransport
from ...transports.ftp.data import receive
from ...transports.ftp.replies import Reply, number_in
from ...transports.ftp.session import Session
from .remote import FILE, FOLDER, MISSING, Remote, below, ours_among

_LONGEST_LIST = 1 << 20  # bytes of an FTP listing
_T = TypeVar("_T")


class FTPRemote(FTPTransport, Remote):
    """FTP (RFC 959), over sessions of the transport."""

    async def on_session(self, work: Callable[[Session], _T]) -> _T:
        """Run any commands in a thread, with a session that no other task uses meanwhile."""
        pool, _ = self._open()
        async with pool.lease() as session:
            return await pool.run(session, lambda: work(session))

    async def kind(self, path: str) -> str:
        """By CWD (RFC 959, section 4.1.1) and back for a folder; by SIZE, MLST or LIST for a file."""

        def probe(session: Session) -> str:
            if not path:
                return FOLDER
            before = _quoted(session.ask("PWD"))
            if session.ask(f"CWD {path}").ok:
                session.ask(f"CWD {before or '/'}")
                return FOLDER
            return FILE if session.is_there(path) else MISSING

        return await self.on_session(probe)

    async def home(self) -> str:
        """By PWD (RFC 959, section 4.1.3): a session's working folder is the first one, as ``kind`` returns to it."""
        return await self.on_session(lambda session: _quoted(session.ask("PWD")))

    async def drop_folder(self, path: str) -> bool:
        """By RMD (RFC 959, section 4.1.3)."""
        return await self.on_session(lambda session: session.ask(f"RMD {path}").ok)

    async def drop_file(self, path: str) -> bool:
        """By DELE (RFC 959, section 4.1.3)."""
        return await self.on_session(lambda session: session.delete(path).ok)

    async def ours_in(self, path: str) -> list[str]:
        """From the listing of ``names_in``."""
        return ours_among(await self.names_in(path))

    async def names_in(self, path: str) -> list[str]:
        """By MLSD (RFC 3659, section 7) where the server has it, else by LIST -a."""

        def listed(session: Session) -> list[str]:
            command = "MLSD" if "MLST" in session.known.features else "LIST -a"  # NLST leaves hidden names out at many servers
            found = session.listing(f"{command} {path}".rstrip(), _LONGEST_LIST)
            return [line.split(" ")[-1] for line in found.decode("utf-8", "surrogateescape").splitlines()]

        return await self.on_session(listed)

    async def fetch(self, name: str, most: int) -> bytes | None:
        """By RETR (RFC 959, section 4.1.3), broken off after ``most`` bytes."""
        path = below(self._folder, name)

        def got(session: Session) -> bytes | None:
            found = session.fetch(path, 0, most)
            return None if found is None else found[:most]

        return await self.on_session(got)

    async def may_write(self, path: str) -> bool:
        """By STOR of an empty file, which is removed by DELE (RFC 959, section 4.1.3)."""
        name = below(path, f".pysubtask-{os.urandom(8).hex()}.part")

        def tried(session: Session) -> bool:
            sock, _ = session.control.open_data(f"STOR {name}")
            if sock is None:
                return False
            session.control.drop(sock)
            session.control.read_reply()
            return session.delete(name).ok

        with contextlib.suppress(OSError, EOFError):
            return await self.on_session(tried)
        return False

    async def renames(self, name: str) -> bool:
        """Whether a file in the destination's folder can be renamed (RNFR and RNTO, RFC 959); the file gets its name back."""
        path = below(self._folder, name)
        other = f"{path}.renamed"

        def tried(session: Session) -> bool:
            return session.rename(path, other).ok and session.rename(other, path).ok

        return await self.on_session(tried)

    async def space(self) -> int | None:
        """By AVBL (draft-peterson-streamlined-ftp-command-extensions) where FEAT lists it."""

        def available(session: Session) -> int | None:
            if "AVBL" not in session.known.features:
                return None
            reply = session.ask(f"AVBL {self._folder}".rstrip())
            return number_in(reply.lines[0][3:].strip()) if reply.code == 213 else None

        return await self.on_session(available)

    async def reuses_session(self) -> bool | None:
        """By the data connection of an NLST (RFC 959, section 4.1.3); None, too, where the server refuses one."""

        def reused(session: Session) -> bool | None:
            with session.translated_errors():
                sock, _ = session.control.open_data("NLST")
                if sock is None:
                    return None
                reuse = getattr(sock, "session_reused", None)
                try:
                    receive(session.control, sock, _LONGEST_LIST)
                finally:
                    session.control.drop(sock)
                session.control.read_reply()
                return reuse

        return await self.on_session(reused)

    async def offers_tls(self) -> bool:
        """Whether FEAT lists AUTH TLS (RFC 4217, section 6)."""
        return await self.on_session(lambda session: "TLS" in session.known.features.get("AUTH", "").upper())

    async def certificate(self) -> dict[str, Any]:
        """The fields of the server's certificate; empty without TLS, or where the certificate is pinned by its fingerprint."""

        def fields(session: Session) -> dict[str, Any]:
            get = getattr(session.control.sock, "getpeercert", None)
            return dict(get() or {}) if get is not None else {}

        return await self.on_session(fields)


def _quoted(reply: Reply) -> str:
    """RFC 959, appendix II: the path in a 257 reply, with its quotes doubled."""
    _, quote, rest = reply.lines[0].partition('"')
    return rest.rpartition('"')[0].replace('""', '"') if reply.code == 257 and quote else ""
