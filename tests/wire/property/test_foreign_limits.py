"""What the peer of the compatible protocol cannot store."""

from __future__ import annotations

import pytest

from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.foreign_limits import EMPTY_INT_ARRAY, NO_VALUE, problem_at_peer
from gossipnode.wire.property.payload import decode_record
from tests.records import record


@pytest.mark.parametrize("value", ["", 0, b"", None, IntArray((1,)), StrArray()])
def test_it_stores_empty_text_bytes_and_lists_of_text(value: TagValue) -> None:
    assert problem_at_peer(record("n/x", a="first", k=value)) == ""


def test_an_empty_list_of_numbers_is_refused() -> None:
    assert problem_at_peer(record("n/x", a="first", k=IntArray())) == EMPTY_INT_ARRAY


def test_a_tag_without_a_value_is_refused() -> None:
    message = Property.FromString(record("n/x").payload)
    message.tags.add(key="bare")
    assert problem_at_peer(decode_record(message.SerializeToString(), 0)) == NO_VALUE
