"""Digests are computed once writes are quiet, and a store in trouble does not end the node."""

from __future__ import annotations

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.node.local.digest_filler import (
    FILL_BATCH_LEAVES,
    FILL_IDLE_SECONDS,
    FILL_LATEST_SECONDS,
    FILL_PAUSE_SECONDS,
    FILL_QUIET_SECONDS,
    fill_digests,
)
from gossipnode.node.local.local_state import LocalState
from gossipnode.store.interface import StoreClosedError, StoreDamagedError, StoreError, StoreFullError
from gossipnode.store.memory import MemoryStore
from tests.node.support import LEAF_DIGEST, make_local
from tests.records import record

SHARD = ShardId("sw", 0)


async def write(local: LocalState, *keys: str) -> None:
    await local.writer.write([(SHARD, record(key)) for key in keys])


async def unhashed(local: LocalState) -> int:
    return (await local.store.counts(SHARD)).unhashed


def needed() -> bool:
    return True


async def test_digests_that_no_round_needs_wait_for_a_long_quiet_time(autojump_clock: object) -> None:
    local, needs = make_local(), [False]
    await write(local, *(f"n/{i}" for i in range(3 * FILL_BATCH_LEAVES)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, local.store, local.writer.written, lambda: needs[0])
        for i in range(20):
            await trio.sleep(FILL_IDLE_SECONDS * 0.9)
            await write(local, f"later/{i}")
        assert await unhashed(local) == 3 * FILL_BATCH_LEAVES + 20
        await trio.sleep(FILL_IDLE_SECONDS + 1)
        assert await unhashed(local) == 0
        needs[0] = True
        await write(local, "n/new")
        await trio.sleep(FILL_IDLE_SECONDS + 1)
        assert await unhashed(local) == 0
        nursery.cancel_scope.cancel()


async def test_what_is_missing_at_the_start_is_filled_in() -> None:
    local = make_local()
    await write(local, *(f"n/{i}" for i in range(3 * FILL_BATCH_LEAVES + 1)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, local.store, local.writer.written, needed)
        await trio.testing.wait_all_tasks_blocked()
        assert await unhashed(local) == 0
        nursery.cancel_scope.cancel()


async def test_digests_wait_until_writes_are_quiet(autojump_clock: object) -> None:
    local = make_local()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, local.store, local.writer.written, needed)
        await trio.testing.wait_all_tasks_blocked()
        for i in range(10):
            await write(local, f"n/{i}")
            await trio.sleep(FILL_QUIET_SECONDS * 0.9)
            assert await unhashed(local) == i + 1
        await trio.sleep(FILL_QUIET_SECONDS)
        assert await unhashed(local) == 0
        nursery.cancel_scope.cancel()


async def test_writes_without_end_put_them_off_for_so_long_only(autojump_clock: object) -> None:
    local = make_local()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, local.store, local.writer.written, needed)
        await trio.testing.wait_all_tasks_blocked()
        for i in range(round(FILL_LATEST_SECONDS / 0.3) + 5):
            await write(local, f"n/{i}")
            await trio.sleep(0.3)
        assert await unhashed(local) < 10
        nursery.cancel_scope.cancel()


async def test_writes_that_come_meanwhile_are_left_most_of_the_time(autojump_clock: object) -> None:
    """A backlog is worked off in batches with pauses between them, as long as somebody writes."""
    local = make_local()
    await write(local, *(f"old/{i}" for i in range(20 * FILL_BATCH_LEAVES)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill_digests, local.store, local.writer.written, needed)
        # It has begun before the first write is made.
        await trio.lowlevel.checkpoint()
        for i in range(10):
            await write(local, f"n/{i}")
            await trio.sleep(FILL_PAUSE_SECONDS / 2)
        assert await unhashed(local) >= 10 * FILL_BATCH_LEAVES
        await trio.sleep(FILL_QUIET_SECONDS + 1)
        assert await unhashed(local) == 0
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
    """A store that cannot go on tells the node by itself, so this task must not end the other tasks."""
    store = Troubled(leaf_digest=LEAF_DIGEST)
    local = make_local(store)
    await write(local, "n/1")
    store.error = error("no luck")
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill_digests, local.store, local.writer.written, needed)
            await trio.sleep(1)
            assert await unhashed(local) == 1
            await write(local, "n/2")
            await trio.sleep(1)
            assert await unhashed(local) == 0
            nursery.cancel_scope.cancel()
    assert [entry["reason"] for entry in logs] == ["no luck"]


async def test_it_ends_with_the_store(autojump_clock: object) -> None:
    store = Troubled(leaf_digest=LEAF_DIGEST)
    store.error = StoreClosedError("closed")
    with trio.fail_after(1):
        await fill_digests(store, make_local(store).writer.written, needed)
