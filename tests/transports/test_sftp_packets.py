"""The words of SFTP as bytes; garbage is noticed, and neither hangs nor grows."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysubtask.transports.sftp import packets
from pysubtask.transports.sftp.packets import Attrs, Extended, Handle, Malformed, Splitter, Status
from pysubtask.transports.shared.remote_text import remote_text


def test_requests_as_the_draft_lays_them_out():
    assert packets.init() == bytes.fromhex("00000005 01 00000003")
    opening = packets.packet(packets.OPEN, 7, packets.open_new(b"a/b"))
    assert opening == bytes.fromhex("00000014 03 00000007 00000003 612f62 0000002a 00000000")
    head = packets.write_head(9, b"h", 1 << 33, 5)
    assert head + b"12345" == bytes.fromhex("0000001b 06 00000009 00000001 68 0000000200000000 00000005 3132333435")
    times = packets.set_times(b"h", 1_600_000_000_999_999_999)
    assert times == bytes.fromhex("00000001 68 00000008 5f5e1000 5f5e1000")
    assert packets.extended(packets.FSYNC, b"h") == packets.string(b"fsync@openssh.com") + bytes.fromhex("00000001 68")
    assert packets.make_folder(b"d") == bytes.fromhex("00000001 64 00000000")


@pytest.mark.parametrize(("stamp", "secs"), [(-5, 0), (0, 0), (1 << 70, 0xFFFFFFFF), (1_999_999_999, 1)])
def test_times_outside_of_32_bits_are_bent_to_its_ends(stamp: int, secs: int):
    assert packets.set_times(b"", stamp)[-4:] == struct.pack(">I", secs)


def status(number: int, code: int, words: bytes) -> bytes:
    return struct.pack(">BII", packets.STATUS, number, code) + packets.string(words) + packets.string(b"")


def test_replies():
    assert packets.reply(status(5, 4, b"Failure")) == (5, Status(4, "Failure"))
    assert packets.reply(struct.pack(">BII", packets.STATUS, 5, 0)) == (5, Status(0, "")), "some servers leave the words out"
    assert packets.reply(struct.pack(">BI", packets.HANDLE, 6) + packets.string(b"\0\1")) == (6, Handle(b"\0\1"))
    whole = struct.pack(">BIIQIIIIII", packets.ATTRS, 7, 0x8000000F, 1 << 40, 1, 2, 0o100644, 11, 12, 1)
    assert packets.reply(whole + packets.string(b"x") + packets.string(b"y")) == (7, Attrs(1 << 40, 12, 0o100644))
    assert packets.reply(struct.pack(">BII", packets.ATTRS, 7, 0)) == (7, Attrs(None, None))
    assert packets.reply(struct.pack(">BI", packets.EXTENDED_REPLY, 8) + b"rest") == (8, Extended(b"rest"))
    assert packets.limits(struct.pack(">QQQQ", 262144, 261120, 261120, 1019)) == (262144, 261120, 261120, 1019)
    raw = struct.pack(">BI", packets.VERSION, 3) + packets.string(b"fsync@openssh.com") + packets.string(b"1")
    assert packets.version(raw) == (3, {"fsync@openssh.com": b"1"})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Status(4, "Failure"), "Failure"),
        (Status(4, ""), "Failure"),
        (Status(3, "not you"), "Permission denied: not you"),
        (Status(99, ""), "status 99"),
    ],
)
def test_a_status_in_words(answer: Status, text: str):
    assert str(answer) == text


def test_what_the_other_side_says_is_cleaned_and_cut():
    text = remote_text(b"no\x1b[31m way\r\n\xff\xc2\x9b\xe2\x80\xa8" + b"x" * 10_000)
    assert len(text) <= 160
    assert text.isprintable()
    assert text.startswith("no [31m way")


@pytest.mark.slow
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.data())
def test_packets_survive_any_cutting_of_the_stream(bodies: list[bytes], data: st.DataObject):
    stream = b"".join(packets.string(body) for body in bodies)
    splitter, got = Splitter(), []
    while stream:
        count = data.draw(st.integers(1, len(stream)))
        got += splitter.feed(stream[:count])
        stream = stream[count:]
    assert got == bodies


@given(st.binary(min_size=1, max_size=400))
def test_garbage_is_a_reply_or_malformed_and_nothing_else(raw: bytes):
    for read in (packets.reply, packets.version, packets.limits):
        try:
            read(raw)
        except Malformed:
            continue


KINDS = [packets.STATUS, packets.HANDLE, packets.ATTRS, packets.EXTENDED_REPLY, packets.VERSION]


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_garbage_behind_a_good_type(kind: int, rest: bytes):
    try:
        packets.reply(bytes([kind]) + rest)
        packets.version(bytes([kind]) + rest)
    except Malformed:
        return


@given(st.integers(0, 0xFFFFFFFF))
def test_a_length_that_cannot_be_true_is_malformed_at_once(length: int):
    splitter = Splitter(1000)
    if 1 <= length <= 1000:
        assert splitter.feed(struct.pack(">I", length)) == []
        return
    with pytest.raises(Malformed):
        splitter.feed(struct.pack(">I", length))


def test_an_endless_stream_of_rubbish_takes_no_memory():
    splitter = Splitter()
    block = packets.string(b"x" * 1000) * 60
    tracemalloc.start()
    try:
        for _ in range(300):
            splitter.feed(block[:-7])
            splitter.feed(block[-7:])
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_many_attributes_that_are_not_there():
    raw = struct.pack(">BIII", packets.ATTRS, 1, 0x80000000, 0xFFFFFFFF)
    with pytest.raises(Malformed):
        packets.reply(raw)


def test_a_handle_that_is_too_long():
    with pytest.raises(Malformed):
        packets.reply(struct.pack(">BI", packets.HANDLE, 1) + packets.string(b"h" * 257))
