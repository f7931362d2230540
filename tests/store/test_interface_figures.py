"""What every store counts of itself, for those who watch a node."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.store.interface import StoreClosedError
from gossipnode.store.sqlite.sqlite_figures import COUNTS_PAGE_SHARDS
from tests.store.support import REMADE_SHARD, SHARD, Handle, SqliteHandle, make_record, tagged


async def test_every_shard_is_counted(handle: Handle) -> None:
    """Far more shards than are read together, some with many slots in use."""
    shards = [ShardId("sw", number) for number in range(2 * COUNTS_PAGE_SHARDS)]
    await handle.store.write(
        [
            (shard, make_record(f"{number}", deleted=number % 3))
            for shard in shards
            for number in range(100 if shard.shard % 7 == 0 else 1 + shard.shard % 2)
        ]
    )
    await handle.store.write([(REMADE_SHARD, make_record())])
    counts = await handle.store.figures.counts()
    assert len(counts) == len(shards) + 1
    for shard, held in counts.items():
        known = await handle.store.counts(shard)
        assert held == (known.records, known.tombstones)


async def test_an_empty_store_has_no_counts_and_a_shard_with_an_index_alone_has_nothing(
    handle: Handle,
) -> None:
    assert await handle.store.figures.counts() == {}
    await handle.store.write([(SHARD, tagged("x", n=1))])
    await handle.store.drop(SHARD)
    assert await handle.store.figures.counts() == {}


async def test_a_store_that_is_closed_counts_nothing(handle: Handle) -> None:
    await handle.store.close()
    with pytest.raises(StoreClosedError):
        await handle.store.figures.counts()


async def test_commits_are_counted_once_they_are_durable(sqlite: SqliteHandle) -> None:
    commits = sqlite.store.figures.commits
    before, total = sum(commits.records.counts), commits.records.total
    await sqlite.store.write([(SHARD, make_record(f"{number}")) for number in range(100)])
    assert sum(commits.records.counts) == sum(commits.seconds.counts) == before + 1
    assert commits.records.total == total + 100
    assert commits.seconds.total > 0
    assert commits.running_seconds == 0
