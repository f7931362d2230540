"""Forgetting shards, keeping incarnations of a group apart, and the node's own notes."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.query.index_key import IndexKind
from gossipnode.core.session.tree import Tree, slot_of
from gossipnode.store.interface import IndexState, ShardCounts, Store, StoreClosedError
from gossipnode.store.sqlite import indexes
from gossipnode.store.sqlite.jobs import DigestJob, SlotSha, StepJob
from gossipnode.store.sqlite.tables import drop, index_table
from gossipnode.store.sqlite.tables.drop import drop_step
from gossipnode.store.sqlite.tables.index_table import give_up_index
from gossipnode.store.verify.check_store import verify_store
from tests.store.support import (
    ANEW_SHARD,
    OTHER_SHARD,
    SHARD,
    Handle,
    SqliteHandle,
    check_indexes,
    index_rows,
    leaf_digest,
    make_record,
    placed,
    rebuilt,
    scan_all,
    tagged,
)

RECORDS = [tagged(str(number), n=number) for number in range(60)]
TOMBSTONES = [make_record(f"t{number}", deleted=number) for number in range(1, 20)]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop, "DROP_STEP_RECORDS", 5)
    monkeypatch.setattr(drop, "INDEX_CLEAR_ROWS", 5)
    monkeypatch.setattr(indexes, "INDEX_CLEAR_ROWS", 5)
    monkeypatch.setattr(index_table, "INDEX_READ_ROWS", 2)


async def _assert_empty(store: Store, shard: ShardId) -> None:
    assert shard not in store.shards()
    assert await store.counts(shard) == ShardCounts(0, 0, 0)
    assert await store.tree(shard) == Tree("", ())
    assert await scan_all(store, shard) == []
    assert await store.read(shard, [record.entity for record in RECORDS[:3]]) == [None] * 3
    assert store.indexes(shard) == {}


async def test_incarnations_of_a_group_are_apart(handle: Handle) -> None:
    old, new = make_record(revision=9), make_record("1", payload=b"new")
    results = await handle.store.write([(SHARD, old), (ANEW_SHARD, new)])
    assert [result.outcome for result in results] == [WriteOutcome.STORED] * 2
    assert handle.store.shards() == [SHARD, ANEW_SHARD]
    await handle.restart()
    assert handle.store.shards() == [SHARD, ANEW_SHARD]
    assert await scan_all(handle.store, SHARD) == [old]
    assert await scan_all(handle.store, ANEW_SHARD) == [new]
    assert await handle.store.tree(ANEW_SHARD) == rebuilt([new])
    await handle.store.drop(SHARD)
    assert handle.store.shards() == [ANEW_SHARD]
    assert await scan_all(handle.store, ANEW_SHARD) == [new]


@pytest.mark.parametrize("incarnation", [-1, (1 << 62) + 1])
async def test_a_bad_incarnation_is_refused(handle: Handle, incarnation: int) -> None:
    (result,) = await handle.store.write([(ShardId("sw", 0, incarnation), make_record())])
    assert result.outcome is WriteOutcome.REFUSED
    assert "incarnation" in result.problem
    assert handle.store.shards() == []


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("hashed", [False, True])
async def test_a_dropped_shard_is_forgotten(handle: Handle, hashed: bool) -> None:
    await handle.store.want_index(SHARD, "n")
    await handle.store.want_index(OTHER_SHARD, "n")
    await handle.store.write(placed(*RECORDS, *TOMBSTONES))
    await handle.store.write(placed(*RECORDS[:10], shard=OTHER_SHARD))
    if hashed:
        await handle.store.tree(SHARD)
    await handle.store.drop(SHARD)
    await _assert_empty(handle.store, SHARD)
    await handle.restart()
    await _assert_empty(handle.store, SHARD)
    assert await scan_all(handle.store, OTHER_SHARD) == sorted(RECORDS[:10], key=lambda each: each.entity)
    await check_indexes(handle.store)
    # Written to again it begins with nothing: an old version is no longer known to be old.
    (result,) = await handle.store.write(placed(make_record("1", revision=0)))
    assert result.outcome is WriteOutcome.STORED
    assert await handle.store.tree(SHARD) == rebuilt([make_record("1", revision=0)])
    assert handle.store.indexes(SHARD) == {}


async def test_dropping_what_is_not_there(handle: Handle) -> None:
    await handle.store.drop(SHARD)
    await handle.store.want_index(SHARD, "n")
    await handle.store.drop(SHARD)
    await _assert_empty(handle.store, SHARD)


async def test_a_shard_dropped_while_others_ask_for_it(handle: Handle) -> None:
    await handle.store.write(placed(*RECORDS))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(handle.store.drop, SHARD)
            nursery.start_soon(handle.store.tree, SHARD)
            nursery.start_soon(scan_all, handle.store)
    await _assert_empty(handle.store, SHARD)
    await handle.store.write(placed(*RECORDS[:5]))
    assert await handle.store.tree(SHARD) == rebuilt(RECORDS[:5])


async def test_a_tree_asked_for_after_a_drop_is_that_of_the_new_shard(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS))
    trees: list[Tree] = []

    async def ask() -> None:
        trees.append(await sqlite.store.tree(SHARD))

    async with trio.open_nursery() as nursery:
        async with sqlite.sqlite._digests._snapshot_turn:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            # The first has looked the shard up already, and the second will share its answer.
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


@pytest.mark.usefixtures("small_steps")
async def test_writes_get_their_turn_between_the_steps(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS))
    left: list[int] = []

    async def write() -> None:
        for revision in range(1, 4):
            await sqlite.store.write(placed(make_record(revision=revision), shard=OTHER_SHARD))
            left.append((await sqlite.store.counts(SHARD)).records)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sqlite.store.drop, SHARD)
        nursery.start_soon(write)
    assert len(left) == 3
    assert left[-1] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("steps", range(1, 36, 3))
async def test_a_drop_cut_off_by_a_crash_is_gone_on_with(sqlite: SqliteHandle, steps: int) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(*RECORDS, *TOMBSTONES))
    await sqlite.store.tree(SHARD)
    for _ in range(steps):
        await sqlite.sqlite._writer.do(StepJob(partial(drop_step, shard=SHARD)))
    await sqlite.crash()
    found = await scan_all(sqlite.store)
    # 13 steps for the rows of the index, 16 for the leaves, and the last.
    assert len(found) == max(0, 79 - 5 * max(0, steps - 13))
    assert await sqlite.store.tree(SHARD) == rebuilt(found)
    tombstones = sum(record.deleted for record in found)
    assert await sqlite.store.counts(SHARD) == ShardCounts(len(found) - tombstones, tombstones, 0)
    # As long as there is anything, the shard is known.
    assert sqlite.store.shards() == ([SHARD] if steps < 30 else [])
    await _assert_sound(sqlite)
    await sqlite.store.drop(SHARD)
    await _assert_empty(sqlite.store, SHARD)
    await _assert_sound(sqlite)


async def _assert_sound(sqlite: SqliteHandle) -> None:
    await sqlite.close()
    summary = verify_store(sqlite.directory, lambda _: leaf_digest, index_rows=index_rows)
    assert summary.wrong == ()
    await sqlite.open()


@pytest.mark.usefixtures("small_steps")
async def test_what_a_crash_left_of_an_index_is_removed(sqlite: SqliteHandle) -> None:
    for tag in ("n", "m"):
        await sqlite.store.want_index(SHARD, tag)
    await sqlite.store.write(placed(*RECORDS))
    step = partial(give_up_index, shard=SHARD, tag="n", limit=5)
    await sqlite.sqlite._writer.do(StepJob(step))
    await sqlite.crash()
    # Nobody can tell that rows of it are left.
    assert sqlite.store.indexes(SHARD) == {"m": IndexState.READY}
    await sqlite.store.want_index(SHARD, "n")
    while await sqlite.store.build_indexes(limit=20):
        pass
    await check_indexes(sqlite.store)
    (rows,) = sqlite.sqlite._file.reader.execute("SELECT count(*) FROM tag_row").fetchone()
    assert rows == 2 * len(RECORDS)
    await _assert_sound(sqlite)


@pytest.mark.slow
async def test_a_step_is_bounded_in_bytes(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop, "DROP_STEP_BYTES", 5000)
    await sqlite.store.write(placed(*(make_record(str(each), payload=bytes(2000)) for each in range(30))))
    await sqlite.store.write(placed(make_record("large", payload=bytes(100_000))))
    left = [31]
    while left[-1]:
        await sqlite.sqlite._writer.do(StepJob(partial(drop_step, shard=SHARD)))
        left.append((await sqlite.store.counts(SHARD)).records)
    taken = [before - after for before, after in pairwise(left)]
    assert max(taken) == 3
    assert min(taken) >= 1


async def test_a_note_is_kept(handle: Handle) -> None:
    assert await handle.store.note("epoch") is None
    await handle.store.keep_note("epoch", b"\0\xff 1")
    await handle.store.keep_note("other", b"")
    await handle.store.keep_note("epoch", b"2")
    await handle.crash()
    assert await handle.store.note("epoch") == b"2"
    assert await handle.store.note("other") == b""
    await handle.store.keep_note("epoch", None)
    await handle.store.keep_note("never", None)
    await handle.restart()
    assert await handle.store.note("epoch") is None
    assert await handle.store.note("other") == b""
    assert handle.store.shards() == []


async def test_a_closed_store_refuses(handle: Handle) -> None:
    store = handle.store
    await store.write(placed(make_record()))
    await handle.restart()
    for call in (
        store.drop(SHARD),
        store.note("n"),
        store.keep_note("n", b""),
        store.want_index(SHARD, "n"),
        store.drop_index(SHARD, "n"),
        store.build_indexes(limit=1),
        store.find(SHARD, "n", IndexKind.WHOLE, b"", b"", limit=1),
    ):
        with pytest.raises(StoreClosedError):
            await call
    with pytest.raises(StoreClosedError):
        store.indexes(SHARD)
