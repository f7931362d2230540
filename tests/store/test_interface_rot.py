"""A stored payload that rots is never served: it is set aside, named, and back once a write brings it."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import Entity
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.query.index_key import IndexKind
from gossipnode.store.interface import IndexState, RecordDamagedError, ShardCounts, Store
from tests.store.support import (
    OTHER_SHARD,
    SHARD,
    Handle,
    assert_empty,
    find_all,
    hits,
    placed,
    rebuilt,
    scan_all,
    tagged,
)

RECORDS = [tagged(f"{number:02}", revision=5, n=number) for number in range(40)]
LOST = RECORDS[7]
LEFT = [record for record in RECORDS if record is not LOST]


async def meet(store: Store, way: str) -> None:
    """Let the store notice what has rotted."""
    match way:
        case "read":
            with pytest.raises(RecordDamagedError, match=f"{LOST.entity.text} is damaged.*set aside"):
                await store.read(SHARD, [record.entity for record in RECORDS])
        case "read around it":
            assert await store.read(SHARD, [LOST.entity], skip_damaged=True) == [None]
        case "scan":
            assert await scan_all(store) == LEFT
        case "tree":
            assert await store.tree(SHARD) == rebuilt(LEFT)
        case "leaves":
            leaves = [leaf for slot in range(32) for leaf in await store.leaves(SHARD, slot, limit=100)]
            assert sorted(leaf.entity for leaf in leaves) == [record.entity for record in LEFT]
        case _:
            assert await store.fill_digests(limit=100) == len(LEFT)


@pytest.mark.parametrize("way", ["read", "read around it", "scan", "tree", "leaves", "fill_digests"])
async def test_whoever_meets_it_sets_it_aside(handle: Handle, way: str) -> None:
    await handle.store.write(placed(*RECORDS))
    await handle.rot(SHARD, LOST.entity)
    assert await handle.store.damaged_records(limit=9) == (0, ())
    await meet(handle.store, way)
    assert await handle.store.damaged_records(limit=9) == (1, (LOST.entity.text,))
    assert await handle.store.damaged_shards() == {SHARD: LOST.entity.text}
    counts = await handle.store.counts(SHARD)
    assert counts == ShardCounts(len(LEFT), 0, counts.unhashed)
    await handle.restart()
    assert await handle.store.damaged_records(limit=9) == (1, (LOST.entity.text,))
    for again in ("scan", "tree", "leaves", "read"):
        await meet(handle.store, again)


@pytest.mark.parametrize("revision", [5, 6])
async def test_its_version_stays_known_until_it_is_written_again(handle: Handle, revision: int) -> None:
    await handle.store.write(placed(*RECORDS))
    await handle.rot(SHARD, LOST.entity)
    await meet(handle.store, "scan")
    (older,) = await handle.store.write(placed(tagged(LOST.entity.id, revision=4, n=7)))
    assert older == (WriteOutcome.OLDER, LOST.version, "")
    back = tagged(LOST.entity.id, revision=revision, n=7)
    (stored,) = await handle.store.write(placed(back))
    assert stored == (WriteOutcome.STORED, back.version, "")
    assert await handle.store.damaged_records(limit=9) == (0, ())
    assert await handle.store.damaged_shards() == {}
    assert await handle.store.read(SHARD, [back.entity]) == [back]


async def test_a_newer_version_heals_what_nobody_has_met(handle: Handle) -> None:
    await handle.store.write(placed(*RECORDS))
    await handle.rot(SHARD, LOST.entity)
    (equal,) = await handle.store.write(placed(LOST))
    assert equal.outcome is WriteOutcome.EQUAL
    newer = tagged(LOST.entity.id, revision=6, n=7)
    await handle.store.write(placed(newer))
    assert await handle.store.read(SHARD, [LOST.entity]) == [newer]
    assert await handle.store.damaged_records(limit=9) == (0, ())


async def test_a_tree_of_known_digests_does_not_read_it(handle: Handle) -> None:
    await handle.store.write(placed(*RECORDS))
    await handle.store.tree(SHARD)
    await handle.rot(SHARD, LOST.entity)
    assert await handle.store.tree(SHARD) == rebuilt(RECORDS)
    # A session has brought it, so its digest is doubted.
    await handle.store.write(placed(LOST), doubt_equal=True)
    await meet(handle.store, "tree")


async def test_indexes_hold_it_until_it_is_met(handle: Handle) -> None:
    await handle.store.want_index(SHARD, "n")
    await handle.store.write(placed(*RECORDS))
    await handle.rot(SHARD, LOST.entity)
    assert await find_all(handle.store, "n") == hits(RECORDS, "n", IndexKind.WHOLE)
    await meet(handle.store, "scan")
    assert await find_all(handle.store, "n") == hits(LEFT, "n", IndexKind.WHOLE)
    await handle.store.write(placed(LOST))
    assert await find_all(handle.store, "n") == hits(RECORDS, "n", IndexKind.WHOLE)


async def test_an_index_that_is_built_now_lacks_it(handle: Handle) -> None:
    await handle.store.write(placed(*RECORDS))
    await handle.rot(SHARD, LOST.entity)
    await handle.store.want_index(SHARD, "n")
    while await handle.store.build_indexes(limit=16):
        pass
    assert await find_all(handle.store, "n") == hits(LEFT, "n", IndexKind.WHOLE)
    await handle.restart()
    assert await find_all(handle.store, "n") == hits(LEFT, "n", IndexKind.WHOLE)
    await handle.store.write(placed(tagged(LOST.entity.id, revision=6, n=7)))
    assert await find_all(handle.store, "n") == hits(RECORDS, "n", IndexKind.WHOLE)


async def test_it_keeps_its_shard_until_that_is_dropped(handle: Handle) -> None:
    await handle.store.write(placed(tagged("1")))
    await handle.rot(SHARD, Entity("sw", "name", "1"))
    assert await scan_all(handle.store) == []
    await handle.store.want_index(SHARD, "n")
    assert handle.store.indexes(SHARD) == {"n": IndexState.READY}
    await handle.store.drop_index(SHARD, "n")
    assert handle.store.shards() == [SHARD]
    await handle.store.drop(SHARD)
    await assert_empty(handle.store, SHARD)
    assert await handle.store.damaged_records(limit=9) == (0, ())


async def test_a_few_are_named_and_all_are_counted(handle: Handle) -> None:
    for shard in (SHARD, OTHER_SHARD):
        await handle.store.write(placed(*RECORDS, shard=shard))
        for record in RECORDS[:5]:
            await handle.rot(shard, record.entity)
        assert len(await scan_all(handle.store, shard)) == len(RECORDS) - 5
    number, names = await handle.store.damaged_records(limit=3)
    assert (number, len(names)) == (10, 3)
    assert set(await handle.store.damaged_shards()) == {SHARD, OTHER_SHARD}
