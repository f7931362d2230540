"""Digests are computed once writes are quiet, and a store in trouble does not end the node."""

from __future__ import annotations

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.node.local.digest_filler import (
    FILL_BATCH_LEAVES,
    FILL_LATEST_SECONDS,
    FILL_PAUSE_SECONDS,
    FILL_QUIET_SECONDS,
    fill_digests,
)
from gossipnode.node.local.shards import Shards
from gossipnode.store.interface import StoreClosedError, StoreDamagedError, StoreError, StoreFullError
from gossipnode.store.memory import MemoryStore
from tests.node.cluster import record
from tests.node.support import make_shards, memory_store

SHARD = ShardId("sw", 0)


async def write(shards: Shards, *keys: str) -> None:
    await shards.write([(SHARD, record(key)) for key in keys])


async def unhashed(shards: Shards) -> int:
    return (await shards.store.counts(SHARD)).unhashed


async def test_what_is_missing_at_the_start_is_filled_in() -> None:
    shards = make_shards()
    await write(shards, *(f"n/{i}" for i in range(3 * FILL_BATCH_LEAVES + 1)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, shards)
        await trio.testing.wait_all_tasks_blocked()
        assert await unhashed(shards) == 0
        nursery.cancel_scope.cancel()


async def test_digests_wait_until_writes_are_quiet(autojump_clock: object) -> None:
    shards = make_shards()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, shards)
        await trio.testing.wait_all_tasks_blocked()
        for i in range(10):
            await write(shards, f"n/{i}")
            await trio.sleep(FILL_QUIET_SECONDS * 0.9)
            assert await unhashed(shards) == i + 1
        await trio.sleep(FILL_QUIET_SECONDS)
        assert await unhashed(shards) == 0
        nursery.cancel_scope.cancel()


async def test_writes_without_end_put_them_off_for_so_long_only(autojump_clock: object) -> None:
    shards = make_shards()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, shards)
        await trio.testing.wait_all_tasks_blocked()
        for i in range(round(FILL_LATEST_SECONDS / 0.3) + 5):
            await write(shards, f"n/{i}")
            await trio.sleep(0.3)
        assert await unhashed(shards) < 10
        nursery.cancel_scope.cancel()


async def test_writes_that_come_meanwhile_are_left_most_of_the_time(autojump_clock: object) -> None:
    """A backlog is worked off in batches with pauses between them, as long as somebody writes."""
    shards = make_shards()
    await write(shards, *(f"old/{i}" for i in range(20 * FILL_BATCH_LEAVES)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, shards)
        for i in range(10):
            await write(shards, f"n/{i}")
            await trio.sleep(FILL_PAUSE_SECONDS / 2)
        assert await unhashed(shards) >= 10 * FILL_BATCH_LEAVES
        await trio.sleep(FILL_QUIET_SECONDS + 1)
        assert await unhashed(shards) == 0
        nursery.cancel_scope.cancel()


class Troubled(MemoryStore):
    """A store whose digests fail once."""

    error: StoreError | None = None

    async def fill_digests(self, *, limit: int) -> int:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return await super().fill_digests(limit=limit)


@pytest.mark.parametrize("error", [StoreFullError, StoreDamagedError, StoreError])
async def test_a_store_in_trouble_is_tried_again_after_the_next_write(
    error: type[StoreError], autojump_clock: object
) -> None:
    """What the store cannot go on after it tells the node by itself: this task must not end the others."""
    store = Troubled(leaf_digest=memory_store()._leaf_digest)
    shards = make_shards(store)
    await write(shards, "n/1")
    store.error = error("no luck")
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill_digests, shards)
            await trio.sleep(1)
            assert await unhashed(shards) == 1
            await write(shards, "n/2")
            await trio.sleep(1)
            assert await unhashed(shards) == 0
            nursery.cancel_scope.cancel()
    assert [entry["reason"] for entry in logs] == ["no luck"]


async def test_it_ends_with_the_store() -> None:
    store = Troubled(leaf_digest=memory_store()._leaf_digest)
    store.error = StoreClosedError("closed")
    with trio.fail_after(1):
        await fill_digests(make_shards(store))
