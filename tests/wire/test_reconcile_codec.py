"""The messages of a reconcile session keep their meaning over the wire."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.session.messages import Unreadable
from gossipnode.core.session.reconcile.reconcile_messages import (
    Answered,
    Closing,
    Offer,
    Opening,
    OpeningVerdict,
    ReconcileMessage,
    ReconcileStanding,
    SentRecords,
    Sums,
    Tags,
    Unmatched,
    Wants,
    WantsAll,
)
from gossipnode.wire.generated.pb.gossipnode.v1 import reconcile_pb2 as pb
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2
from gossipnode.wire.reconcile_codec import decode_reconcile_message, encode_reconcile_message
from gossipnode.wire.wire_errors import WireError
from tests.records import record

HASH = st.integers(0, 2**64 - 1)
HASHES = st.lists(HASH, max_size=20)
SUMS = st.lists(st.integers(0, 2**40 - 1), max_size=40)
NUMBERS = st.lists(st.integers(0, 2**32 - 1), max_size=20)
LEVEL = st.integers(0, 2**32 - 1)
STAMP = st.integers(0, 2**63 - 1)
MESSAGES = st.one_of(
    st.builds(Opening, st.text(max_size=9), LEVEL, st.binary(max_size=9), HASH, HASH, SUMS.map(tuple)),
    st.builds(OpeningVerdict, st.sampled_from(ReconcileStanding), HASH, HASH),
    st.builds(Sums, LEVEL, HASHES.map(lambda each: array("Q", each)), LEVEL, SUMS.map(tuple)),
    st.builds(
        Tags,
        LEVEL,
        HASHES.map(lambda each: array("Q", each)),
        NUMBERS.map(lambda each: array("I", each)),
        NUMBERS.map(lambda each: array("I", each)),
    ),
    st.builds(
        Unmatched,
        NUMBERS.map(lambda each: array("I", each)),
        st.lists(
            st.builds(Offer, HASH, STAMP, STAMP, st.binary(min_size=8, max_size=8)), max_size=9
        ).map(tuple),
    ),
    st.builds(Wants, HASHES.map(lambda each: array("Q", each))),
    st.builds(WantsAll, LEVEL, HASHES.map(lambda each: array("Q", each))),
    st.builds(Answered, LEVEL),
    st.builds(Closing, HASH, st.booleans()),
)  # fmt: skip


@given(MESSAGES)
def test_what_is_written_is_read(message: ReconcileMessage) -> None:
    assert decode_reconcile_message(encode_reconcile_message(message)) == message


def test_records_are_read_as_they_are_stored() -> None:
    records = (record("n/1", a="b"), record("n/2", revision=3, delete_time=9))
    assert decode_reconcile_message(encode_reconcile_message(SentRecords(records))) == SentRecords(records)


def test_a_property_that_no_replica_may_store_is_left_to_the_session() -> None:
    stored = [replica_pb2.StoredRecord(property=b"", delete_time=0)]
    data = pb.ReconcileMessage(records=pb.ReconcileRecords(records=stored)).SerializeToString()
    read = decode_reconcile_message(data)
    assert isinstance(read, SentRecords)
    assert isinstance(read.records[0], Unreadable)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "nothing in it"),
        (b"\x0a\xff", "malformed"),
        (pb.ReconcileMessage(verdict=pb.ReconcileVerdict()).SerializeToString(), "standing: 0 is unknown"),
        (pb.ReconcileMessage(sums=pb.ReconcileSums(sums=b"1234")).SerializeToString(), "expected 5 for each"),
        (pb.ReconcileMessage(tags=pb.ReconcileTags(tags=b"123")).SerializeToString(), "expected 4 for each"),
        (
            pb.ReconcileMessage(wants=pb.ReconcileWants(entity_hashes=b"1")).SerializeToString(),
            "expected 8 for each",
        ),
        (
            pb.ReconcileMessage(unmatched=pb.ReconcileUnmatched(mod_revisions=[1])).SerializeToString(),
            "different lengths",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        decode_reconcile_message(data)
