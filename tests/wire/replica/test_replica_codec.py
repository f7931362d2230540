"""Requests to replicas and their replies come back as they were sent, and each fault is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.replica_messages import (
    SAME,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    ReplicaReply,
    ReplicaRequest,
    Wanted,
    WriteRecords,
)
from gossipnode.core.query.request_lineage import KnownRequest, Lineage
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.replica.replica_codec import (
    add_reply,
    add_request,
    decode_reply,
    decode_request,
    reply_size,
    request_size,
)
from gossipnode.wire.wire_errors import UnstorableError, WireError
from tests.records import prop, record
from tests.wire.support import examples

SHARD = ShardId("g", 3, 5)
FENCE = b"12345678"


def stored(key: str, value: str = "v", *, revision: int = 1, delete_time: int = 0) -> Record:
    return record(f"n/{key}", group="g", revision=revision, delete_time=delete_time, k=value)


NAMES = st.text("abc", min_size=1, max_size=20)
STAMPS = st.integers(0, STAMP_MAX_NANOSECONDS)
VERSIONS = st.builds(Version, STAMPS, STAMPS, st.binary(min_size=32, max_size=32))
RECORDS = st.builds(stored, NAMES, st.text("ab", max_size=300), revision=STAMPS, delete_time=STAMPS)
IDS = st.text(max_size=20)
LINEAGES = st.builds(
    Lineage,
    st.lists(
        st.builds(KnownRequest, st.text(min_size=1, max_size=20), st.booleans(), STAMPS), max_size=3
    ).map(tuple),
    STAMPS,
)
ENTITIES = st.builds(Entity, st.just("g"), NAMES, NAMES | st.just("i/1"))
READS = st.builds(
    ReadRecords,
    st.just(SHARD),
    st.binary(max_size=8),
    st.lists(st.builds(Wanted, ENTITIES, st.none() | VERSIONS), max_size=4).map(tuple),
    STAMPS,
    STAMPS,
)
WRITES = st.builds(
    WriteRecords,
    st.just(SHARD),
    st.binary(max_size=8),
    st.lists(RECORDS, max_size=4).map(tuple),
    IDS,
    st.booleans(),
    st.none() | LINEAGES,
)
REFUSALS = st.builds(Refusal, st.integers(0, 16), IDS, st.booleans(), STAMPS)
WRITTEN = st.lists(
    st.builds(WriteResult, st.sampled_from(WriteOutcome), st.none() | VERSIONS, IDS), max_size=4
)


def through_request(request: ReplicaRequest, number: int = 7) -> pb.ReplicaRequest:
    batch = pb.ExchangeRequest()
    add_request(batch, number, request)
    (message,) = pb.ExchangeRequest.FromString(batch.SerializeToString()).requests
    return message


def through_reply(reply: ReplicaReply, number: int = 7) -> pb.ReplicaReply:
    batch = pb.ExchangeReply()
    add_reply(batch, number, reply)
    (message,) = pb.ExchangeReply.FromString(batch.SerializeToString()).replies
    return message


def read_of(*wanted: Wanted) -> ReadRecords:
    return ReadRecords(SHARD, FENCE, wanted, proposed=2**62, clock=-1)


def write_of(*records: Record) -> WriteRecords:
    return WriteRecords(SHARD, FENCE, records)


# Requests


@pytest.mark.slow
@examples(100)
@given(READS | WRITES, st.integers(0, 2**64 - 1))
def test_requests_come_back_as_they_went(request: ReplicaRequest, number: int) -> None:
    message = through_request(request, number)
    assert message.id == number
    assert decode_request(message) == request


@pytest.mark.slow
@examples(100)
@given(READS | WRITES)
def test_a_request_takes_no_more_than_its_size_says(request: ReplicaRequest) -> None:
    message = through_request(request)
    assert message.ByteSize() <= request_size(request) <= message.ByteSize() + 128 * 6


@pytest.mark.parametrize("request_", [read_of(), write_of()])
def test_a_request_for_nothing_is_still_one(request_: ReplicaRequest) -> None:
    assert decode_request(through_request(request_)) == request_


def test_a_request_of_neither_kind_is_refused() -> None:
    with pytest.raises(WireError, match=r"ReplicaRequest\.what: nothing in it"):
        decode_request(pb.ReplicaRequest(id=1, group="g"))


def test_what_no_message_can_carry_leaves_the_batch_as_it_was() -> None:
    batch = pb.ExchangeRequest()
    add_request(batch, 1, write_of(stored("a")))
    whole = batch.SerializeToString()
    for shard, entity in (
        (SHARD, Entity("g", "n", "\ud800")),
        (ShardId("g", 1 << 32), Entity("g", "n", "i")),
        (ShardId("g", 1, 1 << 63), Entity("g", "n", "i")),
    ):
        with pytest.raises(WireError, match="ReplicaRequest: "):
            add_request(batch, 2, ReadRecords(shard, FENCE, (Wanted(entity),)))
        assert batch.SerializeToString() == whole


@pytest.mark.parametrize(
    ("payload", "delete_time", "problem"),
    [
        (b"\x0a", 0, "malformed"),
        (b"", 0, "metadata: missing"),
        (build_property(Entity("g", "n", "i"), {"k": "v"}, mod_revision=-1), 0, "mod_revision -1"),
        (prop("n/i", "g"), -1, "delete_time -1"),
        (prop("n/i", "g", k=b"\0" * (1 << 20)), 0, "is over 1048576 bytes"),
        (prop("n/i", "other"), 0, "of another group, 'other'"),
    ],
)
def test_a_record_that_cannot_be_stored_refuses_its_request(
    payload: bytes, delete_time: int, problem: str
) -> None:
    good = stored("a")
    bad = Record(good.entity, Version(1, delete_time, b""), payload)
    with pytest.raises(WireError, match=problem):
        decode_request(through_request(write_of(good, bad)))


def test_an_unstorable_record_is_told_apart_from_broken_bytes() -> None:
    with pytest.raises(UnstorableError):
        decode_request(through_request(write_of(Record(Entity("g", "n", "i"), Version(1, 0, b""), b""))))


def test_an_entity_that_no_property_may_have_is_refused() -> None:
    with pytest.raises(CoreError, match="name 'a/b' holds"):
        decode_request(through_request(read_of(Wanted(Entity("g", "a/b", "i")))))
    with pytest.raises(CoreError, match="id is empty"):
        decode_request(through_request(read_of(Wanted(Entity("g", "a", "")))))


@pytest.mark.parametrize(
    "version",
    [
        Version(1, 0, b"short"),
        Version(1, 0, b""),
        Version(-1, 0, bytes(32)),
        Version(0, STAMP_MAX_NANOSECONDS + 1, bytes(32)),
    ],
)
def test_a_version_that_no_record_can_have_is_refused(version: Version) -> None:
    with pytest.raises(WireError, match=r"Stamp"):
        decode_request(through_request(read_of(Wanted(Entity("g", "n", "i"), version))))


def test_a_version_of_all_zeros_is_none() -> None:
    message = through_request(read_of(Wanted(Entity("g", "n", "i"))))
    message.read.wanted[0].known.SetInParent()
    assert decode_request(message) == read_of(Wanted(Entity("g", "n", "i")))


# Replies


@pytest.mark.slow
@examples(100)
@given(
    st.lists(st.tuples(RECORDS, st.sampled_from(["record", "same", "none"])), min_size=1, max_size=4),
    st.data(),
)
def test_what_was_read_comes_back_as_it_went(pairs: list[tuple[Record, str]], data: st.DataObject) -> None:
    wanted = tuple(
        Wanted(record.entity, record.version if what == "same" else None) for record, what in pairs
    )
    held = tuple({"record": record, "same": SAME, "none": None}[what] for record, what in pairs)
    lineage = data.draw(st.none() | LINEAGES)
    floor = data.draw(st.sampled_from((0, 1, 2**62)))
    reply = RecordsRead(held[: data.draw(st.integers(1, len(held)))], lineage, floor)
    message = through_reply(reply)
    assert message.id == 7
    assert decode_reply(message, read_of(*wanted)) == reply
    assert message.ByteSize() <= reply_size(reply) <= message.ByteSize() + 128 * 7


@pytest.mark.slow
@examples(100)
@given(WRITTEN)
def test_what_was_written_comes_back_as_it_went(outcomes: list[WriteResult]) -> None:
    reply = RecordsWritten(tuple(outcomes))
    message = through_reply(reply)
    request = write_of(*(stored(f"i{number}") for number in range(len(outcomes))))
    assert decode_reply(message, request) == reply


@examples(40)
@given(REFUSALS)
def test_a_refusal_comes_back_as_it_went(refusal: Refusal) -> None:
    message = through_reply(refusal)
    assert decode_reply(message, read_of()) == refusal
    assert decode_reply(message, write_of()) == refusal


def test_a_reply_that_no_message_can_carry_leaves_the_batch_as_it_was() -> None:
    batch = pb.ExchangeReply()
    add_reply(batch, 1, Refusal(5, "no"))
    whole = batch.SerializeToString()
    for reply in (
        Refusal(5, "\ud800"),
        Refusal(-1, ""),
        RecordsWritten((WriteResult(WriteOutcome.REFUSED, None, "\ud800"),)),
    ):
        with pytest.raises(WireError, match="ReplicaReply: "):
            add_reply(batch, 2, reply)
        assert batch.SerializeToString() == whole


A, B = stored("a"), stored("b")


def altered(change: Callable[[Any], object], reply: ReplicaReply) -> pb.ReplicaReply:
    message = through_reply(reply)
    change(message)
    return message


@pytest.mark.parametrize(
    ("message", "request_", "problem"),
    [
        (pb.ReplicaReply(id=7), write_of(A), "nothing is no reply to WriteRecords"),
        (through_reply(RecordsRead(())), write_of(A), "read is no reply to WriteRecords"),
        (through_reply(RecordsWritten(())), read_of(Wanted(A.entity)), "written is no reply to ReadRecords"),
        (through_reply(RecordsWritten(())), write_of(A), "outcomes: 0, expected 1"),
        (through_reply(RecordsRead(())), read_of(Wanted(A.entity)), "held: 0, expected 1"),
        (through_reply(RecordsRead((None, None))), read_of(Wanted(A.entity)), "held: 2, expected 1"),
        (through_reply(RecordsRead((B,))), read_of(Wanted(A.entity)), "'g/n/b', which was not asked for"),
        (through_reply(RecordsRead((SAME,))), read_of(Wanted(A.entity)), "the same as nothing"),
        (
            altered(
                lambda message: setattr(message.read.held[0].record, "property", b"\x0a"), RecordsRead((A,))
            ),
            read_of(Wanted(A.entity)),
            "malformed",
        ),
        (
            altered(
                lambda message: setattr(message.read.lineage.known[0], "id", ""),
                RecordsRead((None,), Lineage((KnownRequest("one", True, 1),))),
            ),
            read_of(Wanted(A.entity)),
            "expected 1 to 128 characters",
        ),
        (
            altered(
                lambda message: setattr(message.read.lineage, "since", -1), RecordsRead((None,), Lineage())
            ),
            read_of(Wanted(A.entity)),
            "since: -1, expected 0 to 2",
        ),
        (
            through_reply(RecordsRead((None,), Lineage((KnownRequest("one", True, 1),) * 65))),
            read_of(Wanted(A.entity)),
            "known: 65, expected 64 at most",
        ),
        (
            altered(
                lambda message: setattr(message.written.outcomes[0], "kind", 9),
                RecordsWritten((WriteResult(WriteOutcome.STORED, None),)),
            ),
            write_of(A),
            r"outcomes\[0\].kind: 9 is unknown",
        ),
        (
            through_reply(RecordsWritten((WriteResult(WriteOutcome.STORED, Version(1, 0, b"x")),))),
            write_of(A),
            "digest: 1 bytes",
        ),
    ],
)
def test_a_reply_that_does_not_fit_is_refused(
    message: pb.ReplicaReply, request_: ReplicaRequest, problem: str
) -> None:
    with pytest.raises(WireError, match=problem):
        decode_reply(message, request_)
