"""Messages with their prefixes: cut out of whatever has arrived."""

import gzip
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.rpc import RpcError, Status
from gossipnode.rpc.message_framing import cut_messages, frame_message, frame_messages

LARGEST = 1_000


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(1, 4), st.integers(0, 24))
def test_messages_come_out_as_they_went_in(messages, at_once, cut_off):
    data = frame_messages(messages)
    assert data == b"".join(map(frame_message, messages))
    buffer = bytearray(data[: len(data) - cut_off] if cut_off else data)
    got = []
    while True:
        cut, taken = cut_messages(buffer, at_once, LARGEST)
        assert len(cut) <= at_once
        if not cut:
            assert taken == 0
            break
        got += cut
        del buffer[:taken]
    assert got == messages[: len(got)]
    assert len(buffer) < len(frame_message(b"x" * 20))
    if not cut_off:
        assert got == messages


@pytest.mark.parametrize(
    ("prefix", "status"),
    [
        (b"\0\0\0\3\xe9", Status.RESOURCE_EXHAUSTED),
        (b"\0\xff\xff\xff\xff", Status.RESOURCE_EXHAUSTED),
        (b"\1\0\0\0\1", Status.INTERNAL),
    ],
)
def test_a_bad_message_is_refused_by_its_prefix(prefix, status):
    with pytest.raises(RpcError) as caught:
        cut_messages(bytearray(prefix), 2, LARGEST)
    assert caught.value.status is status
    good = frame_message(b"good")
    assert cut_messages(bytearray(good + prefix), 2, LARGEST) == ([b"good"], len(good))


def test_a_message_may_be_as_large_as_the_limit():
    data = frame_message(bytes(LARGEST))
    assert cut_messages(bytearray(data), 2, LARGEST) == ([bytes(LARGEST)], len(data))


def compressed(data):
    # Without the time of day: each process of a test run must give its tests the same names.
    squeezed = gzip.compress(data, mtime=0)
    return b"\1" + len(squeezed).to_bytes(4, "big") + squeezed


def test_compressed_messages_are_inflated_one_at_a_time():
    buffer = bytearray(compressed(b"one") + compressed(b"two") + frame_message(b"three"))
    got = []
    for _ in range(3):
        messages, taken = cut_messages(buffer, 16, LARGEST, gzip=True)
        del buffer[:taken]
        got.append(messages)
    assert got == [[b"one"], [b"two"], [b"three"]]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (compressed(bytes(LARGEST + 1)), Status.RESOURCE_EXHAUSTED),
        (compressed(b"x")[:5] + b"y" * (len(compressed(b"x")) - 5), Status.INTERNAL),
        (b"\1\0\0\0\3abc", Status.INTERNAL),
        (b"\1\0\0\0\0", Status.INTERNAL),
        (b"\2" + compressed(b"x")[1:], Status.INTERNAL),
    ],
)
def test_a_bad_compressed_message(data, status):
    with pytest.raises(RpcError) as caught:
        cut_messages(bytearray(data), 2, LARGEST, gzip=True)
    assert caught.value.status is status


def test_a_message_made_to_grow_is_not_inflated_beyond_its_bound():
    """4 MiB of zeros in 4 KB: it is within the limit of messages, but nothing honest is so small."""
    data, largest = compressed(bytes(4 << 20)), 4 << 20
    tracemalloc.start()
    with pytest.raises(RpcError) as caught:
        cut_messages(bytearray(data), 2, largest, gzip=True)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
    assert peak_bytes < 3 << 20
    honest = random.Random(1).randbytes(10_000) * 20
    assert cut_messages(bytearray(compressed(honest)), 2, largest, gzip=True)[0] == [honest]
