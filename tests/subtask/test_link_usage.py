"""Which receipt a byte on the wire is on, and that all of them are on one."""

import time

from pysubtask.subtask.delivery.link_usage import LinkUsage
from pysubtask.subtask.status.status_model import StatusModel
from pysubtask.transports.base import Wire


class Link:
    """Stands in for a transport: only its counters are asked for."""

    def __init__(self, known=True):
        self.sent = 0
        self.known = known

    def wire(self):
        return Wire(self.sent, 10, headers=5) if self.known else None


def usage_of_link(known=True):
    link, status_model = Link(known), StatusModel(time.time)
    return link, LinkUsage(link, status_model), status_model


def test_everything_since_the_last_receipt_is_on_the_next_one():
    link, link_usage, status_model = usage_of_link()
    link.sent = 100  # the login
    link_usage.begin()
    link_usage.begin()
    link.sent = 300
    link_usage.end()
    first = link_usage.take()
    link.sent = 350
    link_usage.end()  # one that was cut: it takes nothing
    link_usage.begin()
    link.sent = 450
    link_usage.end()
    second = link_usage.take()
    link_usage.show()
    assert (first, second) == (315, 150)
    assert first + second == link.wire().total == status_model.get("bytes_on_wire")
    assert status_model.get("heartbeat_bytes") == 0


def test_heartbeats_are_counted_apart_where_nothing_else_went():
    link, link_usage, status_model = usage_of_link()
    link.sent = 985  # a login for the heartbeat alone
    link_usage.heartbeat_ended()
    assert (status_model.get("bytes_on_wire"), status_model.get("heartbeat_bytes")) == (1000, 1000)
    link_usage.begin()
    link.sent += 50
    link_usage.heartbeat_ended()
    link.sent += 100
    link_usage.end()
    link_usage.heartbeat_ended()
    assert status_model.get("heartbeat_bytes") == 1000, "an upload was on its way, and was cut: the next receipt has it"
    link_usage.begin()
    link.sent += 1
    link_usage.end()
    assert link_usage.take() == 151
    link.sent += 7
    link_usage.heartbeat_ended()
    assert (status_model.get("bytes_on_wire"), status_model.get("heartbeat_bytes")) == (1158, 1007)


def test_during_another_upload_a_heartbeat_is_on_its_receipt():
    link, link_usage, status_model = usage_of_link()
    link_usage.begin()
    link_usage.begin()
    link_usage.end()
    link_usage.take()
    link.sent = 40
    link_usage.heartbeat_ended()
    link_usage.end()
    assert (link_usage.take(), status_model.get("heartbeat_bytes")) == (40, 0)


def test_what_is_not_known_is_no_number():
    _, link_usage, status_model = usage_of_link(known=False)
    link_usage.begin()
    link_usage.end()
    assert link_usage.take() is None
    link_usage.heartbeat_ended()
    assert (status_model.get("bytes_on_wire"), status_model.get("heartbeat_bytes")) == (None, None)
