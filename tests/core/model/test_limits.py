"""The bounds are decisions: some belong to the wire protocol, on others a peer or an operator relies."""

from __future__ import annotations

from gossipnode.core.model import limits
from gossipnode.core.ring import round as rounds
from gossipnode.core.session import tree_server

BOUNDS = {
    "GROUP_MAX_BYTES": 255,
    "NAME_MAX_BYTES": 255,
    "TAG_KEY_MAX_BYTES": 255,
    "ID_MAX_BYTES": 4096,
    "PROPERTY_MAX_BYTES": 1 << 20,
    "STAMP_MAX_NANOSECONDS": 1 << 62,
    "MAX_CLOCK_SKEW_NANOSECONDS": 600 * 10**9,
    "SLOT_COUNT": 32,
    "PAGE_MAX_BYTES": 1 << 20,
    "READ_BATCH_RECORDS": 16,
    "SEND_BATCH_MESSAGES": 256,
    "WRITE_BATCH_RECORDS": 256,
    "WRITE_BATCH_BYTES": 4 << 20,
    "UNWRITTEN_MAX_RECORDS": 1024,
    "UNWRITTEN_MAX_BYTES": 8 << 20,
    "OWED_MAX_BYTES": 8 << 20,
    "OWED_KEY_OVERHEAD_BYTES": 200,
    "ANSWERED_MAX_ENTITIES": 65_536,
    "PENDING_PAGES_MAX": 4,
    "RING_MAX_NODES": 1024,
    "HANDLED_MAX_ROUNDS": 4096,
    "BUSY_RETRIES": 3,
    "KEPT_ROUNDS": 100,
    "SHARDS_MAX": 1024,
    "REPLICAS_MAX": 1024,
    "GROUP_INDEXES_MAX": 16,
}


def test_every_bound_is_as_decided() -> None:
    assert {name: value for name, value in vars(limits).items() if name.isupper()} == BOUNDS


def test_the_bounds_fit_each_other() -> None:
    # A step of records, or a page with its worst last leaf, stays a small multiple of the largest record.
    assert limits.READ_BATCH_RECORDS * limits.PROPERTY_MAX_BYTES == 16 << 20
    assert limits.WRITE_BATCH_BYTES <= limits.UNWRITTEN_MAX_BYTES
    assert limits.WRITE_BATCH_RECORDS <= limits.UNWRITTEN_MAX_RECORDS
    assert limits.PAGE_MAX_BYTES + limits.ID_MAX_BYTES + 1024 < 4 << 20, "a message of the peer is 4 MiB"
    # What a leaf takes beside its key: 128 digits of a sha, and tags and lengths.
    assert 128 < tree_server.LEAF_OVERHEAD_BYTES == 160
    assert (rounds.SILENCE_MAX_SECONDS, rounds.LATE_REPORT_SECONDS) == (30.0, 5.0)
