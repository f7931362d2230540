"""The judgement of what callers hand in: what can be stored, and where it would belong."""

from __future__ import annotations

import pytest

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS, TAG_KEY_MAX_BYTES
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.retention.marks import FROM_CLIENT
from gossipnode.store.interface import IndexRefusedError
from gossipnode.store.prepared import (
    SHARD_MAX,
    check_index,
    check_shard,
    no_index,
    prepare_record,
    too_many_indexes,
)
from tests.store.support import SHARD, make_record


def test_a_good_record_has_its_slot() -> None:
    record = make_record()
    prepared = prepare_record(SHARD, record)
    assert prepared == (SHARD, record, slot_of(record.entity), "", True, b"", b"", FROM_CLIENT)


@pytest.mark.parametrize(
    ("shard", "record", "can_be_held"),
    [
        # An earlier version of such a record may be stored: its place is known.
        (SHARD, make_record(revision=STAMP_MAX_NANOSECONDS + 1), True),
        (SHARD, make_record(payload=bytes((1 << 20) + 1)), True),
        (SHARD, make_record(""), False),
        (SHARD, make_record("\ud800"), False),
        (ShardId("sw", -1), make_record(), False),
        (ShardId("\ud800", 0), make_record(), False),
    ],
    ids=["stamp", "payload", "empty id", "bad text", "shard number", "shard group"],
)
def test_a_bad_record_is_refused_with_a_reason(shard: ShardId, record: Record, can_be_held: bool) -> None:
    prepared = prepare_record(shard, record)
    assert prepared.problem
    assert prepared.can_be_held is can_be_held
    assert prepared.slot == (slot_of(record.entity) if can_be_held else 0)


@pytest.mark.parametrize(
    ("shard", "problem"),
    [
        (ShardId("sw", -1), "shard -1"),
        (ShardId("sw", SHARD_MAX + 1), "shard 4294967296"),
        (ShardId("sw", 0, -1), "incarnation -1"),
        (ShardId("sw", 0, STAMP_MAX_NANOSECONDS + 1), "incarnation"),
        (ShardId("\ud800", 0), "Unicode"),
    ],
)
def test_a_bad_shard_is_refused(shard: ShardId, problem: str) -> None:
    with pytest.raises(InvalidEntityError, match=problem):
        check_shard(shard)


def test_the_limits_themselves_are_allowed() -> None:
    shard = ShardId("sw", SHARD_MAX, STAMP_MAX_NANOSECONDS)
    check_shard(shard)
    check_index(shard, "t" * TAG_KEY_MAX_BYTES)
    with pytest.raises(IndexRefusedError, match="over 255 bytes"):
        check_index(shard, "t" * (TAG_KEY_MAX_BYTES + 1))


def test_the_errors_name_tag_and_shard() -> None:
    assert "'n' in sw/0" in str(too_many_indexes(SHARD, "n"))
    assert str(no_index(SHARD, "n", building=True)) == "index of tag 'n' in sw/0: it is still being built"
    assert str(no_index(SHARD, "n", building=False)) == "index of tag 'n' in sw/0: it does not exist"
