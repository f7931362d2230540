"""Records between our own nodes carry what they were built upon, wherever they travel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.query.replica_messages import ReadRecords, RecordsRead, Wanted, WriteRecords
from gossipnode.core.session.reconcile.reconcile_messages import SentRecords
from gossipnode.core.watch.explanation import ReplicaVersion
from gossipnode.core.watch.told_change import FeedPage, ToldChange
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.reconcile_codec import decode_reconcile_message, encode_reconcile_message
from gossipnode.wire.replica.change_codec import decode_changes, encode_changes
from gossipnode.wire.replica.replica_codec import add_reply, add_request, decode_reply, decode_request
from gossipnode.wire.replica.stored_record import decode_stored_record, fill_stored_record
from gossipnode.wire.watch_codec import decode_arrived, encode_arrived
from tests.records import record

SHARD = ShardId("sw", 0, 5)
STAMPS = st.integers(0, STAMP_MAX_NANOSECONDS)


@given(st.none() | STAMPS, STAMPS)
def test_a_record_comes_back(built_upon: int | None, delete_time: int) -> None:
    stored = replace(record("n/1", delete_time=delete_time), built_upon=built_upon)
    message = pb.StoredRecord()
    fill_stored_record(message, stored)
    read = decode_stored_record(pb.StoredRecord.FromString(message.SerializeToString()))
    assert (read, read.built_upon) == (stored, built_upon)


@pytest.mark.parametrize("built_upon", [-1, STAMP_MAX_NANOSECONDS + 1])
def test_a_stamp_that_no_version_has_counts_as_unknown(built_upon: int) -> None:
    message = pb.StoredRecord(property=record("n/1").payload, built_upon=built_upon)
    assert decode_stored_record(message).built_upon is None


def _through_session(sent: Record) -> Record:
    read = decode_reconcile_message(encode_reconcile_message(SentRecords((sent,))))
    assert isinstance(read, SentRecords)
    (came,) = read.records
    assert isinstance(came, Record)
    return came


def _through_write(sent: Record) -> Record:
    batch = pb.ExchangeRequest()
    add_request(batch, 1, WriteRecords(SHARD, b"", (sent,)))
    read = decode_request(batch.requests[0])
    assert isinstance(read, WriteRecords)
    return read.records[0]


def _through_read(sent: Record) -> Record:
    batch = pb.ExchangeReply()
    add_reply(batch, 1, RecordsRead((sent,)))
    read = decode_reply(batch.replies[0], ReadRecords(SHARD, b"", (Wanted(sent.entity, None),)))
    assert isinstance(read, RecordsRead)
    assert isinstance(read.held[0], Record)
    return read.held[0]


def _through_feed(sent: Record) -> Record:
    return decode_changes("sw", encode_changes(FeedPage([ToldChange(0, sent, 1)]))).changes[0].record


@pytest.mark.parametrize("through", [_through_session, _through_write, _through_read, _through_feed])
@pytest.mark.parametrize("built_upon", [None, 0, 17])
def test_every_way_carries_it(through: object, built_upon: int | None) -> None:
    assert callable(through)
    assert through(replace(record("n/1"), built_upon=built_upon)).built_upon == built_upon


@pytest.mark.parametrize("built_upon", [None, 0, 17])
def test_a_replica_tells_it_of_what_it_holds(built_upon: int | None) -> None:
    told = ReplicaVersion("a", record("n/1").version, built_upon=built_upon)
    assert decode_arrived("a", encode_arrived(told)).built_upon == built_upon
