"""What every store promises of records and digests. SQLite and its twin in memory pass the same tests."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.tree import Tree
from gossipnode.store.interface import ShardCounts, StoreClosedError
from tests.records import bare_record
from tests.store.support import (
    OTHER_SHARD,
    SHARD,
    Handle,
    leaf_digest,
    placed,
    rebuilt,
    scan_all,
)

NASTY = [
    "a",
    "a-b",
    "a/",
    "a/b",
    "a.b",
    "ab",
    "a\0",
    "a\0b",
    "a\1",
    "a\1\1",
    "é",
    "e\u0301",
    "\uffff",
    "\U0001f600",
]


async def test_a_record_is_read_back(handle: Handle) -> None:
    record = bare_record("name/1")
    (result,) = await handle.store.write(placed(record))
    assert result == (WriteOutcome.STORED, record.version, "")
    assert await handle.store.read(SHARD, [record.entity]) == [record]
    assert await handle.store.read(OTHER_SHARD, [record.entity]) == [None]


async def test_reads_answer_in_the_order_asked(handle: Handle) -> None:
    records = [bare_record(f"name/{number}") for number in range(200)]
    await handle.store.write(placed(*records))
    asked = [*records, bare_record("name/missing"), records[3]]
    random.Random(1).shuffle(asked)
    found = await handle.store.read(SHARD, [record.entity for record in asked])
    assert found == [None if record.entity.id == "missing" else record for record in asked]
    assert await handle.store.read(SHARD, []) == []


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (bare_record("name/1", revision=2), bare_record("name/1", b"older", revision=1), WriteOutcome.OLDER),
        (bare_record("name/1", revision=2), bare_record("name/1", revision=2), WriteOutcome.EQUAL),
        (bare_record("name/1", revision=2), bare_record("name/1", b"newer", revision=3), WriteOutcome.STORED),
        (
            bare_record("name/1", revision=2),
            bare_record("name/1", revision=2, delete_time=1),
            WriteOutcome.STORED,
        ),
        (
            bare_record("name/1", revision=2, delete_time=5),
            bare_record("name/1", b"alive", revision=2),
            WriteOutcome.OLDER,
        ),
        (
            bare_record("name/1", revision=2, delete_time=5),
            bare_record("name/1", revision=3),
            WriteOutcome.STORED,
        ),
    ],
)
@pytest.mark.parametrize("together", [False, True])
async def test_the_larger_version_wins(
    handle: Handle, first: Record, second: Record, outcome: WriteOutcome, together: bool
) -> None:
    if together:
        results = await handle.store.write(placed(first, second))
    else:
        results = [
            *await handle.store.write(placed(first)),
            *await handle.store.write(placed(second)),
        ]
    winner = max(first, second, key=lambda record: record.version)
    assert [result.outcome for result in results] == [WriteOutcome.STORED, outcome]
    assert results[1].version == winner.version
    assert await handle.store.read(SHARD, [first.entity]) == [winner]
    assert await handle.store.tree(SHARD) == rebuilt([winner])


async def test_the_digest_decides_between_equal_stamps(handle: Handle) -> None:
    one, two = bare_record("name/1", b"one"), bare_record("name/1", b"two")
    await handle.store.write(placed(one))
    await handle.store.write(placed(two))
    winner = max(one, two, key=lambda record: record.version.digest)
    assert await handle.store.read(SHARD, [one.entity]) == [winner]


@pytest.mark.parametrize(
    "bad",
    [
        bare_record("name/1", revision=STAMP_MAX_NANOSECONDS + 1),
        bare_record("name/1", delete_time=1 << 70),
        bare_record("name/1", revision=-1),
        bare_record("name/1", bytes((1 << 20) + 1)),
        bare_record("name/"),
        bare_record("name/\ud800"),
        bare_record(Entity("sw", "a/b", "1")),
        bare_record("name/1", group=""),
    ],
)
async def test_a_bad_record_fails_alone(handle: Handle, bad: Record) -> None:
    held, good = bare_record("name/1"), bare_record("name/good")
    await handle.store.write(placed(held))
    results = await handle.store.write(placed(bad, good))
    assert [result.outcome for result in results] == [WriteOutcome.REFUSED, WriteOutcome.STORED]
    assert results[0].problem
    assert results[0].version == (held.version if bad.entity == held.entity else None)
    assert await scan_all(handle.store) == [held, good]


@pytest.mark.parametrize("shard", [ShardId("sw", -1), ShardId("sw", 1 << 70), ShardId("\ud800", 0)])
async def test_a_bad_shard_fails_alone(handle: Handle, shard: ShardId) -> None:
    results = await handle.store.write([(shard, bare_record("name/1")), *placed(bare_record("name/1"))])
    assert [result.outcome for result in results] == [WriteOutcome.REFUSED, WriteOutcome.STORED]
    assert handle.store.shards() == [SHARD]


async def test_the_largest_stamp_outlives_a_restart(handle: Handle) -> None:
    assert await handle.store.last_stamp() == 0
    await handle.store.write(placed(bare_record("name/1")), stamp=7)
    await handle.store.write([], stamp=5)
    assert await handle.store.last_stamp() == 7
    await handle.store.write([], stamp=STAMP_MAX_NANOSECONDS)
    await handle.restart()
    assert await handle.store.last_stamp() == STAMP_MAX_NANOSECONDS
    assert await handle.store.write([]) == []


async def test_shards_are_apart(handle: Handle) -> None:
    assert handle.store.shards() == []
    here, there = bare_record("name/1"), bare_record("name/1", revision=9, delete_time=9)
    await handle.store.write([(SHARD, here), (OTHER_SHARD, there)])
    assert handle.store.shards() == [SHARD, OTHER_SHARD]
    assert await scan_all(handle.store, SHARD) == [here]
    assert await scan_all(handle.store, OTHER_SHARD) == [there]
    assert await handle.store.counts(SHARD) == ShardCounts(1, 0, 1)
    assert await handle.store.counts(OTHER_SHARD) == ShardCounts(0, 1, 1)


async def test_an_unknown_shard_is_empty(handle: Handle) -> None:
    assert await handle.store.tree(SHARD) == Tree("", ())
    assert await handle.store.counts(SHARD) == ShardCounts(0, 0, 0)
    assert await handle.store.leaves(SHARD, 3, limit=10) == []
    assert await handle.store.scan(SHARD, limit=10) == []
    assert await handle.store.fill_digests(limit=10) == 0


async def test_pages_follow_the_order_of_entity_tuples(handle: Handle) -> None:
    records = [
        bare_record(f"{name}/{identity}", group=group)
        for group in ("g", "g\0", "g\1", "g-")
        for name in NASTY
        if "/" not in name
        for identity in NASTY
    ]
    random.Random(2).shuffle(records)
    await handle.store.write(placed(*records))
    ordered = sorted(records, key=lambda record: record.entity)
    assert await scan_all(handle.store) == ordered
    for name in ("a", "a-b", "a\0", "missing"):
        expected = [record for record in ordered if record.entity.name == name]
        assert await scan_all(handle.store, name=name) == expected
    for slot in range(32):
        expected = [record.entity for record in ordered if slot_of(record.entity) == slot]
        found: list[Entity] = []
        while page := await handle.store.leaves(SHARD, slot, after=found[-1] if found else None, limit=3):
            assert len(page) <= 3
            found += [leaf.entity for leaf in page]
        assert found == expected
    assert await handle.store.tree(SHARD) == rebuilt(records)


async def test_leaves_carry_digest_and_version(handle: Handle) -> None:
    record = bare_record("name/1", b"payload", delete_time=4)
    slot = slot_of(record.entity)
    await handle.store.write(placed(record))
    (leaf,) = await handle.store.leaves(SHARD, slot, limit=5)
    assert leaf == (slot, record.entity, leaf_digest(b"payload", 4).hex(), record.version)
    assert (await handle.store.counts(SHARD)).unhashed == 0


async def test_the_background_computes_what_is_missing(handle: Handle) -> None:
    await handle.store.write(placed(*(bare_record(f"name/{number}") for number in range(100))))
    await handle.store.write(placed(*(bare_record(f"name/{n}") for n in range(20)), shard=OTHER_SHARD))
    assert await handle.store.fill_digests(limit=30) == 30
    assert await handle.store.fill_digests(limit=1000) == 90
    assert await handle.store.fill_digests(limit=1000) == 0
    assert await handle.store.counts(SHARD) == ShardCounts(100, 0, 0)
    await handle.store.write(placed(bare_record("name/5", b"new", revision=2)))
    assert await handle.store.counts(SHARD) == ShardCounts(100, 0, 1)
    assert await handle.store.fill_digests(limit=1000) == 1


async def test_equal_content_gives_equal_roots(handle: Handle) -> None:
    records = [bare_record(f"name/{n}", b"%d" % r, revision=r) for n in range(60) for r in (1, 2, 3)]
    newest = [record for record in records if record.version.mod_revision == 3]
    for seed, shard in enumerate((SHARD, OTHER_SHARD)):
        random.Random(seed).shuffle(records)
        for start in range(0, len(records), 17):
            await handle.store.write(placed(*records[start : start + 17], shard=shard))
            await handle.store.tree(shard)
    assert await handle.store.tree(SHARD) == await handle.store.tree(OTHER_SHARD) == rebuilt(newest)
    await handle.restart()
    assert await handle.store.tree(SHARD) == await handle.store.tree(OTHER_SHARD) == rebuilt(newest)


async def test_a_write_makes_only_its_slot_stale(handle: Handle) -> None:
    records = [bare_record(f"name/{number}") for number in range(100)]
    await handle.store.write(placed(*records))
    before = dict((await handle.store.tree(SHARD)).slots)
    newer = bare_record("name/7", b"new", revision=2)
    await handle.store.write(placed(newer))
    after = dict((await handle.store.tree(SHARD)).slots)
    assert {slot for slot in after if after[slot] != before[slot]} == {slot_of(newer.entity)}


async def test_a_crash_keeps_what_was_acknowledged(handle: Handle) -> None:
    records = [bare_record(f"name/{number}") for number in range(50)]
    await handle.store.write(placed(*records), stamp=3)
    await handle.crash()
    assert {record.entity for record in await scan_all(handle.store)} == {r.entity for r in records}
    assert await handle.store.tree(SHARD) == rebuilt(records)
    assert await handle.store.last_stamp() == 3


async def test_a_cancelled_write_is_whole_or_was_never_begun(handle: Handle) -> None:
    written = bare_record("name/written")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                (result,) = await handle.store.write(placed(written))
                assert result.outcome is WriteOutcome.STORED
                nursery.cancel_scope.cancel()

            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert await handle.store.read(SHARD, [written.entity]) == [written]

    never = bare_record("name/never")
    with trio.CancelScope() as scope:
        scope.cancel()
        await handle.store.write(placed(never))
    assert scope.cancelled_caught
    assert await handle.store.read(SHARD, [never.entity]) == [None]


async def test_many_tasks_write_the_same_entity(handle: Handle) -> None:
    outcomes: list[WriteOutcome] = []

    async def write(revision: int) -> None:
        record = bare_record("name/1", b"%d" % revision, revision=revision)
        (result,) = await handle.store.write(placed(record))
        assert result.version is not None
        assert result.version.mod_revision >= revision
        outcomes.append(result.outcome)

    async with trio.open_nursery() as nursery:
        for revision in range(1, 101):
            nursery.start_soon(write, revision)
    (held,) = await scan_all(handle.store)
    assert held.version == Version(100, 0, held.version.digest)
    assert set(outcomes) <= {WriteOutcome.STORED, WriteOutcome.OLDER}
    assert (await handle.store.counts(SHARD)).records == 1


async def test_a_closed_store_refuses(handle: Handle) -> None:
    store = handle.store
    await handle.restart()
    with pytest.raises(StoreClosedError):
        await store.write(placed(bare_record("name/1")))
    with pytest.raises(StoreClosedError):
        await store.tree(SHARD)
    with pytest.raises(StoreClosedError):
        await store.scan(SHARD, limit=1)


async def test_closing_carries_out_what_was_handed_in(handle: Handle) -> None:
    async def write(record: Record) -> None:
        assert (await handle.store.write(placed(record)))[0].outcome is WriteOutcome.STORED

    records = [bare_record(f"name/{number}") for number in range(20)]
    async with trio.open_nursery() as nursery:
        for record in records:
            nursery.start_soon(write, record)
        await trio.testing.wait_all_tasks_blocked()
        await handle.restart()
    assert len(await scan_all(handle.store)) == 20
