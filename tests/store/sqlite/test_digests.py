"""A tree that is asked for during writes is the tree of one moment of the call."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.tree import Leaf, Tree
from gossipnode.store.interface import ShardCounts, StoreClosedError
from gossipnode.store.sqlite import digests
from gossipnode.store.sqlite.digests import Digests
from gossipnode.store.sqlite.jobs import DigestJob, LeafSha
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from gossipnode.store.sqlite.tables.entity_key import entity_key
from gossipnode.store.sqlite.tables.rows import LeafPlace, SlotSha, slot_rows
from tests.store.support import (
    SHARD,
    SqliteHandle,
    assert_sound,
    leaf_digest,
    make_record,
    other_digest,
    placed,
    quick_directory,
    rebuilt,
    scan_all,
)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give way to other tasks at every opportunity."""
    monkeypatch.setattr(digests, "LOOP_SLICE_SECONDS", -1.0)
    monkeypatch.setattr(digests, "SLOT_CHUNK_LEAVES", 2)
    monkeypatch.setattr(digests, "UNHASHED_PAGE_LEAVES", 2)
    monkeypatch.setattr(digests, "DIGEST_BATCH_LEAVES", 3)


writes = st.lists(
    st.lists(
        st.builds(
            lambda identity, revision: make_record(
                str(identity), revision=revision, payload=b"%d" % revision
            ),
            st.integers(0, 25),
            st.integers(1, 5),
        ),
        min_size=1,
        max_size=8,
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    batches=writes, pauses=st.lists(st.integers(0, 9), min_size=12, max_size=12), readers=st.integers(1, 3)
)
def test_always_the_tree_of_one_moment(batches: list[list[Record]], pauses: list[int], readers: int) -> None:
    # The fixture of this module applies to all examples.
    states: list[Tree] = [rebuilt([])]
    model: dict[Entity, Record] = {}
    for batch in batches:
        for record in batch:
            held = model.get(record.entity)
            if held is None or record.version > held.version:
                model[record.entity] = record
        states.append(rebuilt(model.values()))
    acknowledged = begun = 0

    async def go(directory: Path) -> None:
        nonlocal acknowledged, begun
        async with open_sqlite_store(directory, leaf_digest=leaf_digest, dialect="d") as store:

            async def read() -> None:
                while acknowledged < len(batches):
                    first = acknowledged
                    tree = await store.tree(SHARD)
                    assert tree in states[first : begun + 1]

            async with trio.open_nursery() as nursery:
                for _ in range(readers):
                    nursery.start_soon(read)
                nursery.start_soon(_background, store.fill_digests, lambda: acknowledged == len(batches))
                for number, batch in enumerate(batches):
                    begun = number + 1
                    await store.write(placed(*batch))
                    acknowledged = number + 1
                    for _ in range(pauses[number % len(pauses)]):
                        await trio.lowlevel.checkpoint()
            assert await store.tree(SHARD) == states[-1]
        async with open_sqlite_store(directory, leaf_digest=leaf_digest, dialect="d") as store:
            assert await store.tree(SHARD) == states[-1]

    with quick_directory() as directory:
        trio.run(go, directory)


async def _background(fill: Callable[..., object], finished: Callable[[], bool]) -> None:
    while not finished():
        await fill(limit=5)  # type: ignore[misc]


class CountingDigest:
    """A leaf digest that counts its calls, and can call `interrupt` in the midst of a computation."""

    def __init__(self) -> None:
        self.calls = 0
        self.interrupt: Callable[[], None] = lambda: None

    def __call__(self, payload: bytes, delete_time: int) -> bytes:
        self.calls += 1
        interrupt, self.interrupt = self.interrupt, lambda: None
        interrupt()
        return leaf_digest(payload, delete_time)


async def test_callers_share_one_computation(directory: Path) -> None:
    digest = CountingDigest()
    async with open_sqlite_store(directory, leaf_digest=digest, dialect="d") as store:
        records = [make_record(str(number)) for number in range(30)]
        await store.write(placed(*records))
        trees: list[Tree] = []

        async def ask() -> None:
            trees.append(await store.tree(SHARD))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
        assert trees == [rebuilt(records)] * 10
        assert digest.calls == 30


async def test_a_cancelled_computation_is_taken_over(directory: Path) -> None:
    digest = CountingDigest()
    async with open_sqlite_store(directory, leaf_digest=digest, dialect="d") as store:
        records = [make_record(str(number)) for number in range(30)]
        await store.write(placed(*records))
        first = trio.CancelScope()

        async def leader() -> None:
            with first:
                await store.tree(SHARD)

        digest.interrupt = first.cancel
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leader)
            await trio.testing.wait_all_tasks_blocked(0.0)
            assert await store.tree(SHARD) == rebuilt(records)


async def test_a_caller_sees_its_own_write(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [make_record(str(number)) for number in range(30)]
    await sqlite.store.write(placed(*records))
    await sqlite.store.fill_digests(limit=30)
    gate = trio.Event()

    async def wait_at_the_gate(_: digests.Slice) -> None:
        await gate.wait()

    monkeypatch.setattr(digests.Slice, "step", wait_at_the_gate)
    trees: dict[str, Tree] = {}

    async def ask(who: str) -> None:
        trees[who] = await sqlite.store.tree(SHARD)

    newer = make_record("7", revision=2, payload=b"new")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "early")
        await trio.testing.wait_all_tasks_blocked()
        # The first computation has begun to read. A call after this write must not be given its answer.
        await sqlite.store.write(placed(newer))
        nursery.start_soon(ask, "late")
        nursery.start_soon(ask, "later")
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert trees["early"] == rebuilt(records)
    assert trees["late"] == trees["later"] == rebuilt([*records[:7], newer, *records[8:]])


async def test_digests_outlive_a_restart(directory: Path) -> None:
    records = [make_record(str(number)) for number in range(30)]
    async with open_sqlite_store(directory, leaf_digest=leaf_digest, dialect="d") as store:
        await store.write(placed(*records))
        await store.tree(SHARD)
    digest = CountingDigest()
    async with open_sqlite_store(directory, leaf_digest=digest, dialect="d") as store:
        assert await store.tree(SHARD) == rebuilt(records)
        assert digest.calls == 0


async def test_another_dialect_computes_again(sqlite: SqliteHandle) -> None:
    records = [make_record(str(number), deleted=number % 2) for number in range(30)]
    await sqlite.store.write(placed(*records))
    await sqlite.store.tree(SHARD)
    await sqlite.close()
    await sqlite.open(digest=other_digest)
    assert await sqlite.store.counts(SHARD) == ShardCounts(15, 15, 30)
    assert await sqlite.store.tree(SHARD) == rebuilt(records, other_digest)
    await sqlite.restart()
    assert await sqlite.store.tree(SHARD) == rebuilt(records)


async def test_closing_ends_a_computation(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*(make_record(str(number)) for number in range(200))))

    async def ask() -> None:
        with pytest.raises(StoreClosedError):
            await sqlite.store.tree(SHARD)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        await sqlite.close()


RECORDS = [make_record(str(number)) for number in range(60)]


async def test_a_tree_asked_for_after_a_drop_is_that_of_the_new_shard(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS))
    trees: list[Tree] = []

    async def ask() -> None:
        trees.append(await sqlite.store.tree(SHARD))

    async with trio.open_nursery() as nursery:
        async with sqlite.sqlite._digests._snapshot_turn:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            # The first call has looked the shard up already, and the second will share its answer.
            await sqlite.store.drop(SHARD)
            await sqlite.store.write(placed(*RECORDS[:5]))
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
    assert trees[1] == rebuilt(RECORDS[:5])


async def test_a_digest_of_a_dropped_shard_cannot_reach_the_next(sqlite: SqliteHandle) -> None:
    record = make_record()
    slot = slot_of(record.entity)
    await sqlite.store.write(placed(record))
    (row,) = sqlite.sqlite._file.reader.execute("SELECT sid, generation FROM slot").fetchall()
    await sqlite.store.drop(SHARD)
    newer = make_record(payload=b"newer")
    await sqlite.store.write(placed(newer))
    await sqlite.sqlite._writer.do(DigestJob(slots=[SlotSha(row[0], slot, row[1], bytes(64))]))
    assert await sqlite.store.tree(SHARD) == rebuilt([newer])


def _in_one_slot(count: int) -> list[Record]:
    records = [make_record(str(number)) for number in range(64 * count)]
    slot = slot_of(records[0].entity)
    return [record for record in records if slot_of(record.entity) == slot][:count]


@pytest.mark.parametrize("meanwhile", ["dropped", "hashed"])
async def test_leaves_may_change_while_their_digests_are_computed(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    records = sorted(_in_one_slot(3), key=lambda record: record.entity)
    slot = slot_of(records[0].entity)
    await sqlite.store.write(placed(*records))
    gate = trio.Event()

    async def wait_at_the_gate(_: digests.Slice) -> None:
        await gate.wait()

    monkeypatch.setattr(digests.Slice, "step", wait_at_the_gate)
    pages: list[list[Leaf]] = []

    async def ask() -> None:
        pages.append(await sqlite.store.leaves(SHARD, slot, limit=10))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        # The digest of the first leaf is computed. Those of the others are not.
        if meanwhile == "dropped":
            await sqlite.store.drop(SHARD)
        else:
            place = LeafPlace(1, slot, entity_key(records[2].entity))
            sha = LeafSha(place, records[2].version, leaf_digest(records[2].payload, 0))
            await sqlite.sqlite._writer.do(DigestJob([sha]))
        gate.set()
    found = records[:1] if meanwhile == "dropped" else records
    assert pages == [
        [Leaf(slot, each.entity, leaf_digest(each.payload, 0).hex(), each.version) for each in found]
    ]


async def test_digests_that_cannot_be_kept_are_right_all_the_same(sqlite: SqliteHandle) -> None:
    records = [make_record(str(number)) for number in range(30)]
    await sqlite.store.write(placed(*records))
    sqlite.sqlite._file.writer.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(sqlite.directory / "store.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        assert await sqlite.store.fill_digests(limit=100) == 0
        assert await sqlite.store.tree(SHARD) == rebuilt(records)
        assert (await sqlite.store.counts(SHARD)).unhashed == 30
        intruder.execute("ROLLBACK")
    assert await sqlite.store.fill_digests(limit=100) == 30
    assert await sqlite.store.tree(SHARD) == rebuilt(records)


async def test_a_wrong_digest_is_computed_again_once_a_session_brings_the_record(
    sqlite: SqliteHandle,
) -> None:
    records = [make_record(str(number)) for number in range(40)]
    await sqlite.store.write(placed(*records))
    right = await sqlite.store.tree(SHARD)
    writer = sqlite.sqlite._file.writer
    writer.execute("UPDATE leaf SET sha = zeroblob(64) WHERE rid IN (7, 8)")
    writer.execute("UPDATE slot SET sha = NULL, generation = generation + 1")
    assert await sqlite.store.tree(SHARD) != right
    # A client's write that comes twice costs no digest.
    await sqlite.store.write(placed(*records))
    assert (await sqlite.store.counts(SHARD)).unhashed == 0
    results = await sqlite.store.write(placed(*records, records[0]), doubt_equal=True)
    assert {result.outcome for result in results} == {WriteOutcome.EQUAL}
    assert (await sqlite.store.counts(SHARD)).unhashed == 40
    assert await sqlite.store.tree(SHARD) == right
    assert (await sqlite.store.counts(SHARD)).unhashed == 0
    await assert_sound(sqlite)


async def test_a_rotten_record_is_found_once_a_session_brings_it(sqlite: SqliteHandle) -> None:
    records = [make_record(str(number)) for number in range(40)]
    await sqlite.store.write(placed(*records))
    right = await sqlite.store.tree(SHARD)
    sqlite.sqlite._file.writer.execute("UPDATE payload SET bytes = x'00' WHERE rid = 7")
    # The kept digest hides the rot. What brings the record doubts it, and the next session heals it.
    await sqlite.store.write(placed(*records), doubt_equal=True)
    assert await sqlite.store.tree(SHARD) != right
    await sqlite.store.write(placed(*records), doubt_equal=True)
    assert await sqlite.store.tree(SHARD) == right
    await assert_sound(sqlite)


async def test_a_snapshot_is_taken_once_few_digests_are_missing(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SNAPSHOT_UNHASHED_LEAVES", 5)
    fill, read_tree = Digests._fill_shard, Digests._read_tree
    records = [make_record(str(number)) for number in range(200)]
    await sqlite.store.write(placed(*records[:100]))
    missing: list[int] = []

    async def fill_beside_writes(self: Digests, sid: int, limit: int) -> int:
        kept = await fill(self, sid, limit)
        # As many as are written while the digests of the others are computed, each time fewer.
        written = 100 - len(missing) * 30
        missing.append(0)
        await sqlite.store.write(placed(*records[200 - written :], *changed(written)) if written > 0 else [])
        return kept

    def changed(count: int) -> list[Record]:
        return [make_record(each.entity.id, revision=len(missing) + 1) for each in records[:count]]

    async def look(self: Digests, connection: sqlite3.Connection, sid: int) -> Tree:
        missing.append(sum(row.unhashed for row in slot_rows(connection, sid)))
        return await read_tree(self, connection, sid)

    monkeypatch.setattr(Digests, "_fill_shard", fill_beside_writes)
    monkeypatch.setattr(Digests, "_read_tree", look)
    tree = await sqlite.store.tree(SHARD)
    assert missing[-1] <= 5
    assert len(missing) > 2
    assert tree == rebuilt(await scan_all(sqlite.store))
