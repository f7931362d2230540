"""What it costs to read a message is bounded by its length, for each kind: the rows of wire/DESIGN.md."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from gossipnode.wire import services
from gossipnode.wire.generated.pb.banyandb.property.v1 import rpc_pb2
from gossipnode.wire.property.payload import check_property, decode_record
from gossipnode.wire.query.query_codec import decode_query
from gossipnode.wire.session_codec import decode_client_message, decode_server_message
from gossipnode.wire.wire_errors import CrowdedError, UnstorableError, WireError
from tests.hostile.work import grows_linearly, peak_of, steps_of
from tests.wire.support import field

MESSAGE_BYTES = 4 << 20
METADATA = field(1, field(1, b"sw") + field(2, b"n")) + field(2, b"1")
UNKNOWN = b"\x78\x01"


class Row(NamedTuple):
    """A kind of message, built of n of its elements."""

    read: Callable[[bytes], Any]
    build: Callable[[int], bytes]
    steps: int
    """For each element, at most."""
    memory: float
    """Bytes of Python's objects for each byte of the message, at most."""
    small: int = 200


def query(data: bytes) -> object:
    return decode_query(services.QUERY.decode_request(data))


def record(data: bytes) -> object:
    return decode_record(data, 0)


def deep(n: int) -> bytes:
    """Criteria in n levels, around as many KiB of an unknown field."""
    criteria = field(15, bytes(1024 * n))
    for _ in range(n):
        criteria = field(1, field(2, criteria))
    return field(1, b"g") + field(4, criteria)


def conditions(n: int) -> bytes:
    def balanced(count: int) -> rpc_pb2.QueryRequest:
        made = rpc_pb2.QueryRequest(groups=["g"])
        if count == 1:
            condition = made.criteria.condition
            condition.name, condition.op, condition.value.int.value = "t", 1, 1
            return made
        made.criteria.le.op = 1
        made.criteria.le.left.CopyFrom(balanced(count // 2).criteria)
        made.criteria.le.right.CopyFrom(balanced(count - count // 2).criteria)
        return made

    return balanced(n).SerializeToString()


def members(n: int) -> bytes:
    """IN of n numbers."""
    made = rpc_pb2.QueryRequest(groups=["g"])
    condition = made.criteria.condition
    condition.name, condition.op = "t", 9
    condition.value.int_array.value.extend(range(n))
    return made.SerializeToString()


def times(element: bytes, before: bytes = b"") -> Callable[[int], bytes]:
    return lambda n: before + element * n


def leaves(element: bytes) -> Callable[[int], bytes]:
    return lambda n: field(2, field(2, element) * n)


def exchange(n: int) -> bytes:
    return field(1, field(6, field(1, field(1, b"n") + field(2, b"i" * 20)) * 4)) * n


LEAF = b"\x10\x01" + field(3, b"g/n/i") + field(4, b"a" * 128)
TAG = field(3, field(1, b"k") + field(2, field(2, field(1, b"v" * 200))))
ROWS = {
    "query: ids": Row(query, times(field(3, b"i" * 20), field(1, b"g")), 40, 5),
    "query: levels of criteria": Row(query, deep, 220, 3, small=12),
    "query: conditions": Row(query, conditions, 900, 250, small=40),
    "query: IN": Row(query, members, 40, 100),
    "query: unknown fields": Row(query, times(UNKNOWN, field(1, b"g")), 60, 3),
    "apply: the same field again": Row(services.NODE_APPLY.decode_request, times(field(1, b"p" * 20)), 30, 3),
    "import: records": Row(
        services.NODE_IMPORT.decode_request, times(field(2, field(1, b"p" * 500))), 110, 3
    ),
    "property: tags": Row(record, times(TAG, METADATA), 16, 3),
    "property: unknown fields": Row(record, times(UNKNOWN, METADATA), 30, 8),
    "property: unknown fields in tags": Row(record, times(field(3, UNKNOWN * 4), METADATA), 110, 8),
    "a client's property": Row(check_property, times(TAG, METADATA), 18, 3),
    "session: slots": Row(decode_client_message, lambda n: field(2, b"\x0a\x00" * n), 140, 400, small=8),
    "session: unknown fields": Row(decode_client_message, times(UNKNOWN), 60, 3),
    "page: leaves": Row(decode_server_message, leaves(LEAF), 30, 3),
    "page: leaves that are not canonical": Row(
        decode_server_message, leaves(field(3, b"g/n/i") + b"\x10\x01" + field(4, b"a" * 128)), 30, 4
    ),
    "page: unknown fields in leaves": Row(decode_server_message, leaves(LEAF + UNKNOWN), 160, 5),
    "exchange: requests": Row(services.REPLICA_EXCHANGE.decode_request, exchange, 30, 2, small=400),
    "scan: ids": Row(services.REPLICA_SCAN.decode_request, times(field(3, b"i" * 20)), 20, 2),
    "propagation: nodes": Row(
        services.PROPAGATION.decode_request, lambda n: field(1, field(1, b"n" * 20) * n), 35, 5
    ),
    "report: hops": Row(services.REPORT.decode_request, times(field(6, field(1, b"a"))), 130, 300),
    "sign of life: messages": Row(services.ALIVE.decode_request, times(field(2, field(1, b"a"))), 130, 300),
}


def read(row: Row, data: bytes) -> None:
    """Read a message, whether it is refused or not."""
    with contextlib.suppress(WireError):
        row.read(data)


@pytest.mark.parametrize("name", ROWS)
def test_steps_grow_with_the_bytes(name: str) -> None:
    row = ROWS[name]

    def cost(n: int) -> int:
        data = row.build(n)
        return steps_of(lambda: read(row, data))

    assert grows_linearly(cost, row.small) <= row.steps * 4 * row.small


@pytest.mark.parametrize("name", ROWS)
def test_memory_is_a_multiple_of_the_bytes(name: str) -> None:
    row = ROWS[name]
    data = row.build(4 * row.small)
    read(row, data)
    assert peak_of(lambda: read(row, data)) <= row.memory * len(data) + 4096


CROWDS = {
    "query: unknown fields": (query, field(1, b"g") + UNKNOWN * (MESSAGE_BYTES // 2)),
    "query: IN of 400,000": (query, members(400_000)),
    "query: ids": (query, field(1, b"g") + field(3, b"") * (MESSAGE_BYTES // 2)),
    "apply: the same field again": (services.NODE_APPLY.decode_request, b"\x0a\x00" * (MESSAGE_BYTES // 2)),
    "import: records": (services.NODE_IMPORT.decode_request, b"\x12\x00" * (MESSAGE_BYTES // 2)),
    "property: tags": (record, METADATA + b"\x1a\x00" * (MESSAGE_BYTES // 2)),
    "property: unknown fields": (record, METADATA + UNKNOWN * (MESSAGE_BYTES // 2)),
    "session: slots": (decode_client_message, field(2, b"\x0a\x00" * (MESSAGE_BYTES // 2))),
    "session: unknown fields": (decode_client_message, UNKNOWN * (MESSAGE_BYTES // 2)),
    "page: empty leaves": (decode_server_message, field(2, b"\x12\x00" * (MESSAGE_BYTES // 2))),
    "page: one leaf of unknown fields": (
        decode_server_message,
        field(2, field(2, UNKNOWN * (MESSAGE_BYTES // 2))),
    ),
    "exchange: requests": (services.REPLICA_EXCHANGE.decode_request, b"\x0a\x00" * (MESSAGE_BYTES // 2)),
    "scan: candidates": (services.REPLICA_SCAN.decode_reply, b"\x0a\x00" * (MESSAGE_BYTES // 2)),
    "report: hops": (services.REPORT.decode_request, b"\x32\x00" * (MESSAGE_BYTES // 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CROWDS)
def test_two_million_elements_are_refused_for_less_memory_than_they_came_in(name: str) -> None:
    """Most of it is what Google's runtime writes again, or the few objects that are allowed."""
    decode, data = CROWDS[name]
    refused: list[Exception] = []

    def attack() -> None:
        try:
            decode(data)
        except (WireError, UnstorableError, CrowdedError) as fault:
            refused.append(fault)

    assert peak_of(attack) <= 3 * MESSAGE_BYTES
    assert "more than" in str(refused[0]) or "more fields" in str(refused[0])
