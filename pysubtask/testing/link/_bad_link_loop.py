"""The process of a bad link: makes the two network namespaces, carries packets between them, takes orders.

Started by ``bad_link`` with an end of a socket pair: a JSON line each for an order and its answer. The end of that
stream ends the link, with every program in the two namespaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from ._bad_link_lane import Lane, Outages
from ._bad_link_net import kill_all_in, new_network, new_tun, new_user_namespace

_TURN = 64
_PACKET = 65536


class PacketLoop:
    """Carries packets between two files that give and take one packet at a time, and obeys the orders of a stream socket."""

    def __init__(self, near: int, far: int, orders: socket.socket, seed: int) -> None:
        # The two directions must not lose the same packets.
        if sys.platform == "win32":
            raise NotImplementedError
        self._lanes = {"there": Lane(2 * seed), "back": Lane(2 * seed + 1)}
        self._directions = ((near, far, self._lanes["there"]), (far, near, self._lanes["back"]))
        self._outages = Outages()
        self._orders = orders
        self._words = b""
        for file in (near, far):
            os.set_blocking(file, False)

    def run(self) -> None:
        """Carry packets until the stream of orders ends."""
        if sys.platform == "win32":
            raise NotImplementedError
        files = [self._orders.fileno(), *(source for source, _, _ in self._directions)]
        while True:
            ready, _, _ = select.select(files, [], [], self._until_next(time.monotonic()))
            if files[0] in ready and not self._obey():
                return
            now = time.monotonic()
            down = self._outages.is_down(now)
            for source, target, lane in self._directions:
                packets = _read(source) if source in ready else []
                if down:
                    lane.cut(len(packets))
                    continue
                for packet in packets:
                    lane.take(packet, now)
                lane.deliver(now, _writer(target))

    def _until_next(self, now: float) -> float | None:
        if sys.platform == "win32":
            raise NotImplementedError
        times = [lane.in_flight[0][0] for lane in self._lanes.values() if lane.in_flight]
        edge = self._outages.next_edge(now)
        if edge is not None:
            times.append(edge)
        return max(0.0, min(times) - now) if times else None

    def _obey(self) -> bool:
        """Carry out the orders that have come; False once the stream of orders has ended."""
        if sys.platform == "win32":
            raise NotImplementedError
        try:
            got = self._orders.recv(_PACKET)
        except ConnectionError:
            got = b""
        if not got:
            return False
        *lines, self._words = (self._words + got).split(b"\n")
        for line in lines:
            try:
                answer = {"answer": self._carry_out(json.loads(line))}
            except (ValueError, TypeError) as exc:
                answer = {"error": str(exc)}
            self._orders.sendall(json.dumps(answer).encode() + b"\n")
        return True

    def _carry_out(self, order: dict[str, Any]) -> Any:
        if sys.platform == "win32":
            raise NotImplementedError
        if "set" in order:
            for name in order["lanes"]:
                self._lanes[name].set(**order["set"])
        if "down" in order:
            self._outages.ordered = order["down"]
            if order["down"]:
                for lane in self._lanes.values():
                    lane.cut()
        if "outages" in order:
            self._outages.plan(order["outages"], time.monotonic())
        return {"down": self._outages.is_down(time.monotonic())} | {name: lane.counts for name, lane in self._lanes.items()}


def _read(file: int) -> list[bytes]:
    packets: list[bytes] = []
    # Nothing more now; a device that is down gives EIO.
    with contextlib.suppress(OSError):
        # A limited number at a time, so that packets of the other direction are not late.
        while len(packets) < _TURN:
            packets.append(os.read(file, _PACKET))
    return packets


def _writer(file: int) -> Callable[[bytes], None]:
    def write(packet: bytes) -> None:
        # The receiver's own queue is full, or its device is down: the kernel drops the packet.
        with contextlib.suppress(OSError):
            os.write(file, packet)

    return write


def main() -> None:
    """``argv``: the number of the orders' file, then a JSON object with near, far (addresses), mtu and seed."""
    if sys.platform == "win32":
        raise NotImplementedError
    orders = socket.socket(fileno=int(sys.argv[1]))
    given = json.loads(sys.argv[2])
    # A Ctrl-C in the terminal is for the programs that use the link; the link ends with their owner.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    networks: list[int] = []
    try:
        own_user = os.geteuid() != 0
        step = "a user namespace"
        try:
            if own_user:
                new_user_namespace()
            devices: list[int] = []
            for own, peer in ((given["near"], given["far"]), (given["far"], given["near"])):
                step = "a network namespace"
                networks.append(new_network())
                step = "a TUN device"
                devices.append(new_tun(own, peer, given["mtu"]))
        except OSError as exc:
            hello: dict[str, Any] = {"error": f"{step} cannot be made here: {exc.strerror or exc}"}
            orders.sendall(json.dumps(hello).encode() + b"\n")
            return
        hello = {"answer": {"networks": networks, "own_user": own_user}}
        orders.sendall(json.dumps(hello).encode() + b"\n")
        PacketLoop(devices[0], devices[1], orders, given["seed"]).run()
    finally:
        kill_all_in(networks)


if __name__ == "__main__":
    main()
