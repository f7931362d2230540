"""Which shards a node has filled: remembered under a fence, also over a restart."""

from __future__ import annotations

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.node.local.fill_state import COUNT_PAUSE_SECONDS, FILLED_NOTE, FillState
from gossipnode.node.local.local_state import LocalState
from tests.node.epochs import change, deleted, joins, settled
from tests.node.support import make_local, put
from tests.records import record

S0, S1 = ShardId("sw", 0), ShardId("sw", 1)


def joining() -> LocalState:
    """What c knows, which has just joined a and b: it is to hold both shards."""
    local = make_local(own_name="c", groups={"sw": 2})
    change(local, joins("c"))
    return local


async def fill(local: LocalState, shard: ShardId) -> None:
    await local.fill.remember(local.shards.placement(shard))


def told(local: LocalState) -> list[ShardId]:
    """What a hello tells as filled, each under the fence of now."""
    filled = local.fill.progress().filled
    assert all(local.shards.placement(shard).fence == fence for shard, fence in filled.items())
    return list(filled)


async def unfilled(local: LocalState, state: FillState | None = None) -> list[ShardId]:
    return [each.shard for each in await (state or local.fill).unfilled(local.shards.view)]


async def restarted(local: LocalState) -> FillState:
    """The state after a restart with the same store in the same epoch."""
    state = FillState(local.shards, local.store)
    await state.recall()
    return state


async def test_a_new_replica_has_all_its_shards_to_fill() -> None:
    local = joining()
    assert await unfilled(local) == [S0, S1]
    source = make_local(own_name="a", groups={"sw": 2})
    assert source.shards.view.is_settled
    change(source, joins("c"))
    assert not source.shards.view.is_settled
    assert await unfilled(source) == []


async def test_what_was_filled_is_not_filled_again() -> None:
    local = joining()
    await fill(local, S1)
    assert await unfilled(local) == [S0]
    assert told(local) == [S1]
    await fill(local, S0)
    assert await unfilled(local) == []
    assert told(local) == [S0, S1]


async def test_what_was_filled_is_remembered_over_a_restart() -> None:
    local = joining()
    assert await unfilled(local, await restarted(local)) == [S0, S1]
    await fill(local, S1)
    assert await unfilled(local, await restarted(local)) == [S0]
    await fill(local, S0)
    assert await unfilled(local, await restarted(local)) == []


async def test_what_was_filled_under_another_fence_has_to_be_filled_again() -> None:
    """Since then writes may have reached a quorum of other members."""
    local = joining()
    await fill(local, S0)
    change(local, joins("d"))
    placement = local.shards.placement(S0)
    assert "c" in placement.joining
    assert S0 in await unfilled(local)
    assert S0 in await unfilled(local, await restarted(local))
    await fill(local, S1)
    assert S0 in await unfilled(local)
    assert S1 not in await unfilled(local)


async def test_once_the_members_are_settled_nothing_is_left_to_fill() -> None:
    local = joining()
    settled(local)
    assert local.shards.view.is_settled
    assert await unfilled(local) == []
    assert told(local) == []


async def test_a_shard_that_there_is_no_longer_is_not_recalled() -> None:
    local = joining()
    await fill(local, S0)
    change(local, deleted("sw"))
    state = await restarted(local)
    assert state.progress().filled == {}
    assert await unfilled(local, state) == []


async def test_the_records_of_a_shard_are_counted_while_it_is_moved(autojump_clock: object) -> None:
    local = joining()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(local.fill.keep_counting)
        await trio.sleep(COUNT_PAUSE_SECONDS / 2)
        assert local.fill.progress().moving == {("sw", 0): 0, ("sw", 1): 0}
        await put(local, *(record(f"n/{number}") for number in range(20)), record("n/x", delete_time=5))
        await trio.sleep(COUNT_PAUSE_SECONDS)
        counts = dict(local.fill.progress().moving)
        assert sum(counts.values()) == 21
        assert [local.fill.count(shard) for shard in (S0, S1)] == list(counts.values())
        settled(local)
        await trio.sleep(COUNT_PAUSE_SECONDS)
        assert local.fill.progress().moving == {}
        assert local.fill.count(S0) == 0
        nursery.cancel_scope.cancel()


async def test_a_shard_that_stays_where_it_is_is_not_counted(autojump_clock: object) -> None:
    local = make_local(own_name="a", members=("a",), groups={"sw": 8}, replicas=1)
    change(local, joins("c"))
    moved = {shard[:2] for shard in await local.shards.held() if local.shards.placement(shard).joining}
    assert 0 < len(moved) < 8
    async with trio.open_nursery() as nursery:
        nursery.start_soon(local.fill.keep_counting)
        await trio.sleep(COUNT_PAUSE_SECONDS / 2)
        assert local.fill.progress().moving.keys() == moved
        nursery.cancel_scope.cancel()


async def test_a_hello_looks_at_no_shard_again_before_something_changes() -> None:
    """Every member is told every second, and there may be thousands of shards."""
    local = joining()
    await fill(local, S1)
    looked: list[ShardId] = []
    placement = local.shards.view.placement

    def seen(shard: ShardId) -> object:
        looked.append(shard)
        return placement(shard)

    local.shards.view.placement = seen  # type: ignore[method-assign,assignment]
    assert list(local.fill.progress().filled) == [S1]
    assert looked == [S1], "only what was filled is looked at"
    assert list(local.fill.progress().filled) == [S1]
    assert looked == [S1]
    await fill(local, S0)
    assert list(local.fill.progress().filled) == [S0, S1]
    settled(local)
    assert local.fill.progress().filled == {}


async def test_the_note_holds_what_is_filled_under_the_fences_of_now(autojump_clock: object) -> None:
    local = joining()
    await fill(local, S1)
    await fill(local, S0)
    change(local, joins("d"))
    await fill(local, S1)
    note = await local.store.note(FILLED_NOTE)
    assert note == f"{local.shards.placement(S1).fence.hex()} {tuple(S1)!r}".encode()
