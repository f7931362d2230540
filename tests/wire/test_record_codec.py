"""Reads and writes of single records, as a stock client of either service would see the messages."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import Entity, Record
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.banyandb.property.v1 import rpc_pb2
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import (
    decode_import,
    decode_strategy,
    encode_applied,
    encode_apply,
    encode_bad_record,
    encode_batch,
    encode_compatible_applied,
    encode_compatible_apply,
    encode_compatible_deleted,
    encode_deleted,
    encode_get,
    encode_got,
    encode_record,
    encode_stored,
)
from gossipnode.wire.wire_errors import WireError

ENTITY = Entity("g", "n", "i/1")
PAYLOAD = build_property(ENTITY, {"a": "x", "b": 2}, create_revision=3, mod_revision=7)
LIVE = decode_record(PAYLOAD, 0)
TOMBSTONE = decode_record(PAYLOAD, 9)


def test_a_write_is_asked_for() -> None:
    read = node_pb2.ApplyRequest.FromString(encode(encode_apply(PAYLOAD, ack="quorum")))
    assert (read.property.id, read.ack, read.strategy, read.request_id) == ("i/1", "quorum", 0, "")
    assert encode_compatible_apply(PAYLOAD) == banyandb.ApplyRequest(property=PAYLOAD)


def test_a_read_is_asked_for() -> None:
    assert encode_get(ENTITY, ack="local") == v1.GetRequest(group="g", name="n", id="i/1", ack="local")


def test_a_write_merges_unless_it_says_that_it_replaces() -> None:
    known = banyandb.ApplyRequestStrategy
    assert decode_strategy(known.STRATEGY_REPLACE)
    assert not decode_strategy(known.STRATEGY_MERGE)
    assert not decode_strategy(known.STRATEGY_UNSPECIFIED)
    unknown = decode(banyandb.ApplyRequest, rpc_pb2.ApplyRequest(strategy=7).SerializeToString())  # type: ignore[arg-type]
    with pytest.raises(WireError, match=r"^strategy: expected MERGE or REPLACE, not 7$"):
        decode_strategy(unknown.strategy)


def test_a_batch_of_an_import_is_read_as_it_was_made_or_as_it_came() -> None:
    batch = v1.ImportRequest(
        records=[v1.Record(property=PAYLOAD), v1.Record(property=PAYLOAD, delete_time=9)]
    )
    expected = [(PAYLOAD, 0), (PAYLOAD, 9)]
    assert decode_import(decode(v1.ImportRequest, encode(batch))) == expected
    assert (
        decode_import(v1.ImportRequest(records=[encode_record(LIVE), encode_record(TOMBSTONE)])) == expected
    )
    assert decode_import(decode(v1.ImportRequest, b"\x12\x00")) == [(b"", 0)]
    assert decode_import(v1.ImportRequest()) == []


def test_the_reply_to_a_write_carries_the_record_as_it_is_stored() -> None:
    reply = encode_applied(LIVE, created=True, acknowledged=2, replicas=3)
    assert reply == v1.ApplyResponse(created=True, property=PAYLOAD, acknowledged=2, replicas=3)
    assert encode(reply) == bytes(reply)


@pytest.mark.parametrize("created", [True, False])
def test_the_compatible_reply_to_a_write_counts_the_tags(created: bool) -> None:
    read = rpc_pb2.ApplyResponse.FromString(encode(encode_compatible_applied(LIVE, created=created)))
    assert (read.created, read.tags_num) == (created, 2)


def test_the_reply_to_a_delete_names_the_stamp_of_the_tombstone() -> None:
    assert encode_deleted(TOMBSTONE, acknowledged=2, replicas=3) == v1.DeleteResponse(
        deleted=True, acknowledged=2, replicas=3, mod_revision=7
    )
    assert encode_deleted(None, acknowledged=2, replicas=3) == v1.DeleteResponse(acknowledged=2, replicas=3)
    assert encode_compatible_deleted(True) == banyandb.DeleteResponse(deleted=True)
    assert encode(encode_compatible_deleted(False)) == b""


def test_the_reply_to_a_read_carries_a_record_only_if_there_is_one() -> None:
    found = node_pb2.GetResponse.FromString(encode(encode_got(LIVE, acknowledged=2, replicas=3)))
    assert found.record.property.SerializeToString() == PAYLOAD
    assert (found.acknowledged, found.replicas) == (2, 3)
    none = node_pb2.GetResponse.FromString(encode(encode_got(None, acknowledged=2, replicas=3)))
    assert not none.HasField("record")
    assert (none.acknowledged, none.replicas) == (2, 3)


@pytest.mark.parametrize("record", [LIVE, TOMBSTONE])
def test_a_record_of_a_batch_carries_its_delete_time(record: Record) -> None:
    batch = encode_batch([encode_record(record)])
    read = node_pb2.RecordBatch.FromString(encode(batch))
    (one,) = read.records
    assert (one.property.SerializeToString(), one.delete_time) == (PAYLOAD, record.version.delete_time)
    assert not read.HasField("trace")


def test_the_last_batch_carries_the_trace_and_may_be_empty() -> None:
    batch = encode_batch([], common.Trace(trace_id="t"))
    assert node_pb2.RecordBatch.FromString(encode(batch)).trace.trace_id == "t"
    assert encode(encode_batch([])) == b""


def test_a_batch_keeps_its_records_when_the_list_is_used_again() -> None:
    records = [encode_record(LIVE)]
    batch = encode_batch(records)
    records.clear()
    assert len(batch.records) == 1


def test_the_answers_to_an_import() -> None:
    stored = node_pb2.ImportResponse.FromString(encode(encode_stored(256)))
    assert (stored.records, stored.HasField("bad_record")) == (256, False)
    bad = node_pb2.ImportResponse.FromString(encode(encode_bad_record(0, "why")))
    assert (bad.HasField("bad_record"), bad.bad_record, bad.problem) == (True, 0, "why")
