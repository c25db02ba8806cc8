import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pysubtask.delivery_rules.remote_content import Known
from pysubtask.subtask.delta.transfer_plan import (
    LEAST_BYTES,
    PATCH_TRIES,
    SIGNED_BYTES,
    TransferPlan,
    is_signed,
    may_be_patched,
    patched,
    plan_transfer,
)
from pysubtask.transports.base import Append, Copy, RemoteStat


def sha(data):
    return hashlib.sha256(data).hexdigest()


OLD = Known(RemoteStat(5000, 100), "d5000")


def planned(known, size, prefixes, *, appends=True, copies=True):
    return plan_transfer(known, size, prefixes, appends=appends, copies=copies)


def test_what_goes_on_where_the_old_one_ended_is_appended():
    assert planned(OLD, 6000, {5000: "d5000"}) == TransferPlan(1000, append=Append(5000, 5000))


def test_complete_versions_or_no_append_are_copied_on_the_server():
    assert planned(OLD, 6000, {5000: "d5000"}, appends=False) == TransferPlan(1000, copies=(Copy(0, 5000, 0),))
    assert planned(OLD, 6000, {5000: "d5000"}, appends=False, copies=False) == TransferPlan(1000), (
        "whole, and yet only 1,000 are new"
    )


def test_any_doubt_means_whole():
    assert planned(None, 6000, {5000: "d5000"}) == TransferPlan(6000), "nothing is known"
    assert planned(OLD, 6000, {5000: "other"}) == TransferPlan(6000), "replaced or rotated"
    assert planned(OLD, 6000, {}) == TransferPlan(6000), "nobody looked"
    assert planned(OLD, 4000, {4000: "d4000"}) == TransferPlan(4000), "truncated"
    assert planned(Known(RemoteStat(LEAST_BYTES, 1), "d"), 6000, {LEAST_BYTES: "d"}) == TransferPlan(6000 - LEAST_BYTES), (
        "not worth it"
    )
    assert planned(OLD, 5000, {5000: "d5000"}) == TransferPlan(0), "the same content"


def test_a_cut_append_is_finished_by_what_resumes_it():
    cut = OLD._replace(reach=(6000, "d6000"))
    assert planned(cut, 6000, {5000: "d5000", 6000: "d6000"}) == TransferPlan(1000, append=Append(5000, 6000)), (
        "the same version again"
    )
    assert planned(cut, 7000, {5000: "d5000", 6000: "d6000"}) == TransferPlan(2000, append=Append(5000, 6000)), "a later one"
    assert planned(cut, 7000, {5000: "d5000", 6000: "other"}) == TransferPlan(2000), "part of another content may stand there"
    assert planned(cut, 5500, {5000: "d5000"}) == TransferPlan(500), "so it may here"
    assert planned(cut, 7000, {5000: "d5000", 6000: "d6000"}, appends=False) == TransferPlan(2000), "no copy of what is half there"


def test_a_signature_is_for_what_is_big_and_sent_whole():
    assert is_signed(TransferPlan(SIGNED_BYTES), SIGNED_BYTES, 0, False)
    assert not is_signed(TransferPlan(SIGNED_BYTES), SIGNED_BYTES - 1, 0, False)
    assert not is_signed(TransferPlan(5, append=Append(10**6, 10**6)), 10**6 + 5, 0, False), "the old one is that of its beginning"
    assert not is_signed(TransferPlan(5, copies=(Copy(0, 10**6, 0),)), 10**6 + 5, 0, False)
    assert not is_signed(TransferPlan(10**6), 10**6, 1, False), "its beginning is not here"
    assert not is_signed(TransferPlan(10**6), 10**6, 0, True), "it may change while it is read"


def test_only_what_is_surely_known_is_patched():
    assert may_be_patched(OLD, TransferPlan(6000), "new", "")
    assert not may_be_patched(OLD, TransferPlan(6000), "new", "half of it"), "gone on with"
    assert not may_be_patched(None, TransferPlan(6000), "new", "")
    assert not may_be_patched(OLD, TransferPlan(6000), OLD.digest, ""), "the server lost it"
    assert not may_be_patched(OLD._replace(reach=(5500, "d")), TransferPlan(6000), "new", ""), (
        "part of another content may stand there"
    )
    assert not may_be_patched(OLD, TransferPlan(1000, append=Append(5000, 5000)), "new", "")
    assert not may_be_patched(OLD, TransferPlan(1000, copies=(Copy(0, 5000, 0),)), "new", "")


def test_a_patch_must_save_something():
    whole = TransferPlan(10**6)
    assert patched(whole, 10**6, (), 0) == whole
    assert patched(whole, 10**6, (Copy(0, 99_999, 0),), 0) == whole
    assert patched(whole, 10**6, (Copy(0, 100_000, 0),), 0) == TransferPlan(900_000, copies=(Copy(0, 100_000, 0),))
    assert patched(TransferPlan(300_000), 300_000, (Copy(0, 60_000, 0),), 0) == TransferPlan(300_000)
    both = (Copy(0, 40_000, 5), Copy(50_000, 40_000, 0))
    assert patched(TransferPlan(300_000), 300_000, both, 0) == TransferPlan(220_000, copies=both)


def test_a_patch_cut_repeatedly_yields_to_what_can_resume():
    size, much, little = 10**8, (Copy(0, 10**8 - 2 * 10**6, 0),), (Copy(0, 10**8 - 10**5, 0),)
    planned = [patched(TransferPlan(size), size, much, tries) for tries in range(PATCH_TRIES + 1)]
    assert [bool(one.copies) for one in planned] == [True] * PATCH_TRIES + [False]
    assert {one.new for one in planned} == {2 * 10**6}, "so much of it is new, however it is sent"
    assert patched(TransferPlan(size), size, little, 3 * PATCH_TRIES - 1).copies
    assert not patched(TransferPlan(size), size, little, 3 * PATCH_TRIES).copies, "the server may be unable to"


@given(st.binary(min_size=LEAST_BYTES + 1, max_size=LEAST_BYTES + 40), st.binary(max_size=60), st.integers(0, 50), st.data())
def test_an_append_makes_the_new_content_whatever_was_cut(old, tail, cut, data):
    """A model of the server's file: appends that end anywhere, then another version, and again."""
    known, remote, content = Known(RemoteStat(len(old), 0), sha(old)), old, old + tail
    sizes = {len(old)}
    for _ in range(4):
        prefixes = {size: sha(content[:size]) for size in sizes if size <= len(content)} | {len(content): sha(content)}
        plan = plan_transfer(known, len(content), prefixes, appends=True, copies=False)
        if plan.append is not None:
            assert plan.append.at <= len(remote) <= plan.append.until
            assert content.startswith(remote), "what stands there is a true beginning of it"
            known = known._replace(reach=(len(content), sha(content)))
            end = min(len(content), len(remote) + cut)
            remote = content[:end]
        else:
            remote = content
        if remote == content:
            known = Known(RemoteStat(len(content), 0), sha(content))
        sizes |= {len(content), known.remote.size}
        edit = data.draw(st.sampled_from(["append", "truncate", "replace", "same"]))
        if edit == "append":
            content += data.draw(st.binary(min_size=1, max_size=30))
        elif edit == "truncate":
            content = content[: data.draw(st.integers(0, len(content)))]
        elif edit == "replace":
            content = data.draw(st.binary(max_size=LEAST_BYTES + 90))
