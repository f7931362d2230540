"""What every store promises of whole shards: incarnations of a group, dropping, and the notes of the node."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.query.index_key import IndexKind
from gossipnode.store.interface import ShardCounts, ShardSummary, StoreClosedError
from gossipnode.store.sqlite.tables.shard_summary import SUMMARY_PAGE_SHARDS
from tests.records import bare_record
from tests.store.support import (
    OTHER_SHARD,
    REMADE_SHARD,
    SHARD,
    Handle,
    assert_empty,
    check_indexes,
    make_record,
    placed,
    rebuilt,
    scan_all,
    tagged,
)

RECORDS = [tagged(str(number), n=number) for number in range(60)]


TOMBSTONES = [make_record(f"t{number}", deleted=number) for number in range(1, 20)]


async def test_incarnations_of_a_group_are_apart(handle: Handle) -> None:
    old, new = make_record(revision=9), make_record("1", payload=b"new")
    results = await handle.store.write([(SHARD, old), (REMADE_SHARD, new)])
    assert [result.outcome for result in results] == [WriteOutcome.STORED] * 2
    assert handle.store.shards() == [SHARD, REMADE_SHARD]
    await handle.restart()
    assert handle.store.shards() == [SHARD, REMADE_SHARD]
    assert await scan_all(handle.store, SHARD) == [old]
    assert await scan_all(handle.store, REMADE_SHARD) == [new]
    assert await handle.store.tree(REMADE_SHARD) == rebuilt([new])
    await handle.store.drop(SHARD)
    assert handle.store.shards() == [REMADE_SHARD]
    assert await scan_all(handle.store, REMADE_SHARD) == [new]


async def test_all_shards_are_summed_up_as_each_of_them_is(handle: Handle) -> None:
    """Far more shards than are read together, some with every slot in use, some with none."""
    shards = [ShardId("sw", number) for number in range(2 * SUMMARY_PAGE_SHARDS + 1)]
    written = [
        (shard, make_record(f"{number}", deleted=number % 3))
        for shard in shards[:-1]
        for number in range(100 if shard.shard % 7 == 0 else 1 + shard.shard % 2)
    ]
    await handle.store.write(written)
    assert await handle.store.summaries() == {
        shard: ShardSummary(await handle.store.counts(shard), None) for shard in shards[:-1]
    }
    while await handle.store.fill_digests(limit=1000):
        pass
    found = await handle.store.summaries()
    assert {shard: summary.counts for shard, summary in found.items()} == {
        shard: await handle.store.counts(shard) for shard in shards[:-1]
    }
    assert {shard: summary.root for shard, summary in found.items()} == {
        shard: (await handle.store.tree(shard)).root for shard in shards[:-1]
    }
    assert await handle.store.summaries() == found
    await handle.store.write([(shards[3], make_record("new"))])
    assert {shard for shard, each in (await handle.store.summaries()).items() if each.root is None} == {
        shards[3]
    }
    await handle.store.want_index(shards[-1], "n")
    assert (await handle.store.summaries())[shards[-1]] == ShardSummary(ShardCounts(0, 0, 0), "")


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
    await assert_empty(handle.store, SHARD)
    await handle.restart()
    await assert_empty(handle.store, SHARD)
    assert await scan_all(handle.store, OTHER_SHARD) == sorted(RECORDS[:10], key=lambda each: each.entity)
    await check_indexes(handle.store)
    # When it is written to again, it begins with nothing: it does not know that this version is old.
    (result,) = await handle.store.write(placed(make_record("1", revision=0)))
    assert result.outcome is WriteOutcome.STORED
    assert await handle.store.tree(SHARD) == rebuilt([make_record("1", revision=0)])
    assert handle.store.indexes(SHARD) == {}


async def test_dropping_what_is_not_there(handle: Handle) -> None:
    await handle.store.drop(SHARD)
    await handle.store.want_index(SHARD, "n")
    await handle.store.drop(SHARD)
    await assert_empty(handle.store, SHARD)


async def test_a_shard_dropped_while_others_ask_for_it(handle: Handle) -> None:
    await handle.store.write(placed(*RECORDS))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(handle.store.drop, SHARD)
            nursery.start_soon(handle.store.tree, SHARD)
            nursery.start_soon(scan_all, handle.store)
    await assert_empty(handle.store, SHARD)
    await handle.store.write(placed(*RECORDS[:5]))
    assert await handle.store.tree(SHARD) == rebuilt(RECORDS[:5])


async def test_commits_are_numbered(handle: Handle) -> None:
    assert handle.store.commit_number == 0
    await handle.store.write(placed(bare_record("name/1")), stamp=7)
    assert handle.store.commit_number == 1
    await handle.store.write(placed(bare_record("name/1")), stamp=8)
    assert handle.store.commit_number == 1, "nothing was stored"
    await handle.store.keep_note("epoch", b"1")
    await handle.store.keep_note("seen", b"1", numbered=False)
    await handle.crash()
    assert handle.store.commit_number == 2
    await handle.store.write(placed(bare_record("name/2")))
    await handle.restart()
    assert handle.store.commit_number == 3


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
