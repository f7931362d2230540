"""Header blocks: what is remembered says what HPACK says, and no block grows without end."""

import tracemalloc
from contextlib import suppress

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.concurrency.shares import Caller
from gossipnode.rpc import Limits
from gossipnode.rpc.http2.headers import HeaderDecoder, HeaderEncoder, UnfinishedBlock, parse_head
from gossipnode.rpc.http2.http2_faults import ConnectionFault, StreamFault
from tests.concurrency.accounts import account
from tests.rpc.methods import UNARY
from tests.rpc.raw_peer import message
from tests.rpc.wired import against

NAMES = ["a", "b", "content-type", "n" * 200]


VALUES = ["1", "a b ~", "v" * 126, "v" * 127, "v" * 300, "w" * 2000]


# Fields are drawn by number: Hypothesis would print the long ones whole.
numbers = st.tuples(st.integers(0, len(NAMES) - 1), st.integers(0, len(VALUES) - 1))


blocks = st.lists(
    st.tuples(st.lists(numbers, min_size=1, max_size=5), st.lists(numbers, max_size=2)),
    min_size=1,
    max_size=8,
)


def spelled(fields):
    return [(NAMES[name], VALUES[value]) for name, value in fields]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(blocks, st.integers(0, 4096))
def test_remembered_blocks_say_what_hpack_says(script, table_bytes):
    """Whatever repeats or changes the table in between, a stock HPACK decoder reads our blocks right."""
    encoder, decoder = HeaderEncoder(Limits(max_cached_header_blocks=4)), Decoder(1 << 20)
    for number, (fields, once) in enumerate([(spelled(a), spelled(b)) for a, b in script] * 2):
        if number == len(script):
            encoder.resize(table_bytes, table_bytes)
        pairs = tuple((name.encode(), value.encode()) for name, value in fields)
        block = encoder.encode(pairs, once)
        assert [tuple(field) for field in decoder.decode(block)] == fields + once


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(blocks, st.booleans())
def test_remembered_heads_say_what_hpack_says(script, sensitive):
    encoder, decoder = Encoder(), HeaderDecoder(Limits(max_cached_header_blocks=4), account())
    for number, (fields, once) in enumerate([(spelled(a), spelled(b)) for a, b in script] * 3):
        if number == len(script):
            encoder.header_table_size = 200
        block = encoder.encode([*fields, *[(name, value, sensitive) for name, value in once]])
        expected = parse_head([(name.encode(), value.encode()) for name, value in fields + once])
        assert decoder.decode(block) == expected


def test_the_same_octet_means_another_field_after_the_table_changed():
    """Index 62 is always the newest entry of the table: what was remembered for it must be forgotten."""
    encoder, decoder = Encoder(), HeaderDecoder(Limits(), account())
    for name in ("a", "b", "a", "c"):
        heads = [decoder.decode(encoder.encode([(name, name * 9)])) for _ in range(3)]
        assert [head.metadata for head in heads] == [{name: name * 9}] * 3


def test_heads_are_remembered_only_while_there_is_memory():
    memory = account()
    encoder, decoder = Encoder(), HeaderDecoder(Limits(), memory)
    block = encoder.encode([("a", "b")])
    decoder.decode(block)
    others = memory.budget.account("test", Caller("others", member=True))
    others.take(memory.budget.shares.capacity)
    block = encoder.encode([("a", "b")])
    assert decoder.decode(block).metadata == {"a": "b"}
    assert memory.held == 0
    others.close()
    assert decoder.decode(block).metadata == {"a": "b"}
    assert memory.held > 0


LITERAL = b"\0\x03key\x05value"  # a field that gets no place in the table


def test_a_block_with_literals_is_decoded_once_until_the_table_changes(monkeypatch):
    decoded = []
    decode = Decoder.decode
    monkeypatch.setattr(
        Decoder, "decode", lambda self, *given, **named: decoded.append(1) or decode(self, *given, **named)
    )
    encoder, decoder = Encoder(), HeaderDecoder(Limits(), account())
    decoder.decode(encoder.encode([("a", "1")]))
    repeated = b"\xbe" + LITERAL  # index 62, the newest entry of the table
    for _ in range(5):
        assert decoder.decode(repeated).metadata == {"a": "1", "key": "value"}
    assert len(decoded) == 2
    decoder.decode(encoder.encode([("b", "2")]))
    assert decoder.decode(repeated).metadata == {"b": "2", "key": "value"}


def test_of_blocks_with_literals_the_latest_one_alone_is_remembered():
    memory = account()
    decoder = HeaderDecoder(Limits(), memory)
    held = set()
    for number in range(100, 400):
        decoder.decode(b"\0\x03key\x03%d" % number)
        held.add(memory.held)
    assert len(held) == 1
    assert len(decoder._heads) == 1


def test_a_block_that_changes_the_size_of_the_table_is_decoded_each_time():
    encoder, decoder = Encoder(), HeaderDecoder(Limits(), account())
    decoder.decode(encoder.encode([("a", "1")]))
    shrinks_and_grows = b"\x20\x3f\xe1\x1f" + LITERAL  # to 0 bytes, and to 4096 again
    for _ in range(2):
        assert decoder.decode(shrinks_and_grows).metadata == {"key": "value"}
    with pytest.raises(ConnectionFault):
        decoder.decode(b"\xbe")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_block_is_a_head_or_a_fault(block):
    with suppress(ConnectionFault, StreamFault):
        HeaderDecoder(Limits(), account()).decode(block)


@pytest.mark.parametrize("size", [0, 1, 1000, 16_000])
async def test_header_block_without_end(caplog, size):
    async with against(caplog) as peer:
        await peer.send(HeadersFrame(1, b"\x82"), *[ContinuationFrame(1, bytes(size))] * 40)
        assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


async def test_giant_header_list(caplog):
    """A small block that names one large entry of the table again and again."""
    async with against(caplog) as peer:
        block = peer.encoder.encode([(":method", "POST"), ("x", "y" * 3000)])
        block += b"\xbe" * 500  # index 62, the newest entry of the table
        await peer.send(HeadersFrame(1, block, flags=["END_HEADERS"]))
        assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


async def test_metadata_up_to_the_limit(caplog):
    async with against(caplog) as peer:
        await peer.send(
            peer.request(1, UNARY.path, ("x", "y" * 8000)),
            DataFrame(1, message(b"x"), flags=["END_STREAM"]),
        )
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


def test_a_block_grows_to_its_limits_and_no_further():
    limits = Limits(max_continuation_frames=2, max_header_block_bytes=10)
    block = UnfinishedBlock(1, bytearray(b"12345"), ends_stream=False)
    block.add(b"67", limits)
    block.add(b"890", limits)
    assert bytes(block.data) == b"1234567890"
    with pytest.raises(ConnectionFault, match="without end"):
        block.add(b"", limits)
    with pytest.raises(ConnectionFault, match="without end"):
        UnfinishedBlock(1, bytearray(10), ends_stream=False).add(b"x", limits)


@pytest.mark.parametrize(
    ("value", "text"), [(b"a\tb", "a\tb"), ("ä".encode("latin-1"), "ä"), (b"\xff\x80", "\xff\x80")]
)
def test_a_value_may_have_tabs_and_octets_beyond_ascii(value, text):
    assert parse_head([(b"x", value)]).metadata == {"x": text}


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (b"AQI=,AwQ=", b"\3\4"),
        (b"AQI, AwQ", b"\3\4"),
        (b"AP8", b"\0\xff"),
        (b"AP8=", b"\0\xff"),
        (b"", b""),
        (b"+/+/", b"\xfb\xff\xbf"),
    ],
)
def test_binary_values(value, data):
    assert parse_head([(b"x-bin", value)]).metadata == {"x-bin": data}


async def test_the_reason_of_a_goaway_shows_no_memory_address(caplog):
    async with against(caplog) as peer:
        await peer.send(HeadersFrame(1, b"\xff\xff", flags=["END_HEADERS"]))
        await peer.goaway()
        assert b"0x" not in peer.received[-1].additional_data


def test_remembered_heads_are_bounded_in_bytes():
    """Blocks of two or three octets, each of which names fields of thousands of bytes, all different."""
    encoder, decoder = Encoder(), HeaderDecoder(Limits(), account())
    decoder.decode(encoder.encode([("a", "y" * 3000)]))
    decoder.decode(encoder.encode([("b", "1")]))
    tracemalloc.start()
    for number in range(200):
        choice = [b"\xbf" if number >> bit & 1 else b"\xbe" for bit in range(8)]
        with suppress(StreamFault):
            decoder.decode(b"".join(choice) + b"\xbf")
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept_bytes < 2 * Limits().max_cached_head_bytes
