"""Which receipt a byte on the wire is on, and that all of them are on one."""

import time

from pysubtask.subtask.delivery.link_usage import Toll
from pysubtask.subtask.status.status_model import Board
from pysubtask.transports.base import Wire


class Link:
    """Stands in for a transport: only its counters are asked for."""

    def __init__(self, known=True):
        self.sent = 0
        self.known = known

    def wire(self):
        return Wire(self.sent, 10, headers=5) if self.known else None


def made(known=True):
    link, board = Link(known), Board(time.time)
    return link, Toll(link, board), board


def test_everything_since_the_last_receipt_is_on_the_next_one_that_ends():
    link, toll, board = made()
    link.sent = 100  # the login
    toll.begin()
    toll.begin()
    link.sent = 300
    toll.end()
    first = toll.take()
    link.sent = 350
    toll.end()  # one that was cut: it takes nothing
    toll.begin()
    link.sent = 450
    toll.end()
    second = toll.take()
    toll.show()
    assert (first, second) == (315, 150)
    assert first + second == link.wire().total == board.get("bytes_on_wire")
    assert board.get("heartbeat_bytes") == 0


def test_heartbeats_are_counted_apart_where_nothing_else_went():
    link, toll, board = made()
    link.sent = 985  # a login for the heartbeat alone
    toll.beat()
    assert (board.get("bytes_on_wire"), board.get("heartbeat_bytes")) == (1000, 1000)
    toll.begin()
    link.sent += 50
    toll.beat()
    link.sent += 100
    toll.end()
    toll.beat()
    assert board.get("heartbeat_bytes") == 1000, "an upload was on its way, and was cut: the next receipt has it"
    toll.begin()
    link.sent += 1
    toll.end()
    assert toll.take() == 151
    link.sent += 7
    toll.beat()
    assert (board.get("bytes_on_wire"), board.get("heartbeat_bytes")) == (1158, 1007)


def test_while_another_is_on_its_way_a_heartbeat_is_on_its_receipt():
    link, toll, board = made()
    toll.begin()
    toll.begin()
    toll.end()
    toll.take()
    link.sent = 40
    toll.beat()
    toll.end()
    assert (toll.take(), board.get("heartbeat_bytes")) == (40, 0)


def test_what_is_not_known_is_no_number():
    _, toll, board = made(known=False)
    toll.begin()
    toll.end()
    assert toll.take() is None
    toll.beat()
    assert (board.get("bytes_on_wire"), board.get("heartbeat_bytes")) == (None, None)
