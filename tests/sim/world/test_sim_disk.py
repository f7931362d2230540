"""What a disk promises to the processes that have it one after the other, and what can happen to it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import ShardId
from gossipnode.sim.world.sim_disk import SimDisk
from gossipnode.store.interface import (
    IndexState,
    RecordDamagedError,
    StoreClosedError,
    StoreLockedError,
)
from gossipnode.store.memory_image import UNDO_COMMITS_MAX
from tests.records import bare_record
from tests.sim.world.disks import SHARD, Endings, held, make_disk, open_disk, put, record
from tests.store.support import index_rows, leaf_digest, other_digest, rebuilt

ONE = record("1")

# One process after the other


async def test_what_was_committed_is_there_for_the_next_process() -> None:
    disk = make_disk()
    store = open_disk(disk)
    await put(store, record("1"))
    await store.keep_note("key", b"value")
    await store.want_index(SHARD, "n")
    await store.close()
    store = open_disk(disk)
    assert await store.scan(SHARD, limit=9) == [record("1")]
    assert await store.note("key") == b"value"
    assert store.indexes(SHARD) == {"n": IndexState.BUILDING}
    assert await store.last_stamp() == 1


async def test_a_second_process_is_refused() -> None:
    disk = make_disk()
    assert not disk.in_use
    store = open_disk(disk)
    assert disk.in_use
    with pytest.raises(StoreLockedError, match="disk of a is in use by another process"):
        open_disk(disk)
    await store.close()
    assert not disk.in_use
    open_disk(disk)
    disk.crash()
    assert not disk.in_use
    disk.crash()


async def test_a_dead_process_that_is_closed_late_frees_nothing() -> None:
    disk = make_disk()
    first = open_disk(disk)
    disk.crash()
    open_disk(disk)
    await first.close()
    assert disk.in_use


async def test_closing_keeps_the_disk_until_the_last_write_is_made(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = make_disk()
    disk.set_commit_seconds(2, 2)
    store = open_disk(disk)
    async with trio.open_nursery() as nursery:
        Endings(nursery).begin("1", store, record("1"))
        await trio.sleep(1)
        nursery.start_soon(store.close)
        await trio.sleep(0.5)
        assert disk.in_use
    assert not disk.in_use
    assert disk.contents() == held(record("1"))


async def test_a_crash_loses_what_was_not_committed(autojump_clock: trio.testing.MockClock) -> None:
    disk = make_disk()
    disk.set_commit_seconds(2, 2)
    store = open_disk(disk)
    async with trio.open_nursery() as nursery:
        endings = Endings(nursery)
        endings.begin("kept", store, record("kept"))
        await trio.sleep(1)
        endings.begin("lost", store, record("lost"))
        await trio.sleep(2)
        disk.crash()
        assert isinstance(await store.wait_failed(), StoreClosedError)
        # The next process is there before the calls of the dead one have ended.
        await put(open_disk(disk), record("next"))
    assert endings.of == {"kept": "2.000", "lost": "the store has crashed"}
    assert disk.contents() == held(record("kept"), record("next"))
    with pytest.raises(StoreClosedError):
        await store.scan(SHARD, limit=1)


async def test_digests_are_kept_as_long_as_their_formula_is() -> None:
    made: list[bytes] = []

    def counted(payload: bytes, delete_time: int, spacing: str) -> bytes:
        made.append(payload)
        return leaf_digest(payload + spacing.encode(), delete_time)

    disk = make_disk()
    store = disk.open(partial(counted, spacing="none"), index_rows)
    await put(store, record("1"))
    none = await store.tree(SHARD)
    await store.close()
    store = disk.open(partial(counted, spacing="none"), index_rows)
    assert (await store.counts(SHARD)).unhashed == 0
    assert await store.tree(SHARD) == none
    assert len(made) == 1
    await store.close()
    store = disk.open(partial(counted, spacing="commas"), index_rows)
    assert (await store.counts(SHARD)).unhashed == 1
    assert await store.tree(SHARD) != none
    assert len(made) == 2


async def test_replicas_share_their_digests() -> None:
    made: list[bytes] = []

    def counted(payload: bytes, delete_time: int) -> bytes:
        made.append(payload)
        return leaf_digest(payload, delete_time)

    roots = set()
    for size in (10, 5000):
        for _ in range(3):
            store = make_disk().open(counted, index_rows)
            await put(store, bare_record("n/1", b"p" * size))
            roots.add((await store.tree(SHARD)).root)
    assert [len(payload) for payload in made] == [10, 5000, 5000, 5000]
    assert len(roots) == 2


# What happens to what is on it


async def test_an_unsafe_disk_loses_its_last_commits() -> None:
    disk = make_disk()
    store = open_disk(disk)
    await put(store, record("1"), record("2"))
    await store.want_index(SHARD, "n")
    before = await store.tree(SHARD)
    kept = disk.contents()
    steps: list[Callable[[], Awaitable[object]]] = [
        partial(put, store, record("1", 2), record("1", 3), record("3", 2)),
        partial(put, store, record("9"), shard=ShardId("sw", 1)),
        partial(store.keep_note, "key", b"value"),
        partial(store.want_index, ShardId("sw", 2), "n"),
        partial(store.build_indexes, limit=1),
        partial(store.drop_index, SHARD, "n"),
        partial(store.drop, SHARD),
        partial(put, store, record("4")),
    ]
    for step in steps:
        await step()
    with pytest.raises(ValueError, match="has the disk of a open"):
        disk.lose_last_commits(1)
    disk.crash()
    assert disk.lose_last_commits(2) == 2
    assert disk.contents()[SHARD].keys() == held(record("1"), record("2"), record("3"))[SHARD].keys()
    assert disk.lose_last_commits(6) == 6
    assert disk.contents() == kept
    store = open_disk(disk)
    assert await store.last_stamp() == 1
    assert await store.note("key") is None
    assert store.shards() == [SHARD]
    assert store.indexes(SHARD) == {"n": IndexState.BUILDING}
    assert await store.tree(SHARD) == before


async def test_commits_of_long_ago_are_safe() -> None:
    disk = make_disk()
    store = open_disk(disk)
    for number in range(UNDO_COMMITS_MAX + 5):
        await put(store, record(f"{number:03}"))
    await store.close()
    assert disk.lose_last_commits(1000) == UNDO_COMMITS_MAX
    assert disk.contents() == held(*(record(f"{number:03}") for number in range(5)))
    assert disk.lose_last_commits(1) == 0


async def test_a_bit_flips_and_the_record_is_set_aside() -> None:
    disk = make_disk()
    assert disk.flip_bit() is None
    store = open_disk(disk)
    records = [record(f"{number:02}") for number in range(8)]
    await put(store, *records)
    found = disk.flip_bit()
    assert found is not None
    ((place, payload),) = [
        (entity, each.payload) for entity, each in disk.contents()[SHARD].items() if each not in records
    ]
    assert place == found
    (sound,) = [each.payload for each in records if each.entity == found]
    assert int.from_bytes(payload) ^ int.from_bytes(sound) in [1 << bit for bit in range(8 * len(sound))]
    with pytest.raises(RecordDamagedError, match=found.text):
        await store.read(SHARD, [each.entity for each in records])
    assert found not in disk.contents()[SHARD]
    assert disk.flip_bit(found) is None
    other = next(each.entity for each in records if each.entity != found)
    assert disk.flip_bit(other) == other
    assert disk.flip_bit(other) is None, "it would be as it was"


async def test_a_copy_comes_back_as_often_as_one_likes() -> None:
    disk, other = make_disk(), SimDisk("b", random.Random(2))
    store = open_disk(disk)
    await put(store, record("1"))
    copy = disk.copy()
    for number in (2, 3):
        await put(store, record("1", number), record(str(number)))
        with pytest.raises(ValueError, match="has the disk of a open"):
            disk.put_back(copy)
        await store.close()
        disk.put_back(copy)
        store = open_disk(disk)
        assert disk.contents() == held(record("1"))
        assert await store.last_stamp() == 1
        assert (await store.tree(SHARD)).root
    other.put_back(copy)
    await put(open_disk(other), record("4"))
    assert disk.contents() == held(record("1"))
    assert other.contents() == held(record("1"), record("4"))


async def test_a_copy_has_its_own_digests() -> None:
    same = [each for each in map(record, map(str, range(99))) if slot_of(each.entity) == slot_of(ONE.entity)]
    other = next(each for each in map(record, "23456789") if each not in same)
    disk = make_disk()
    store = open_disk(disk)
    await put(store, ONE, other)
    await store.tree(SHARD)
    copy = disk.copy()
    await put(store, record("1", 2), *same)
    await store.tree(SHARD)
    disk.crash()
    disk.put_back(copy)
    store = open_disk(disk)
    newer = record(other.entity.id, 2)
    await put(store, newer)
    assert await store.tree(SHARD) == rebuilt([ONE, newer])
    await put(store, record("1", 3))
    assert await store.tree(SHARD) == rebuilt([record("1", 3), newer])


async def test_a_copy_has_the_digests_of_its_formula() -> None:
    disk = make_disk()
    store = open_disk(disk)
    await put(store, record("1"))
    tree = await store.tree(SHARD)
    copy = disk.copy()
    await store.close()
    await disk.open(other_digest, index_rows).close()
    disk.put_back(copy)
    store = disk.open(other_digest, index_rows)
    assert (await store.counts(SHARD)).unhashed == 1
    assert await store.tree(SHARD) != tree


async def test_a_wiped_disk_is_empty() -> None:
    disk = make_disk()
    store = open_disk(disk)
    await put(store, record("1"))
    await store.keep_note("key", b"value")
    with pytest.raises(ValueError, match="open"):
        disk.wipe()
    disk.crash()
    disk.wipe()
    assert disk.contents() == {}
    store = open_disk(disk)
    assert store.shards() == []
    assert await store.note("key") is None
    assert await store.last_stamp() == 0
    await store.close()
    assert disk.lose_last_commits(9) == 0
