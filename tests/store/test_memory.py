"""What only the twin in memory can do: a commit that takes virtual time, losing it, and a full disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.lowlevel
import trio.testing

from gossipnode.store.interface import IndexState, StoreClosedError, StoreFullError
from gossipnode.store.memory import MemoryStore
from tests.store.support import (
    SHARD,
    MemoryHandle,
    leaf_digest,
    make_record,
    placed,
    scan_all,
)


async def test_a_write_counts_after_its_commit(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore(leaf_digest=leaf_digest, commit_seconds=2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.write, placed(make_record()))
        await trio.sleep(1.9)
        assert await scan_all(store) == []
    assert trio.current_time() == pytest.approx(2.0)
    assert await scan_all(store) == [make_record()]


async def test_a_crash_loses_what_was_not_committed(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore(leaf_digest=leaf_digest, commit_seconds=1.0)
    await store.write(placed(make_record("kept")), stamp=1)

    async def write() -> None:
        with pytest.raises(StoreClosedError):
            await store.write(placed(make_record("lost")), stamp=2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(0.5)
        store.crash()
    assert isinstance(await store.wait_failed(), StoreClosedError)
    for call in (store.last_stamp(), store.scan(SHARD, limit=1), store.write([])):
        with pytest.raises(StoreClosedError):
            await call
    again = store.reopen()
    assert await scan_all(again) == [make_record("kept")]
    assert await again.last_stamp() == 1


async def test_lives_are_apart(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore(leaf_digest=leaf_digest)
    await store.write(placed(make_record("1")))
    await store.want_index(SHARD, "n")
    store.crash()
    again = store.reopen()
    await again.write(placed(make_record("2")))
    await again.build_indexes(limit=10)
    await again.keep_note("note", b"")
    first = store.reopen()
    assert await scan_all(first) == [make_record("1")]
    assert (await first.counts(SHARD)).unhashed == 1
    assert first.indexes(SHARD) == {"n": IndexState.BUILDING}
    assert await first.note("note") is None


async def test_a_cancelled_writer_still_commits(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore(leaf_digest=leaf_digest, commit_seconds=1.0)
    with trio.move_on_after(0.5):
        await store.write(placed(make_record()))
    assert trio.current_time() == pytest.approx(1.0)
    assert await scan_all(store) == [make_record()]


async def test_another_digest_forgets_the_kept_ones() -> None:
    store = MemoryStore(leaf_digest=leaf_digest)
    await store.write(placed(make_record()))
    await store.tree(SHARD)
    store.crash()
    assert (await store.reopen().counts(SHARD)).unhashed == 0
    assert (
        await store.reopen(leaf_digest=lambda payload, delete_time: bytes(64)).counts(SHARD)
    ).unhashed == 1


async def test_all_that_is_kept_takes_a_commit(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore(leaf_digest=leaf_digest, commit_seconds=1.0)
    await store.write(placed(make_record()))
    for step in (
        partial(store.want_index, SHARD, "n"),
        partial(store.build_indexes, limit=10),
        partial(store.drop_index, SHARD, "n"),
        partial(store.keep_note, "note", b"value"),
        partial(store.drop, SHARD),
    ):
        before = trio.current_time()
        await step()
        assert trio.current_time() == pytest.approx(before + 1)


async def test_a_crash_loses_a_note_and_a_drop_that_were_not_committed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = MemoryStore(leaf_digest=leaf_digest, commit_seconds=1.0)
    await store.write(placed(make_record()))

    async def lose(step: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(StoreClosedError):
            await step()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lose, partial(store.keep_note, "note", b"value"))
        nursery.start_soon(lose, partial(store.drop, SHARD))
        nursery.start_soon(lose, partial(store.want_index, SHARD, "n"))
        await trio.sleep(0.5)
        store.crash()
    again = store.reopen()
    assert await again.note("note") is None
    assert await scan_all(again) == [make_record()]
    assert again.indexes(SHARD) == {}


async def test_the_twin_in_memory() -> None:
    handle = MemoryHandle()
    await handle.store.write(placed(make_record("1")))
    handle.memory.set_full(True)
    with pytest.raises(StoreFullError):
        await handle.store.write(placed(make_record("2")), stamp=9)
    assert await scan_all(handle.store) == [make_record("1")]
    assert await handle.store.last_stamp() == 0
    handle.memory.set_full(False)
    await handle.store.write(placed(make_record("2")))
    assert len(await scan_all(handle.store)) == 2


async def test_closing_waits_for_the_writes_under_way(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore(leaf_digest=leaf_digest, commit_seconds=2.0)
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(store.write, placed(make_record(str(number))))
            await trio.sleep(0.5)
        for _ in range(2):
            nursery.start_soon(store.close)
        await trio.lowlevel.checkpoint()
        with pytest.raises(StoreClosedError):
            await store.last_stamp()
        await store.close()
        assert trio.current_time() == pytest.approx(3.0)
    assert len(await scan_all(store.reopen())) == 3
