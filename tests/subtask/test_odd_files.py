"""One file that cannot go must not take the link from the others, whatever is wrong with it."""

from __future__ import annotations

import time

from pysubtask.common.errors import FileRefused
from tests.support.dispatcher_bench import Bench, bench  # noqa: F401 - a fixture
from tests.support.helpers import wait_until


def test_an_unremovable_temporary_file_does_not_stop_the_link(bench):  # noqa: F811
    """Its name may be none on that server (a line feed, with FTP), or the server keeps it: each connect used to fail with it."""
    one: Bench = bench()
    removed = []

    async def remove(names):
        names = list(names)
        if any("\n" in name for name in names):
            raise FileRefused("no name")
        removed.extend(names)
        return set(names)

    one.transport.remove = remove
    odd = one.spool_thread.run(one.spool_thread.spool.temps.note, "a\nb/x.csv", time.time())
    good = one.spool_thread.run(one.spool_thread.spool.temps.note, "b/x.csv", time.time())
    one.start().put("good")
    one.drained()
    assert good in removed
    assert odd in one.spool_thread.run(one.spool_thread.spool.temps.names)


def test_a_fault_that_a_file_brings_about_again_is_its_own(bench):  # noqa: F811
    """It used to cost all the others their connection at each try, for ever."""
    one: Bench = bench(ParkedRetrySecs=60)
    one.transport.on_upload = {"deep": [RecursionError("too deep")] * 50}
    one.start().put("deep")
    wait_until(lambda: "parked" in one.kinds(), what="it is parked")
    one.put("other")
    wait_until(lambda: "other" in one.transport.files, what="the other one is sent")
    assert one.transport.calls.count("connect") <= 2
    parked = one.spool_thread.run(one.spool_thread.spool.queue_admin.parked)
    assert [row.name for row in parked] == ["deep"] and "too deep" in parked[0].reason
