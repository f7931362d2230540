"""Bytes that are no message, sent to every method: the node answers INVALID_ARGUMENT, and keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.system.digests import root_sha
from tests.system.foreign.foreign_session import root_request, slot_requests
from tests.system.held_records import Held, sync_of
from tests.system.nodes import Nodes
from tests.system.processes import Node
from tests.system.stock_client import NODE_SERVICE, PROPAGATION, PROPERTY, REPAIR, ROUND_SERVICE, Stock
from tests.system.stock_messages import gossip, own, property_of, rpc

pytestmark = pytest.mark.slow

INVALID = grpc.StatusCode.INVALID_ARGUMENT
HEALTH = "/grpc.health.v1.Health"


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> Node:
    (node,) = module_nodes.start("a")
    return node


@pytest.fixture
def stock(node: Node) -> Iterator[Stock]:
    with Stock(node.address) as stock:
        yield stock
        # Nothing that was wrong has been kept.
        assert stock.query("sw") == []


RECORD = property_of("sw", "n", "1", {"k": "v", "l": ["a", "b"], "n": [1, 2]})
CONTEXT = gossip.PropagationContext(nodes=["a"], origin_node="a", max_propagation_count=1)
UNARY = {
    f"{PROPERTY}/Apply": rpc.ApplyRequest(property=RECORD, strategy=1),
    f"{PROPERTY}/Delete": rpc.DeleteRequest(group="sw", name="n", id="1"),
    f"{PROPERTY}/Query": rpc.QueryRequest(groups=["sw"], name="n", tag_projection=["k"]),
    PROPAGATION: gossip.PropagationRequest(context=CONTEXT, group="sw"),
    f"{NODE_SERVICE}/Apply": own.ApplyRequest(property=RECORD),
    f"{NODE_SERVICE}/Delete": own.DeleteRequest(group="sw", name="n", id="1"),
    f"{NODE_SERVICE}/Get": own.GetRequest(group="sw", name="n", id="1"),
    f"{NODE_SERVICE}/Status": own.StatusRequest(),
    f"{ROUND_SERVICE}/Report": own.ReportRequest(round="r", group="sw", holder="a"),
    f"{ROUND_SERVICE}/Alive": own.AliveRequest(holder="a", messages=[own.MessageHeld(round="r", group="sw")]),
    f"{HEALTH}/Check": None,
}
STREAMS = {
    f"{NODE_SERVICE}/Query": own.QueryRequest(query=rpc.QueryRequest(groups=["sw"])),
    f"{NODE_SERVICE}/Import": own.ImportRequest(group="sw", records=[own.Record(property=RECORD)]),
    f"{NODE_SERVICE}/Export": own.ExportRequest(group="sw"),
    f"{NODE_SERVICE}/Tree": own.TreeRequest(group="sw"),
    f"{NODE_SERVICE}/Repair": own.RepairRequest(group="sw"),
    REPAIR: root_request("sw", 0, "0"),
    f"{HEALTH}/Watch": None,
}


def spoiled(good: bytes) -> dict[str, bytes]:
    """Bytes that no message of any kind can have, by what is wrong with them."""
    return {
        "random": b"\xff" * 40,
        "truncated": good[:-1] if len(good) > 1 else b"\x0a",
        "a key alone": good + b"\x0a",
        "a length beyond the end": good + b"\x0a\x7f",
        "a length of 4 GiB": good + b"\x0a\xff\xff\xff\xff\x0f",
        "a length below 0": good + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "a varint without end": good + b"\xf8\x01" + b"\x80" * 11,
        "a varint over 64 bits": good + b"\xf8\x01" + b"\xff" * 9 + b"\x7f",
        "field 0": good + b"\x02\x00",
        "wire type 7": good + b"\xff\x01\x00",
        "an end of no group": good + b"\xfc\x01",
        "a fixed64 cut short": good + b"\xf9\x01\x00",
    }


@pytest.mark.parametrize("path", UNARY, ids=lambda path: path.removeprefix("/"))
def test_unary_methods(stock: Stock, path: str) -> None:
    request = UNARY[path]
    for way, data in spoiled(b"" if request is None else request.SerializeToString()).items():
        with pytest.raises(grpc.RpcError) as caught:
            stock.raw_unary(path, data)
        assert caught.value.code() is INVALID, (way, caught.value)
        assert caught.value.details(), way


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.removeprefix("/"))
def test_streaming_methods(stock: Stock, path: str) -> None:
    request = STREAMS[path]
    for way, data in spoiled(b"" if request is None else request.SerializeToString()).items():
        with pytest.raises(grpc.RpcError) as caught:
            stock.raw_stream(path, [data])
        assert caught.value.code() is INVALID, (way, caught.value)


def test_known_fields_of_the_wrong_type(stock: Stock) -> None:
    """A known field with another wire type is an error, and is never passed over as an unknown field."""
    tag = RECORD.tags[0].SerializeToString()
    inside = {
        "tag": b"\x0a\x01k" + b"\x10\x01",
        "tag value": b"\x0a\x01k" + b"\x12\x02\x10\x01",
        "text": b"\x0a\x01k" + b"\x12\x04\x12\x02\x08\x01",
    }
    head = property_of("sw", "n", "1", {}).SerializeToString()
    wrong = {
        "property as a number": b"\x08\x05",
        "strategy as text": b"\x12\x01a",
        "metadata as a number": _field(1, b"\x08\x01" + _field(3, tag)),
        "id as a number": _field(1, head + b"\x10\x01" + _field(3, tag)),
        "group as a number": _field(1, _field(1, b"\x08\x01") + _field(3, tag)),
        "text that is not UTF-8": _field(
            1, _field(1, b"\x0a\x02\xff\xfe\x12\x01n") + b"\x12\x011" + _field(3, tag)
        ),
        **{f"{name} of the wrong type": _field(1, head + _field(3, data)) for name, data in inside.items()},
        "tag cut short": _field(1, head + _field(3, tag[:-1])),
    }
    for way, data in wrong.items():
        for path in (f"{PROPERTY}/Apply", f"{NODE_SERVICE}/Apply"):
            with pytest.raises(grpc.RpcError) as caught:
                stock.raw_unary(path, data)
            assert caught.value.code() is INVALID, (way, caught.value)


def _field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def test_a_session_that_turns_to_rubbish(stock: Stock) -> None:
    """A broken message in the middle of a session ends it with that status, and no part of it is stored."""
    held = Held(property_of("other", "n", "x", revision=1))
    begin = [root_request("sw", 0, root_sha([held])), *slot_requests({})]
    good = [message.SerializeToString() for message in begin]
    sync = sync_of(held).SerializeToString()
    for broken in (
        b"\x22" + bytes([len(sync) + 5]) + sync,
        b"\x22\x02\x12\x7f",
        b"\x20\x01",
        b"\x22\x03\x10\x01\x18",
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stock.raw_stream(REPAIR, [*good, broken])
        assert caught.value.code() is INVALID


def test_a_request_twice_or_not_at_all(stock: Stock) -> None:
    path = f"{PROPERTY}/Delete"
    request = UNARY[path].SerializeToString()
    for requests in ([], [request, request]):
        with pytest.raises(grpc.RpcError) as caught:
            stock.raw_stream(path, requests)
        assert caught.value.code() is INVALID
