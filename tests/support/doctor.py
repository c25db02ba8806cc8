"""The doctor at one server, with short limits, and a server that sends given bytes."""

from __future__ import annotations

import asyncio
import socket
import threading

from pysubtask.control.doctor.examine import Times, examine
from pysubtask.control.doctor.source import of_plan
from pysubtask.master.child_config import plan

TIMES = Times(everything=25, port=1.0, hear=1.0, login=8.0)


def target(settings, tmp_path, section="ftp"):
    return of_plan(plan(section, f"pysubtask.{section}", {section: settings}, str(tmp_path)), None, "python")


def diagnose(settings, tmp_path, section="ftp", **more):
    async def findings():
        return [finding async for finding in examine(target(settings, tmp_path, section), TIMES, **more)]

    return asyncio.run(findings())


def failures(found):
    return [finding for finding in found if finding.state == "fail"]


class Scripted:
    """A listener that sends given bytes, and then nothing more; or hangs up."""

    def __init__(self, *lines, hang_up=False):
        self.lines, self.hang_up = [*lines], hang_up
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.hang_up:
                sock.close()
                continue
            self.open.append(sock)
            threading.Thread(target=self.talk, args=(sock,), daemon=True).start()

    def talk(self, sock):
        try:
            for line in self.lines:
                sock.sendall(line + b"\r\n")
                if not sock.recv(1024):
                    return
        except OSError:
            return

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()
        for sock in self.open:
            sock.close()


def at(port, **more):
    """Settings for something at a port that is no whole server."""
    return {"Host": "127.0.0.1", "HostPort": port, "User": "pi", "SSHConfigFile": "none", **more} | (
        {} if more.get("UseSFTP", True) else {"SSHConfigFile": None}
    )
