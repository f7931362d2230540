"""Messages are read as betterproto reads them, but what it lets pass is refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import betterproto
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.wire.bounds.message_bounds import MESSAGE_FIELDS
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import DEPTH_MAX, decode
from gossipnode.wire.envelope.tables import chosen, table_of
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1 as node
from gossipnode.wire.generated.pb.banyandb.property.v1 import gossip_pb2
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2
from gossipnode.wire.wire_errors import WireError
from tests.wire.support import all_messages, examples, field, messages, varint

ALL = all_messages()
REQUEST = banyandb.PropagationRequest(
    context=banyandb.PropagationContext(
        nodes=["a", "b", "ü"], max_propagation_count=3, current_propagation_count=-1, origin_node="a"
    ),
    trace_context=banyandb.PropagationTraceContext(trace_id="t"),
    group="g",
    shard_id=2**32 - 1,
)
STATUS = node.StatusResponse(
    node="a",
    shards=[node.ShardStatus(group="g", replicas=["a", "b"], records=2**64 - 1, last_converged=-(2**63))],
    rounds=[node.Round(round="r", seconds=-0.5, hops=[node.Hop(from_="a", to="b", seconds=1e300)])],
)


def test_every_message_of_the_protos_is_held_against_betterproto() -> None:
    assert len(ALL) > 50
    assert {cls.__module__.removeprefix("gossipnode.wire.generated.bp.") for cls, _ in ALL} == {
        "banyandb.common.v1",
        "banyandb.database.v1",
        "banyandb.model.v1",
        "banyandb.property.v1",
        "gossipnode.v1",
    }


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), ALL, ids=[cls.DESCRIPTOR.full_name for _, cls in ALL])
def test_reads_and_writes_as_betterproto(ours: type[betterproto.Message], theirs: type[Message]) -> None:
    @examples(10)
    @given(messages(theirs))
    def agrees(message: Message) -> None:
        data = message.SerializeToString()
        expected = ours().parse(data)
        read = decode(ours, data)
        assert read == expected
        for group in ours._betterproto.oneof_field_by_group:  # type: ignore[arg-type]
            name, value = chosen(read, group)
            assert (name or "", value) == betterproto.which_one_of(expected, group)
        assert encode(read) == bytes(expected)
        assert encode(expected) == bytes(expected)

    agrees()


@pytest.mark.parametrize("message", [REQUEST, STATUS])
def test_a_message_cut_short_is_read_only_where_a_field_ends(message: betterproto.Message) -> None:
    data = encode(message)
    assert decode(type(message), data) == message
    theirs = gossip_pb2.PropagationRequest if message is REQUEST else node_pb2.StatusResponse
    whole = 0
    for size in range(len(data)):
        if _reads(theirs, data[:size]):
            decode(type(message), data[:size])
            whole += 1
        else:
            with pytest.raises(WireError):
                decode(type(message), data[:size])
    assert 0 < whole < 6


def _reads(cls: type[Message], data: bytes) -> bool:
    try:
        cls.FromString(data)
    except DecodeError:
        return False
    return True


CONTENTS = {0: b"\x01", 1: bytes(8), 2: b"\x00", 3: b"", 4: b"", 5: bytes(4)}


@pytest.mark.parametrize("cls", [cls for cls, _ in ALL])
def test_no_known_field_may_come_with_another_wire_type(cls: type[betterproto.Message]) -> None:
    for known in table_of(cls).fields:
        right = {known.wire, 2} if known.repeated else {known.wire}
        for wire, content in CONTENTS.items():
            data = varint(known.number << 3 | wire) + content
            if wire in right:
                decode(cls, data)
            else:
                with pytest.raises(WireError, match=rf"^{cls.__name__}\.{known.name}: wire type {wire}"):
                    decode(cls, data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x0a", "PropagationRequest.context: ends within a varint"),
        (b"\x0a\x05ab", "PropagationRequest.context: 5 bytes announced, 2 left"),
        (b"\x0a\xff\xff\xff\xff\x0f", "PropagationRequest.context: 4294967295 bytes announced, 0 left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "18446744073709551615 bytes announced"),
        (b"\x20" + b"\xff" * 10 + b"\x01", "PropagationRequest.shard_id: a varint of more than 10 bytes"),
        (b"\x20" + b"\xff" * 9 + b"\x02", "PropagationRequest.shard_id: a varint over 64 bits"),
        (b"\x1a\x02\xc3\x28", "PropagationRequest.group: is not valid UTF-8"),
        (b"\x1a\x03\xed\xa0\x80", "PropagationRequest.group: is not valid UTF-8"),
        (
            field(1, field(1, b"a") + field(1, b"\xff")),
            "PropagationRequest.context.nodes[1]: is not valid UTF-8",
        ),
        (field(1, b"\x10"), "PropagationRequest.context.max_propagation_count: ends within a varint"),
        (b"\x02\x00", "PropagationRequest: field number 0"),
        (b"\x80\x80\x80\x80\x10\x00", "PropagationRequest: field number 536870912 is over 2^29 - 1"),
        (b"\x1b\x1c", "PropagationRequest.group: wire type 3"),
        (b"\x7b\x7c", "PropagationRequest.field 15: wire type 3 is not supported"),
        (b"\x7d\x00\x00", "PropagationRequest.field 15: 4 bytes announced, 2 left"),
        (b"\x80", "PropagationRequest: ends within a varint"),
    ],
)
def test_errors_name_the_message_and_the_path(data: bytes, text: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(banyandb.PropagationRequest, data)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_fields_are_skipped() -> None:
    unknown = b"\x78\x01" + b"\x79" + bytes(8) + b"\x7a\x02ab" + b"\x7d" + bytes(4)
    assert decode(banyandb.PropagationRequest, unknown + encode(REQUEST) + unknown) == REQUEST
    assert encode(decode(banyandb.PropagationRequest, unknown)) == b""


def test_the_last_value_counts_and_messages_are_merged() -> None:
    first = field(1, field(1, b"a") + b"\x10\x05") + field(3, b"old")
    second = field(1, field(1, b"b") + b"\x18\x07") + field(3, b"new")
    read = decode(banyandb.PropagationRequest, first + second)
    theirs = gossip_pb2.PropagationRequest.FromString(first + second)
    assert encode(read) == theirs.SerializeToString()
    assert read.context.nodes == ["a", "b"]


def test_of_a_oneof_the_last_counts_and_the_one_before_is_gone() -> None:
    hop, finished = field(1, field(1, b"a")), field(2, field(1, b"r"))
    assert chosen(decode(node.RoundEvent, hop + finished), "event") == ("finished", node.Round(round="r"))
    back = decode(node.RoundEvent, hop + finished + field(1, field(2, b"b")))
    assert chosen(back, "event") == ("hop", node.Hop(to="b"))
    assert encode(back) == node_pb2.RoundEvent.FromString(encode(back)).SerializeToString()


def test_repeated_numbers_come_packed_or_not() -> None:
    assert decode(model.IntArray, b"\x08\x01\x0a\x02\x02\x03\x08\x04").value == [1, 2, 3, 4]
    with pytest.raises(WireError, match=r"IntArray\.value: ends within a varint"):
        decode(model.IntArray, b"\x0a\x02\x02\x83")
    assert encode(model.IntArray([1, -1])) == bytes(model.IntArray([1, -1]))


def test_an_optional_field_keeps_a_zero() -> None:
    assert decode(node.RepairRequest, b"\x10\x00").shard == 0
    assert decode(node.RepairRequest, b"").shard is None
    assert encode(node.RepairRequest(shard=0)) == b"\x10\x00"


def test_numbers_are_cut_to_their_width_as_protobuf_does() -> None:
    data = b"\x20" + varint(2**32 + 5)
    assert decode(banyandb.PropagationRequest, data).shard_id == 5
    assert gossip_pb2.PropagationRequest.FromString(data).shard_id == 5
    context = b"\x10" + varint(2**31)
    assert decode(banyandb.PropagationContext, context).max_propagation_count == -(2**31)
    assert gossip_pb2.PropagationContext.FromString(context).max_propagation_count == -(2**31)


def test_enums_are_open() -> None:
    read = decode(banyandb.QueryOrder, b"\x60\x4d")
    assert int(read.sort) == 77
    assert encode(read) == b"\x60\x4d"
    # betterproto reads 2^64 - 1 here.
    negative = b"\x60" + b"\xff" * 9 + b"\x01"
    assert int(decode(banyandb.QueryOrder, negative).sort) == -1
    assert encode(decode(banyandb.QueryOrder, negative)) == negative


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> bytes:
        data = b""
        for _ in range(levels):
            data = field(6, data)
        return data

    from gossipnode.wire.generated.bp.banyandb.common import v1 as common

    decode(common.Span, nested(DEPTH_MAX - 1))
    with pytest.raises(WireError, match="messages within each other") as caught:
        decode(common.Span, nested(DEPTH_MAX))
    assert len(str(caught.value)) < 3000


def test_enclosed_messages_are_read_where_they_lie() -> None:
    """Nothing is copied on the way down, so a deep message takes no more memory than a flat one."""
    from gossipnode.wire.generated.bp.banyandb.common import v1 as common

    data = field(15, bytes(1 << 20))
    for _ in range(DEPTH_MAX - 1):
        data = field(6, data)
    tracemalloc.start()
    decode(common.Span, data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 19
    tracemalloc.stop()


@pytest.mark.parametrize("inner", [b"\x0a\x05ab", b"\x0a", b"\x10", b"\x10\xff", b"\x79\x00", b"\x7a\x03a"])
def test_a_field_ends_where_its_message_ends(inner: bytes) -> None:
    """What follows the enclosed message must not be taken for its content."""
    with pytest.raises(WireError, match=r"^PropagationRequest\.context\."):
        decode(banyandb.PropagationRequest, field(1, inner) + field(3, b"abcdefghi"))


def test_enclosed_and_unknown_fields_count_for_more_than_others() -> None:
    for fields, each in ((field(1, b""), MESSAGE_FIELDS + 2), (b"\x78\x01", 4)):
        most = 10 * each
        decode(banyandb.PropagationRequest, fields * 10, most + 1)
        with pytest.raises(WireError, match="more fields than a message may have"):
            decode(banyandb.PropagationRequest, fields * 10, most)


SAMPLES = [(REQUEST, gossip_pb2.PropagationRequest), (STATUS, node_pb2.StatusResponse)]


@pytest.mark.slow
@pytest.mark.parametrize(("message", "theirs"), SAMPLES)
def test_whatever_comes_is_an_error_or_a_message_that_protobuf_reads_too(
    message: betterproto.Message, theirs: type[Message]
) -> None:
    data = encode(message)
    edits = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 3), st.binary(max_size=3))

    @examples(150)
    @given(
        st.binary(max_size=40) | st.lists(edits, min_size=1, max_size=3).map(lambda made: edited(data, made))
    )
    def holds(data: bytes) -> None:
        try:
            read = decode(type(message), data)
        except WireError:
            return
        assert encode(read) == encode(type(message)().parse(encode(read)))
        theirs.FromString(data)

    holds()


def edited(data: bytes, edits: list[Any]) -> bytes:
    for position, dropped, put in edits:
        data = data[:position] + put + data[position + dropped :]
    return data
