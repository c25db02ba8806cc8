"""Signatures, and what a server makes of the copies that they tell."""

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pysubtask.common.errors import SourceChanged
from pysubtask.subtask.delta import signature
from pysubtask.subtask.delta.signature import FASTCDC, FIXED, LEAST_COPY, Halted, copies_of, settled, sign, unpack
from pysubtask.transports.base import Copy
from pysubtask.transports.sftp.patch import are_sound


def go_on():
    return False


@pytest.fixture(params=[FASTCDC, FIXED], ids=["fastcdc", "fixed"])
def method(request, monkeypatch):
    if request.param == FIXED:
        monkeypatch.setattr(signature, "_fastcdc", lambda: None)
    elif signature._fastcdc() is None:
        pytest.skip("pyfastcdc is not installed")
    return request.param


def rebuilt(had, copies, content):
    """What a server that has ``had`` makes of copies and of what is sent between them."""
    result, end = b"", 0
    for at, size, origin in copies:
        result += content[end:at] + had[origin : origin + size]
        end = at + size
    return result + content[end:]


def to_send(content, copies):
    return len(content) - sum(copy.size for copy in copies)


class Files:
    """Contents as files."""

    def __init__(self, folder):
        self.path = str(folder / "content")
        self.noise = random.Random(11).randbytes

    def sign(self, content, average=None):
        with open(self.path, "wb") as file:
            file.write(content)
        return sign(self.path, len(content), go_on, average)

    def copies(self, old, had, content):
        with open(self.path, "wb") as file:
            file.write(content + b"what is behind it is of no interest")
        return copies_of(old, len(had), self.path, len(content), go_on)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


BITS = st.tuples(st.sampled_from(["noise", "zeros", "lines", "again"]), st.integers(1, 30_000), st.integers(0, 99))


def bit(kind, size, seed, content):
    if kind == "zeros":
        return bytes(size)
    if kind == "lines":
        return b"".join(b"%06d,%d\n" % (number, seed) for number in range(size // 9 + 1))[:size]
    if kind == "again" and content:
        return content[: size // 2]
    return random.Random(seed * 10**6 + size).randbytes(size)


EDITS = st.lists(
    st.tuples(st.sampled_from(["insert", "delete", "overwrite", "move", "append", "truncate"]), st.floats(0, 1), BITS), max_size=4
)


def edited(content, edits):
    for kind, where, (what, size, seed) in edits:
        at = int(where * len(content))
        new = bit(what, size, seed, content)
        if kind == "insert":
            content = content[:at] + new + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + size :]
        elif kind == "overwrite":
            content = content[:at] + new + content[at + size :]
        elif kind == "move":
            content = content[at:] + content[:at]
        elif kind == "append":
            content += new
        elif kind == "truncate":
            content = content[:at]
    return content


@pytest.mark.slow
@pytest.mark.parametrize("library", [True, False], ids=["fastcdc", "fixed"])
def test_any_edits_make_the_new_content(tmp_path_factory, library):
    files = Files(tmp_path_factory.mktemp("files"))
    saved = []

    @settings(max_examples=40)
    @given(st.lists(BITS, min_size=1, max_size=4), st.lists(st.tuples(EDITS, st.integers(0, 5_000)), min_size=1, max_size=3))
    def check(bits, versions):
        content = bit("noise", 60_000, 0, b"")
        for one in bits:
            content += bit(*one, content)
        held = files.sign(content, 256)
        for edits, grown in versions:
            had = content + bit("noise", grown, 100, b"")  # appended to since it was signed
            content = edited(had, edits)
            copies, held = files.copies(held, had, content)
            assert are_sound(copies, len(content), len(had))
            assert rebuilt(had, copies, content) == content
            assert all(copy.size >= LEAST_COPY for copy in copies)
            saved.append(sum(copy.size for copy in copies))
            assert (held.size, held.average) == (len(content), 256)

    with pytest.MonkeyPatch.context() as patch:
        if not library:
            patch.setattr(signature, "_fastcdc", lambda: None)
        elif signature._fastcdc() is None:
            pytest.skip("pyfastcdc is not installed")
        check()
    assert any(saved)


@pytest.mark.slow
def test_what_was_inserted_at_the_front_is_what_is_sent(files, method):
    had = files.noise(50_000_000 if method == FASTCDC else 10_000_000)
    content = files.noise(1_000_000) + had
    copies, _ = files.copies(files.sign(had), had, content)
    assert rebuilt(had, copies, content) == content
    assert len(copies) == 1
    assert to_send(content, copies) < 1_100_000


def test_what_was_overwritten_in_the_middle_is_what_is_sent(files, method):
    had = files.noise(10_000_000)
    content = had[:4_000_000] + files.noise(100_000) + had[4_100_000:]
    copies, _ = files.copies(files.sign(had), had, content)
    assert len(copies) == 2
    assert to_send(content, copies) < 200_000


def test_one_change_of_length_anywhere_costs_itself(files, method):
    """Without the library only one can be found: what lies between two of them has neither kept its place nor its distance."""
    had = files.noise(2_000_000)
    for content in (had[:900_000] + b"inserted" + had[900_000:], had[:900_000] + had[900_100:], had[5:], had[:-5]):
        copies, _ = files.copies(files.sign(had), had, content)
        assert rebuilt(had, copies, content) == content
        assert to_send(content, copies) < 80_000
    content = b"two" + had[:1_000_000] + b"of them" + had[1_000_000:]
    copies, _ = files.copies(files.sign(had), had, content)
    assert (to_send(content, copies) < 100_000) == (method == FASTCDC)


def test_what_was_appended_since_does_not_hide_the_end(files, method):
    had = files.noise(2_000_000)
    held, had = files.sign(had), had + b"appended" * 1000
    content = files.noise(1000) + had
    copies, new = files.copies(held, had, content)
    assert to_send(content, copies) < 60_000
    assert new.size == len(content)


def test_equal_parts_make_no_more_copies_than_they_must(files):
    had = files.noise(200_000) * 10
    copies, _ = files.copies(files.sign(had), had, files.noise(5_000) + had)
    assert len(copies) <= 5, "not one for each time it is repeated"
    copies, _ = files.copies(files.sign(had + bytes(400_000)), had + bytes(400_000), had + b"x" + bytes(400_000))
    assert len(copies) <= 10, "each part of zeros follows itself"


def test_a_signature_of_the_other_method_is_of_no_use(files, monkeypatch):
    had = files.noise(600_000)
    held = files.sign(had)
    if held.method == FIXED:
        pytest.skip("pyfastcdc is not installed")
    monkeypatch.setattr(signature, "_fastcdc", lambda: None)
    copies, new = files.copies(held, had, b"x" + had)
    assert copies == ()
    assert (held.method, new.method) == (FASTCDC, FIXED)


def test_packed_and_unpacked_it_is_the_same(files, method):
    held = files.sign(files.noise(300_000))
    packed = held.pack()
    assert unpack(packed) == held
    assert held.method == method
    assert len(packed) < 300_000 / 100
    for wrong in (b"", packed[:-1], packed[:-20], packed[20:], b"x" + packed[1:], packed[:5] + b"\0\0\0\1" + packed[9:]):
        assert unpack(wrong) is None


def test_it_stays_small_whatever_the_size():
    sizes = [300_000, 50_000_000, 200_000_000, 10**10]
    assert [signature.average_for(size) for size in sizes] == [8192, 8192, 32768, 1024 * 1024]
    held = signature.Signature(FIXED, 8192, 50_000_000, ())
    assert held.suits() and held._replace(size=200_000_000).suits() and not held._replace(size=10**9).suits()
    assert not held._replace(average=1024 * 1024).suits()


def test_a_file_that_shrank_and_one_that_is_no_longer_needed(files, method):
    files.sign(b"x" * 100_000)
    with pytest.raises(SourceChanged):
        sign(files.path, 100_001, go_on)
    halt = threading.Event()
    halt.set()
    with pytest.raises(Halted):
        sign(files.path, 100_000, halt.is_set)
    with pytest.raises(FileNotFoundError):
        sign(files.path + "x", 100_000, go_on)


def test_a_slow_library_is_none(monkeypatch):
    pyfastcdc = pytest.importorskip("pyfastcdc")
    monkeypatch.setattr(pyfastcdc, "FastCDC", type("FastCDC", (), {"__module__": "pyfastcdc.py.fastcdc"}))
    assert signature._fastcdc() is None


def test_copies_are_put_in_order_cut_to_fit_and_joined():
    assert settled([Copy(8000, 8000, 8000), Copy(0, 8000, 0)]) == (Copy(0, 16000, 0),)
    assert settled([Copy(0, 8000, 5000), Copy(8000, 8000, 8000)]) == (Copy(0, 8000, 5000), Copy(8000, 8000, 8000))
    assert settled([Copy(0, 8000, 0), Copy(5000, 8000, 1000)]) == (Copy(0, 8000, 0), Copy(8000, 5000, 4000))
    assert settled([Copy(0, 8000, 0), Copy(100, 50, 900)]) == (Copy(0, 8000, 0),)
    assert settled([Copy(0, LEAST_COPY - 1, 7), Copy(9000, LEAST_COPY, 7)]) == (Copy(9000, LEAST_COPY, 7),)
    assert settled([]) == ()
