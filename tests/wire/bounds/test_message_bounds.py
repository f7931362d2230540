"""Every repeated field has a bound, and it is kept before objects are made."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.query.criteria import CRITERIA_VALUES_MAX
from gossipnode.wire import services
from gossipnode.wire.bounds import message_bounds as bounds
from gossipnode.wire.envelope import strict
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.envelope.tables import table_of
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1 as node
from gossipnode.wire.session_codec import decode_client_message, decode_server_message
from gossipnode.wire.wire_errors import CrowdedError, WireError
from tests.wire.support import GENERATED, all_messages, field, varint

PROTOS = Path(__file__).resolve().parents[3] / "protos"
MESSAGE_BYTES = 4 << 20


def every_message() -> Iterator[Descriptor]:
    for path in sorted(PROTOS.rglob("*.proto")):
        name = ".".join(path.relative_to(PROTOS).with_suffix("").parts)
        file = importlib.import_module(f"{GENERATED}.pb.{name}_pb2").DESCRIPTOR
        todo = list(file.message_types_by_name.values())
        while todo:
            message = todo.pop()
            todo += message.nested_types
            yield message


def repeated_fields() -> list[FieldDescriptor]:
    return [each for message in every_message() for each in message.fields if each.is_repeated]


def test_every_repeated_field_of_every_message_has_a_bound_and_no_other_has() -> None:
    assert {each.full_name for each in repeated_fields()} == set(bounds.ELEMENTS_MAX)
    assert all(0 < most <= bounds.ANSWER_FIELDS_MAX for most in bounds.ELEMENTS_MAX.values())


ONLY_IN_CRITERIA = {
    "banyandb.model.v1.StrArray.value": bounds.CRITERIA_ARRAY_MAX_ELEMENTS,
    "banyandb.model.v1.IntArray.value": bounds.CRITERIA_ARRAY_MAX_ELEMENTS,
}
"""The strict reader meets these messages in criteria alone, and Google's runtime in properties too."""


def test_both_views_of_a_message_have_the_same_bound() -> None:
    for ours, theirs in all_messages():
        tables = {each.number: each for each in table_of(ours).fields}
        for each in theirs.DESCRIPTOR.fields:
            if each.is_repeated:
                most = ONLY_IN_CRITERIA.get(each.full_name, bounds.ELEMENTS_MAX[each.full_name])
                assert tables[each.number].elements_max == most, each.full_name
    assert len(bounds.FLAT_ELEMENTS_MAX) == len(bounds.ELEMENTS_MAX)


def test_the_bounds_that_the_protocol_fixes() -> None:
    assert bounds.ELEMENTS_MAX["banyandb.property.v1.TreeSlots.slot_sha"] == SLOT_COUNT
    assert bounds.TEXT_MAX_CHARACTERS == {"banyandb.property.v1.TreeSlotSHA.value": 128}
    # A page of the largest size that a compatible peer sends, of the smallest leaves that can be.
    leaf = field(2, b"\x10\x01" + field(3, b"g/n/i") + field(4, b"a" * 128))
    assert (10 << 20) // len(leaf) < bounds.PAGE_MAX_LEAVES


# --- a tree session ---


def slots(count: int, entry: bytes = b"\x0a\x00") -> bytes:
    return field(2, entry * count)


def test_slots_are_no_more_than_a_tree_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(decode_client_message(slots(SLOT_COUNT)).slots) == SLOT_COUNT  # type: ignore[union-attr]
    made: list[object] = []
    new_message = strict.new_message
    monkeypatch.setattr(strict, "new_message", lambda table: made.append(table) or new_message(table))  # type: ignore[func-returns-value]
    with pytest.raises(WireError, match=r"RepairRequest.tree_slots.slot_sha\[32\]: more than 32 elements"):
        decode_client_message(slots(MESSAGE_BYTES // 2 - 8))
    assert len(made) == 2 + SLOT_COUNT


def test_slots_that_come_in_pieces_are_counted_together() -> None:
    with pytest.raises(WireError, match="more than 32 elements"):
        decode_client_message(slots(20) + slots(20))


def test_the_value_of_a_slot_is_no_longer_than_a_digest() -> None:
    for text in ("a" * 128, "ü" * 128):
        decode_client_message(slots(1, field(1, field(2, text.encode()))))
    with pytest.raises(WireError, match=r"slot_sha\[0\].value: 129 characters, expected 128 at most"):
        decode_client_message(slots(1, field(1, field(2, b"a" * 129))))


def page(count: int, leaf: bytes = b"\x12\x00") -> bytes:
    return field(2, leaf * count)


def test_a_page_of_empty_leaves_is_refused_before_it_is_read(parsed: list[int]) -> None:
    with pytest.raises(CrowdedError, match=r"differ_tree_summary.nodes: more than 73728 elements"):
        decode_server_message(page(MESSAGE_BYTES // 2 - 8))
    assert not parsed


def test_a_page_as_large_as_a_peer_sends_is_read() -> None:
    leaf = field(2, b"\x10\x01" + field(3, b"g/n/i") + field(4, b"a" * 128))
    count = MESSAGE_BYTES // len(leaf)
    assert len(decode_server_message(page(count, leaf)).leaves) == count  # type: ignore[union-attr]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the messages that Google's runtime was given."""
    from gossipnode.wire.property import payload_parse

    sizes: list[int] = []
    read = payload_parse._read  # pyright: ignore[reportPrivateUsage]

    def counted(cls: Any, data: bytes, path: str) -> Any:
        sizes.append(len(data))
        return read(cls, data, path)

    monkeypatch.setattr(payload_parse, "_read", counted)
    return sizes


# --- every method ---

METHODS = {name: method for name, method in vars(services).items() if isinstance(method, services.Method)}
DECODERS: dict[str, Callable[[bytes], Any]] = {
    **{f"{name} request": method.decode_request for name, method in METHODS.items() if name.isupper()},
    **{f"{name} reply": method.decode_reply for name, method in METHODS.items() if name.isupper()},
}


@pytest.mark.parametrize("name", DECODERS)
def test_no_message_costs_more_than_its_fields(name: str) -> None:
    """Two million fields of any number in one message: refused, or counted by the runtime without objects."""
    for number in range(1, 12):
        try:
            message = DECODERS[name](varint(number << 3 | 2) + b"\x00" + field(number, b"\x0a\x00" * 80_000))
        except WireError:
            continue
        assert sum(map(len, lists_of(message))) <= bounds.FIELDS_MAX


def lists_of(value: Any) -> Iterator[Any]:
    """The lists and tuples within a message."""
    fields: Any = getattr(value, "__dict__", {}).values()
    if hasattr(value, "ListFields"):
        fields = [each for _, each in value.ListFields()]
    for each in fields:
        if isinstance(each, (list, tuple)):
            yield each
        else:
            yield from lists_of(each)


@pytest.mark.parametrize("fields", [b"\x0a\x00\x1a\x00", b"\x0a\x00", b"\x7a\x00", b"\x78\x00"])
def test_fields_that_leave_no_element_are_counted_too(fields: bytes) -> None:
    """A oneof set again and again, a message merged again and again, and unknown fields."""
    with pytest.raises(WireError, match="more fields than a message may have"):
        decode_client_message(fields * bounds.FIELDS_MAX)
    decode_client_message(fields * 100 + b"\x2a\x00")


def test_numbers_of_many_arrays_are_counted_together() -> None:
    def array(count: int) -> bytes:
        value = field(3, field(5, field(1, b"\x01" * count)))
        return field(2, value)  # Criteria{condition{value{int_array}}}

    most = bounds.CRITERIA_ARRAY_MAX_ELEMENTS
    assert most > CRITERIA_VALUES_MAX
    decode(model.Criteria, array(most))
    with pytest.raises(WireError, match=r"value: more than 8192 elements"):
        decode(model.Criteria, array(most + 1))
    many = array(most)
    for _ in range(4):
        many = field(1, field(2, many) + field(3, many))
    with pytest.raises(WireError, match="more fields than a message may have"):
        decode(model.Criteria, many)


@pytest.mark.slow
def test_a_client_reads_longer_answers_than_a_node_reads_requests() -> None:
    status = field(6, field(1, b"g")) * 100_000
    assert len(services.NODE_STATUS.decode_reply(status).shards) == 100_000
    with pytest.raises(WireError, match="more fields"):
        decode(node.StatusResponse, status)


def test_a_request_with_a_bound_at_its_top_says_which_element() -> None:
    ids = field(1, b"g") + field(3, b"") * (bounds.ELEMENTS_MAX["banyandb.property.v1.QueryRequest.ids"] + 1)
    with pytest.raises(WireError, match=r"QueryRequest.ids\[65536\]: more than 65536 elements"):
        decode(banyandb.QueryRequest, ids)
