"""What a job counts for in the writer's queue, and the key that a record gets on its way there."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.store.sqlite.jobs import (
    DigestJob,
    LeafSha,
    SlotSha,
    StepJob,
    WriteJob,
    job_weight,
    keyed_record,
)
from gossipnode.store.sqlite.tables.entity_key import entity_key
from gossipnode.store.sqlite.tables.rows import LeafPlace
from tests.store.support import SHARD, make_record


def test_a_write_counts_its_records_and_payloads() -> None:
    records = [keyed_record(SHARD, make_record(str(number), payload=bytes(100))) for number in range(5)]
    assert job_weight(WriteJob(records, stamp=0)) == (6, 500)
    # A write without records, which only keeps a stamp, counts too.
    assert job_weight(WriteJob([], stamp=1)) == (1, 0)


def test_digests_count_too() -> None:
    record = make_record()
    leaf = LeafSha(LeafPlace(1, 2, b"key"), record.version, bytes(64))
    records, size = job_weight(DigestJob([leaf, leaf], [SlotSha(1, 2, 3, bytes(64))]))
    assert records == 3
    assert size >= 3 * 64


def test_a_step_counts_what_it_says() -> None:
    assert job_weight(StepJob(lambda connection: 0, records=7)) == (7, 0)


def test_a_record_that_nothing_can_be_held_of_has_no_key() -> None:
    record = make_record()
    assert keyed_record(SHARD, record)[1] == entity_key(record.entity)
    assert keyed_record(SHARD, make_record(revision=-1))[1] == entity_key(record.entity)
    assert keyed_record(SHARD, make_record(""))[1] == b""
    assert keyed_record(ShardId("sw", -1), record)[1] == b""
