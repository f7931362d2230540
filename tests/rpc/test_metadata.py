"""Timeouts and header blocks, by themselves."""

from contextlib import suppress

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.rpc import Cardinality, Limits, Method
from gossipnode.rpc.http2.faults import ConnectionFault, StreamFault
from gossipnode.rpc.http2.headers import HeaderDecoder, HeaderEncoder, parse_head
from gossipnode.rpc.metadata import encode_timeout, parse_timeout


def timeout_of(value):
    return parse_timeout(parse_head([(b"grpc-timeout", value.encode())]))


@settings(deadline=None)
@given(st.floats(min_value=1e-6, max_value=1e7))
def test_timeouts_are_rounded_up_a_little(seconds):
    told = timeout_of(encode_timeout(seconds))
    assert seconds * (1 - 1e-6) <= told <= seconds * 1.1 + 1e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5000m"), (0.5, "500m"), (60, "60S"), (4.9997, "5000m"), (0, "0u"), (-1, "0u"), (1e12, "99999999S")],
)
def test_timeouts_by_example(seconds, text):
    assert encode_timeout(seconds) == text


def test_calls_with_one_timeout_share_one_value():
    assert len({encode_timeout(5 - lost * 1e-5) for lost in range(1000)}) == 1


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
            encoder.resize(table_bytes)
        pairs = tuple((name.encode(), value.encode()) for name, value in fields)
        block = encoder.encode(pairs, once)
        assert [tuple(field) for field in decoder.decode(block)] == fields + once


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(blocks, st.booleans())
def test_remembered_heads_say_what_hpack_says(script, sensitive):
    encoder, decoder = Encoder(), HeaderDecoder(Limits(max_cached_header_blocks=4))
    for number, (fields, once) in enumerate([(spelled(a), spelled(b)) for a, b in script] * 3):
        if number == len(script):
            encoder.header_table_size = 200
        block = encoder.encode([*fields, *[(name, value, sensitive) for name, value in once]])
        expected = parse_head([(name.encode(), value.encode()) for name, value in fields + once])
        assert decoder.decode(block) == expected


def test_the_same_octet_means_another_field_after_the_table_changed():
    """Index 62 is always the newest entry of the table: what was remembered for it must be forgotten."""
    encoder, decoder = Encoder(), HeaderDecoder(Limits())
    for name in ("a", "b", "a", "c"):
        heads = [decoder.decode(encoder.encode([(name, name * 9)])) for _ in range(3)]
        assert [head.metadata for head in heads] == [{name: name * 9}] * 3


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_block_is_a_head_or_a_fault(block):
    with suppress(ConnectionFault, StreamFault):
        HeaderDecoder(Limits()).decode(block)


@pytest.mark.parametrize("path", ["", "x", "/x", "/x/", "//x", "x/y"])
def test_a_method_has_a_path(path):
    with pytest.raises(ValueError, match="path"):
        Method(path, Cardinality.UNARY_UNARY, bytes, bytes, bytes, bytes)
