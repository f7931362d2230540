"""What a disk promises to the processes that have it one after the other, and what can go wrong with it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from gossipnode.core.cluster.view import SYSTEM_GROUP
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.sim.world.sim_disk import SimDisk
from gossipnode.store.interface import (
    IndexState,
    RecordDamagedError,
    StoreClosedError,
    StoreFullError,
    StoreLockedError,
)
from gossipnode.store.memory import MemoryStore
from gossipnode.store.memory_image import UNDO_COMMITS_MAX
from tests.records import bare_record
from tests.store.support import index_rows, leaf_digest, other_digest

SHARD = ShardId("sw", 0)


def make_disk(**options: object) -> SimDisk:
    return SimDisk("a", random.Random(1), **options)


def open_disk(disk: SimDisk) -> MemoryStore:
    return disk.open(leaf_digest, index_rows)


def record(key: str, revision: int = 1) -> Record:
    return bare_record(f"n/{key}", revision=revision)


async def put(store: MemoryStore, *records: Record, shard: ShardId = SHARD) -> None:
    await store.write([(shard, each) for each in records], stamp=records[-1].version.stamp)


def held(*records: Record) -> dict[ShardId, dict[Entity, Record]]:
    return {SHARD: {each.entity: each for each in records}}


class Endings:
    """How calls ended, each by its name."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.of: dict[str, str] = {}

    def begin(self, name: str, store: MemoryStore, *records: Record) -> None:
        self.nursery.start_soon(self._run, name, store, records)

    async def _run(self, name: str, store: MemoryStore, records: tuple[Record, ...]) -> None:
        try:
            await put(store, *records)
        except StoreClosedError as error:
            self.of[name] = str(error)
        else:
            self.of[name] = f"{trio.current_time():.3f}"


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

    def counted(spacing: str, payload: bytes, delete_time: int) -> bytes:
        made.append(payload)
        return leaf_digest(payload + spacing.encode(), delete_time)

    disk = make_disk()
    store = disk.open(partial(counted, "none"), index_rows)
    await put(store, record("1"))
    none = await store.tree(SHARD)
    await store.close()
    store = disk.open(partial(counted, "none"), index_rows)
    assert (await store.counts(SHARD)).unhashed == 0
    assert await store.tree(SHARD) == none
    assert len(made) == 1
    await store.close()
    store = disk.open(partial(counted, "commas"), index_rows)
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


# The versions that it takes


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


# Commits


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
    await put(store, record("member"), shard=ShardId(SYSTEM_GROUP, 0))
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


# What happens to what is on it


async def test_an_unsafe_disk_loses_its_last_commits() -> None:
    disk = make_disk()
    store = open_disk(disk)
    await put(store, record("1"), record("2"))
    await store.want_index(SHARD, "n")
    before = await store.tree(SHARD)
    kept = disk.contents()
    steps: list[Callable[[], Awaitable[object]]] = [
        partial(put, store, record("1", 2), record("3", 2)),
        partial(put, store, record("9"), shard=ShardId("sw", 1)),
        partial(store.keep_note, "key", b"value"),
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
    assert disk.lose_last_commits(5) == 5
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
