"""Elements are counted by tags and lengths alone."""

from __future__ import annotations

import pytest

from gossipnode.wire.bounds import element_count
from gossipnode.wire.bounds.element_count import check_elements
from gossipnode.wire.bounds.message_bounds import ARRAY_MAX_ELEMENTS, FIELDS_MAX, TAGS_MAX
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2
from gossipnode.wire.services import REPLICA_EXCHANGE
from gossipnode.wire.wire_errors import CrowdedError, WireError
from tests.wire.support import all_messages, field, varint

TAG = b"\x1a\x00"


def check(data: bytes) -> None:
    check_elements(Property, data, "P")


def test_tags_are_counted_exactly() -> None:
    check(TAG * TAGS_MAX)
    with pytest.raises(CrowdedError, match=f"^P.tags: more than {TAGS_MAX} elements$"):
        check(TAG * (TAGS_MAX + 1))


@pytest.mark.parametrize(
    "before", [b"\x12\x01x", b"\x78\x80\x80\x01", b"\x79" + bytes(8), b"\x7d" + bytes(4)]
)
def test_fields_of_every_wire_type_are_passed_over(before: bytes) -> None:
    check(before * 10 + TAG * TAGS_MAX)
    with pytest.raises(CrowdedError):
        check(before * 10 + TAG * (TAGS_MAX + 1))
    with pytest.raises(CrowdedError):
        check((before + TAG) * (TAGS_MAX + 1))


@pytest.mark.parametrize(
    "tag",
    [
        b"\x1a\x00",
        b"\x9a\x00\x00",  # a key that is longer than it need be
        b"\x1a\x80\x00",  # and a length
        b"\x1a\x80\x80\x00",
        field(3, field(1, bytes(125))),
        field(3, field(1, bytes(200))),
        field(3, field(1, bytes(20_000))),
    ],
)
def test_elements_count_together_whatever_form_and_length_they_have(tag: bytes) -> None:
    check(TAG * (TAGS_MAX - 20) + tag * 10 + TAG * 10)
    with pytest.raises(CrowdedError, match=f"^P.tags: more than {TAGS_MAX} elements$"):
        check(TAG * (TAGS_MAX - 20) + tag * 10 + TAG * 11)


@pytest.mark.parametrize("size", [100, 200, 20_000])
def test_an_element_is_entered_where_it_lies_in_its_list(size: int) -> None:
    others = field(3, field(1, bytes(size))) * 3
    crowd = array(3, b"\x0a\x00" * (ARRAY_MAX_ELEMENTS + 1))
    with pytest.raises(CrowdedError, match=r"^P.tags.value.str_array.value: more than"):
        check(others + crowd + others)


def array(number: int, content: bytes) -> bytes:
    return field(3, field(2, field(number, content)))


@pytest.mark.parametrize("element", [b"\x08\x01", b"\x08\x80\x80\x01"])
def test_numbers_that_are_not_packed(element: bytes) -> None:
    check(array(5, element * ARRAY_MAX_ELEMENTS))
    with pytest.raises(CrowdedError, match=r"P.tags.value.int_array.value: more than 65536 elements"):
        check(array(5, element * (ARRAY_MAX_ELEMENTS + 1)))


@pytest.mark.parametrize("number", [b"\x01", b"\x80\x01", b"\xff\xff\x01"])
def test_packed_numbers_are_counted_by_their_last_bytes(number: bytes) -> None:
    check(array(5, field(1, number * ARRAY_MAX_ELEMENTS)))
    with pytest.raises(CrowdedError, match=r"int_array.value: more than"):
        check(array(5, field(1, number * (ARRAY_MAX_ELEMENTS + 1))))


def test_texts_of_an_array() -> None:
    check(array(3, b"\x0a\x00" * ARRAY_MAX_ELEMENTS))
    with pytest.raises(CrowdedError, match=r"str_array.value: more than"):
        check(array(3, b"\x0a\x00" * (ARRAY_MAX_ELEMENTS + 1)))


def test_elements_of_many_arrays_are_counted_together_in_a_long_message() -> None:
    part = array(5, field(1, b"\x01" * (ARRAY_MAX_ELEMENTS - 10)))
    check(part * 2)
    with pytest.raises(CrowdedError, match=f"^P: more than {FIELDS_MAX} fields$"):
        check(part * 5)


def test_unknown_fields_are_counted_in_a_long_message() -> None:
    with pytest.raises(CrowdedError, match=f"more than {FIELDS_MAX} fields"):
        check(b"\x78\x01" * (FIELDS_MAX + 1))


def test_fields_in_a_message_without_lists_are_counted_in_a_long_message() -> None:
    """Google's runtime would make an object of each when a property's unknown fields are looked at."""
    with pytest.raises(CrowdedError, match=f"more than {FIELDS_MAX} fields"):
        check(field(1, b"\x78\x01" * (FIELDS_MAX + 1)))


def test_fields_of_many_short_elements_are_counted_in_a_long_message() -> None:
    tag = array(3, b"\x0a\x00" * 40)
    check(tag * 3000)
    with pytest.raises(CrowdedError, match=f"^P: more than {FIELDS_MAX} fields$"):
        check(tag * 4000)


@pytest.mark.parametrize(
    "end", [b"\x1a\xff", b"\x1a\xff\xff\xff\x7f", b"\x1a", b"\xff", b"\xff" * 20, b"\x78\xff"]
)
def test_malformed_bytes_are_for_the_runtime_to_refuse(end: bytes) -> None:
    check(TAG * TAGS_MAX + end)


def test_a_group_in_a_long_message_is_refused() -> None:
    with pytest.raises(WireError, match="field 15 is a group"):
        check(TAG * TAGS_MAX + b"\x7b\x7c")


def test_a_short_message_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(element_count, "_Count", None)
    check(field(3, field(1, b"key")) * (2 * TAGS_MAX // 9))
    request = field(1, field(7, field(1, field(1, bytes(2000))))) * 4
    check_elements(replica_pb2.ExchangeRequest, request, "E")


def test_what_can_hold_no_more_than_it_may_is_not_entered() -> None:
    """Counting a batch of requests takes one step for each of them, whatever is in it."""
    message = field(6, field(1, b"\x0a\x01k") * 20)
    count = element_count._Count(b"", "E", everything=False)  # pyright: ignore[reportPrivateUsage]
    data = field(1, message) * 200
    count._data = data  # pyright: ignore[reportPrivateUsage]
    node = element_count._node_of(replica_pb2.ExchangeRequest.DESCRIPTOR)  # pyright: ignore[reportPrivateUsage]
    count.message(node, 0, len(data), "E")
    assert count._left == FIELDS_MAX - 200  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("where", "number"), [("read", 6), ("write", 7)])
def test_a_batch_of_members_is_counted(where: str, number: int) -> None:
    crowd = field(1, field(number, b"\x0a\x00" * 4097))
    with pytest.raises(
        CrowdedError, match=rf"ExchangeRequest.requests.{where}\.\w+: more than 4096 elements"
    ):
        REPLICA_EXCHANGE.decode_request(crowd)
    with pytest.raises(CrowdedError, match=r"ExchangeRequest.requests: more than 4096 elements"):
        REPLICA_EXCHANGE.decode_request(b"\x0a\x00" * 4097)
    batch = REPLICA_EXCHANGE.decode_request(field(1, field(number, b"\x0a\x00" * 4096)))
    assert len(batch.requests) == 1


def test_every_message_of_the_protos_can_be_counted() -> None:
    for _, theirs in all_messages():
        for each in theirs.DESCRIPTOR.fields:
            check_elements(theirs, varint(each.number << 3 | 2) + b"\x00", "M")
