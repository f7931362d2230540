"""Varints, as the runtime of protobuf writes them."""

import pytest
from google.protobuf.wrappers_pb2 import UInt64Value
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.wire.varint import read_varint


@given(st.integers(1, 2**64 - 1), st.binary(max_size=3))
def test_what_the_runtime_writes_is_read(number: int, behind: bytes) -> None:
    data = UInt64Value(value=number).SerializeToString()
    assert read_varint(data + behind, 1) == (number, len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10 + b"\x01", b"\x80" * 1_000_000])
def test_one_that_does_not_end_is_refused(data: bytes) -> None:
    with pytest.raises(IndexError):
        read_varint(data, 0)
