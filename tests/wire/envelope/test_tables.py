"""What is made or read without betterproto's constructor and attributes is the same as with them."""

from __future__ import annotations

import pytest

from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.envelope.tables import chosen, make, present, values_of
from gossipnode.wire.generated.bp.gossipnode import v1 as node


def test_a_message_made_from_values_is_the_one_that_its_class_makes() -> None:
    values = {"group": "g", "name": "n", "id": "i", "ack": "quorum"}
    made = make(node.GetRequest, **values)
    assert made == node.GetRequest(**values)
    assert encode(made) == bytes(node.GetRequest(**values))
    assert {name: getattr(made, name) for name in values} == values


def test_what_is_left_out_of_a_made_message_has_its_default() -> None:
    made = make(node.GetResponse)
    assert (made.acknowledged, made.record) == (0, node.Record())
    assert make(node.RepairRequest).shard is None
    assert make(node.RecordBatch).records == []


def test_made_messages_share_nothing() -> None:
    first, second = make(node.RoundEvent), make(node.RoundEvent)
    first.hop = node.Hop(to="b")
    assert chosen(second, "event") == (None, None)


def test_the_field_of_a_oneof_that_is_set() -> None:
    assert chosen(node.RoundEvent(), "event") == (None, None)
    event = node.RoundEvent(finished=node.Round(round="r"))
    assert chosen(event, "event") == ("finished", node.Round(round="r"))
    event.hop = node.Hop(to="b")
    assert chosen(event, "event") == ("hop", node.Hop(to="b"))


@pytest.mark.parametrize("data", [b"", b"\x0a\x01g"])
def test_an_enclosed_message_that_is_absent_differs_from_an_empty_one(data: bytes) -> None:
    assert present(decode(node.AlterGroupRequest, data), "indexes") is None
    empty = decode(node.AlterGroupRequest, data + b"\x22\x00")
    assert present(empty, "indexes") == node.AlterGroupRequestTagList()


def test_an_absent_message_of_a_constructor_is_absent_too() -> None:
    assert present(node.AlterGroupRequest(name="g"), "indexes") is None
    assert present(make(node.AlterGroupRequest, name="g"), "indexes") is None


def test_values_are_those_of_the_attributes() -> None:
    read = decode(node.Record, b"\x0a\x01p\x10\x05")
    values = values_of(read)
    assert (values["property"], values["delete_time"]) == (read.property, read.delete_time) == (b"p", 5)
