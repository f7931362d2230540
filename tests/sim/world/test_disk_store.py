"""How commits to a disk go: how long they take, how they fail, and what is told of them."""

from __future__ import annotations

import random
from functools import partial

import pytest
import trio
import trio.testing

from gossipnode.sim.world.sim_disk import SimDisk
from gossipnode.store.interface import (
    StoreClosedError,
    StoreFullError,
    StoreLockedError,
)
from tests.sim.world.disks import SHARD, Endings, held, make_disk, open_disk, put, record


async def test_a_commit_takes_the_time_that_is_drawn(autojump_clock: trio.testing.MockClock) -> None:
    async def times(seed: int) -> list[float]:
        disk = SimDisk("a", random.Random(seed))
        disk.set_commit_seconds(0.5, 1.5)
        store = open_disk(disk)
        taken = []
        for number in range(20):
            began = trio.current_time()
            await put(store, record(str(number)))
            taken.append(round(trio.current_time() - began, 9))
        return taken

    first = await times(1)
    assert all(0.5 <= each <= 1.5 for each in first)
    assert len(set(first)) == 20
    assert await times(1) == first
    assert await times(2) != first


async def test_writes_that_come_during_a_commit_are_one_commit_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = make_disk()
    disk.set_commit_seconds(2, 2)
    store = open_disk(disk)
    async with trio.open_nursery() as nursery:
        endings = Endings(nursery)
        for number in range(6):
            endings.begin(str(number), store, record(str(number)))
            if number % 2:
                await trio.sleep(1)
    assert list(endings.of.values()) == ["2.000"] * 2 + ["4.000"] * 4


async def test_no_write_joins_a_commit_that_takes_no_time(autojump_clock: trio.testing.MockClock) -> None:
    disk = make_disk()
    store = open_disk(disk)
    await put(store, record("1"))
    disk.set_commit_seconds(2, 2)
    await put(store, record("2"))
    assert trio.current_time() == pytest.approx(2)


async def test_a_new_process_waits_for_no_commit_of_a_dead_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = make_disk()
    disk.set_commit_seconds(100, 100)
    async with trio.open_nursery() as nursery:
        endings = Endings(nursery)
        endings.begin("lost", open_disk(disk), record("lost"))
        await trio.sleep(1)
        disk.crash()
        disk.set_commit_seconds(0, 0)
        endings.begin("kept", open_disk(disk), record("kept"))
    assert endings.of == {"lost": "the store has crashed", "kept": "1.000"}


async def test_a_full_disk_refuses_what_makes_it_grow() -> None:
    disk = make_disk()
    store = open_disk(disk)
    await put(store, record("1"))
    changed = store.disk_changed.pending
    disk.set_full(True)
    assert changed.is_set()
    assert store.disk.full
    for call in (
        partial(put, store, record("2")),
        partial(store.want_index, SHARD, "n"),
    ):
        with pytest.raises(StoreFullError):
            await call()
    assert await store.fill_digests(limit=9) == 0
    await store.keep_note("key", b"value")
    assert await store.scan(SHARD, limit=9) == [record("1")]
    disk.crash()
    store = open_disk(disk)
    assert store.disk.full
    await store.drop(SHARD)
    disk.set_full(False)
    await put(store, record("2"))
    assert disk.contents()[SHARD] == held(record("2"))[SHARD]


async def test_a_full_disk_has_no_room_for_a_new_store() -> None:
    disk = make_disk()
    disk.set_full(True)
    with pytest.raises(StoreFullError):
        open_disk(disk)
    assert not disk.in_use
    disk.set_full(False)
    open_disk(disk)


async def test_a_store_ends_with_a_commit_that_fails(autojump_clock: trio.testing.MockClock) -> None:
    disk = make_disk()
    disk.set_commit_seconds(1, 1)
    store = open_disk(disk)
    await put(store, record("kept"))
    disk.fail_commits(2)
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            endings = Endings(nursery)
            for name in ("one", "two"):
                endings.begin(name, store, record(name))
        assert set(endings.of.values()) == {"the store has failed: disk of a: disk I/O error"}
        assert str(await store.wait_failed()) == "disk of a: disk I/O error"
        with pytest.raises(StoreClosedError, match="has failed"):
            await store.read(SHARD, [])
        with pytest.raises(StoreLockedError):
            open_disk(disk)
        await store.close()
        assert disk.contents() == held(record("kept"))
        store = open_disk(disk)
    await put(store, record("again"))
    assert disk.contents() == held(record("kept"), record("again"))


async def test_a_torn_commit_is_not_there_at_all(autojump_clock: trio.testing.MockClock) -> None:
    disk = make_disk()
    disk.set_commit_seconds(1, 1)
    store = open_disk(disk)
    await put(store, record("kept"), record("changed", 1))
    cut: list[float] = []
    disk.tear_commit(lambda: cut.append(trio.current_time()))
    async with trio.open_nursery() as nursery:
        endings = Endings(nursery)
        endings.begin("torn", store, record("new"), record("changed", 2))
        endings.begin("beside", store, record("beside"))
    assert cut == [1.5]
    assert set(endings.of.values()) == {"the store has crashed"}
    assert isinstance(await store.wait_failed(), StoreClosedError)
    assert not disk.in_use
    assert disk.contents() == held(record("kept"), record("changed", 1))
    store = open_disk(disk)
    assert await store.last_stamp() == 1
    await put(store, record("after"))


async def test_it_tells_of_each_version_that_replaces_another() -> None:
    told: list[tuple[int | None, int]] = []
    disk = make_disk(
        on_stored=lambda shard, before, after: told.append(
            (before.mod_revision if before else None, after.version.mod_revision)
        )
    )
    store = open_disk(disk)
    for revision in (2, 1, 2, 3):
        await put(store, record("1", revision))
    assert told == [(None, 2), (2, 3)]
    assert disk.flip_bit() is not None
    await store.scan(SHARD, limit=1)
    await put(store, record("1", 2))
    await put(store, record("1", 3))
    assert told[2:] == [(3, 3)]
