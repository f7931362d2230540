"""The item indexes of a node: made from the store, and kept right by what is written meanwhile."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.session.reconcile.item_index import ItemIndex
from gossipnode.node.local import item_indexes
from gossipnode.node.local.item_indexes import ItemIndexes
from gossipnode.store.follower import NumberedVersion
from gossipnode.store.interface import StoreClosedError
from gossipnode.store.memory import MemoryStore
from tests.node.support import make_local, memory_store
from tests.records import record

SHARD = ShardId("sw", 0)
OTHER_SHARD = ShardId("sw", 1)
KEY = bytes(range(16))


async def write(store: MemoryStore, *keys: int, revision: int = 1, shard: ShardId = SHARD) -> None:
    await store.write([(shard, record(f"n/{key}", revision=revision)) for key in keys])


async def fresh(store: MemoryStore) -> ItemIndex:
    """The index as it is when made from what the store holds now."""
    return await ItemIndexes(store.reopen(), lambda: KEY).of(SHARD)


async def assert_right(index: ItemIndex, store: MemoryStore) -> None:
    expected = await fresh(store)
    assert (index.root, index.count) == (expected.root, expected.count)


async def test_an_index_follows_every_write() -> None:
    store = memory_store()
    await write(store, *range(20))
    index = await ItemIndexes(store, lambda: KEY).of(SHARD)
    assert index.count == 20
    await write(store, 3, 4, 50, revision=2)
    assert index.count == 21
    await assert_right(index, store)


async def test_writes_come_while_an_index_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_indexes, "INDEX_PAGE_VERSIONS", 3)
    store = memory_store()
    await write(store, *range(40))
    indexes = ItemIndexes(store, lambda: KEY)
    made: list[ItemIndex] = []

    async def make() -> None:
        made.append(await indexes.of(SHARD))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make)
        nursery.start_soon(make)
        for step in range(30):
            await write(store, step, 100 + step, revision=2)
    assert made[0] is made[1]
    await assert_right(made[0], store)


async def test_a_shard_that_is_dropped_is_read_anew() -> None:
    store = memory_store()
    await write(store, *range(20))
    indexes = ItemIndexes(store, lambda: KEY)
    await indexes.of(SHARD)
    await store.drop(SHARD)
    await write(store, 7)
    assert (await indexes.of(SHARD)).count == 1


async def test_another_key_makes_other_indexes() -> None:
    store = memory_store()
    await write(store, 1)
    keys = [KEY]
    indexes = ItemIndexes(store, lambda: keys[0])
    before = await indexes.of(SHARD)
    keys[0] = bytes(16)
    after = await indexes.of(SHARD)
    assert before.root != after.root
    keys[0] = b""
    assert not indexes.have_key


async def test_indexes_are_made_before_they_are_asked_for(autojump_clock: object) -> None:
    store = memory_store()
    await write(store, 1)
    local = make_local(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(local.item_indexes.keep, local.shards)
        await trio.sleep(1)
        await write(store, 2, shard=OTHER_SHARD)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    store.crash()
    for shard in (SHARD, OTHER_SHARD):
        assert (await local.item_indexes.of(shard)).count == 1


async def test_a_node_alone_makes_none(autojump_clock: object) -> None:
    store = memory_store()
    await write(store, 1)
    local = make_local(store, members=("a",))
    with trio.move_on_after(1):
        await local.item_indexes.keep(local.shards)
    store.crash()
    with pytest.raises(StoreClosedError):
        await local.item_indexes.of(SHARD)


async def test_a_store_that_fails_is_no_failure_of_the_node() -> None:
    store = memory_store()
    await write(store, 1)
    local = make_local(store)
    store.versions = failing  # type: ignore[method-assign]
    await local.item_indexes.keep(local.shards)


async def failing(shard: ShardId, **_page: object) -> list[NumberedVersion]:
    await trio.lowlevel.checkpoint()
    raise StoreClosedError("the store has crashed")


async def test_a_task_that_is_cancelled_leaves_no_half_index() -> None:
    store = memory_store()
    await write(store, *range(10))
    indexes = ItemIndexes(store, lambda: KEY)
    with trio.CancelScope() as scope:
        scope.cancel()
        await indexes.of(SHARD)
    await assert_right(await indexes.of(SHARD), store)
