"""The limits are decisions: the wire protocol fixes some, and peers or operators rely on others."""

from __future__ import annotations

from gossipnode.core.model import limits
from gossipnode.core.model.limits import ID_MAX_BYTES, PROPERTY_MAX_BYTES
from gossipnode.core.ring import admission, missed_writes, turn
from gossipnode.core.ring.round import LATE_REPORT_SECONDS, SILENCE_MAX_SECONDS
from gossipnode.core.session import asked, commands, lanes, tree_client, tree_server
from gossipnode.core.session.lanes import (
    READ_BATCH_RECORDS,
    UNWRITTEN_MAX_BYTES,
    UNWRITTEN_MAX_RECORDS,
    WRITE_BATCH_BYTES,
    WRITE_BATCH_RECORDS,
)
from gossipnode.core.session.tree_server import PAGE_MAX_BYTES

BOUNDS: dict[str, float] = {
    "GROUP_MAX_BYTES": 255,
    "NAME_MAX_BYTES": 255,
    "TAG_KEY_MAX_BYTES": 255,
    "ID_MAX_BYTES": 4096,
    "PROPERTY_MAX_BYTES": 1 << 20,
    "STAMP_MAX_NANOSECONDS": 1 << 62,
    "PEER_STAMP_MAX_NANOSECONDS": (1 << 62) - (1 << 56),
    "MAX_CLOCK_SKEW_NANOSECONDS": 600 * 10**9,
    "SLOT_COUNT": 32,
    "PAGE_MAX_BYTES": 1 << 20,
    "LEAF_OVERHEAD_BYTES": 160,
    "READ_BATCH_RECORDS": 16,
    "SEND_BATCH_MESSAGES": 256,
    "WRITE_BATCH_RECORDS": 256,
    "WRITE_BATCH_BYTES": 4 << 20,
    "UNWRITTEN_MAX_RECORDS": 1024,
    "UNWRITTEN_MAX_BYTES": 8 << 20,
    "OWED_MAX_BYTES": 8 << 20,
    "OWED_KEY_OVERHEAD_BYTES": 200,
    "ANSWERED_MAX_ENTITIES": 65_536,
    "ASKED_NAMES_MAX": 1024,
    "EXAMPLE_MAX_CHARACTERS": 128,
    "PENDING_PAGES_MAX": 4,
    "MERGE_STEP_LEAVES": 512,
    "RING_MAX_NODES": 1024,
    "HANDLED_MAX_ROUNDS": 4096,
    "ENDED_MAX_SHARDS": 65_536,
    "MISSED_SHARDS_MAX": 16_384,
    "TRY_PAUSE_MIN_SECONDS": 1.0,
    "TRY_PAUSE_MAX_SECONDS": 60.0,
    "BUSY_RETRIES": 3,
    "SHARDS_MAX": 1024,
    "REPLICAS_MAX": 1024,
    "GROUP_INDEXES_MAX": 16,
    "RETENTION_MAX_SECONDS": 36_500 * 86_400,
}


def test_every_bound_is_as_decided() -> None:
    found: dict[str, float] = {}
    modules = (admission, asked, commands, lanes, limits, missed_writes, tree_client, tree_server, turn)
    for module in modules:
        found |= {name: value for name, value in vars(module).items() if name.isupper() and name[0] != "_"}
    assert found == BOUNDS


def test_the_bounds_fit_each_other() -> None:
    # A step of records, or a page whose last leaf is the largest, is a small multiple of the largest record.
    assert READ_BATCH_RECORDS * PROPERTY_MAX_BYTES == 16 << 20
    assert WRITE_BATCH_BYTES <= UNWRITTEN_MAX_BYTES
    assert WRITE_BATCH_RECORDS <= UNWRITTEN_MAX_RECORDS
    assert PAGE_MAX_BYTES + ID_MAX_BYTES + 1024 < 4 << 20, "a message of the peer is 4 MiB"
    # A leaf takes 128 hex digits of a sha beside its key, and then tags and lengths.
    assert 128 < tree_server.LEAF_OVERHEAD_BYTES == 160
    assert (SILENCE_MAX_SECONDS, LATE_REPORT_SECONDS) == (30.0, 5.0)
