"""Which shards a node has filled: remembered for one view, also over a restart."""

from __future__ import annotations

import trio

from gossipnode.core.model.property import Record, ShardId
from gossipnode.node.local.fill_state import COUNT_PAUSE_SECONDS, FillState
from gossipnode.node.local.local_state import LocalState
from gossipnode.store.memory import MemoryStore
from tests.node.members_and_groups import member, settled
from tests.node.support import make_local, memory_store, put
from tests.records import record

JOINS = member("c", joined=5)
S0, S1 = ShardId("sw", 0), ShardId("sw", 1)


def joining(store: MemoryStore | None = None, *more: Record) -> LocalState:
    """What c knows, which has just joined a and b: it is to hold both shards."""
    local = make_local(store, own_name="c", groups={"sw": 2})
    local.registry.took([JOINS, *more])
    return local


def unfilled(local: LocalState, state: FillState | None = None) -> list[ShardId]:
    return [each.shard for each in (state or local.fill).unfilled(local.shards.view)]


async def restarted(local: LocalState) -> FillState:
    """The state after a restart with the same store and the same registry."""
    state = FillState(local.shards, local.store)
    await state.recall()
    return state


async def test_a_new_replica_has_all_its_shards_to_fill() -> None:
    local = joining()
    assert unfilled(local) == [S0, S1]
    source = make_local(own_name="a", groups={"sw": 2})
    assert source.shards.view.is_settled
    source.registry.took([JOINS])
    assert not source.shards.view.is_settled
    assert unfilled(source) == []


async def test_what_was_filled_is_not_filled_again() -> None:
    local = joining()
    view = local.shards.view
    await local.fill.remember(view, S1)
    assert unfilled(local) == [S0]
    assert local.fill.progress().filled_view == b""
    await local.fill.remember(view, S0)
    assert unfilled(local) == []
    assert local.fill.progress().filled_view == view.view_id


async def test_what_was_filled_is_remembered_over_a_restart() -> None:
    local = joining()
    assert unfilled(local, await restarted(local)) == [S0, S1]
    await local.fill.remember(local.shards.view, S1)
    assert unfilled(local, await restarted(local)) == [S0]
    await local.fill.remember(local.shards.view, S0)
    assert unfilled(local, await restarted(local)) == []


async def test_what_was_filled_in_another_view_has_to_be_filled_again() -> None:
    """Other members have taken writes since, which reached a quorum without this one."""
    local = joining()
    await local.fill.remember(local.shards.view, S0)
    local.registry.took([member("d", joined=9)])
    placement = local.shards.placement(S0)
    assert "c" in placement.joining
    assert S0 in unfilled(local)
    assert S0 in unfilled(local, await restarted(local))
    await local.fill.remember(local.shards.view, S1)
    assert S0 in unfilled(local)
    assert S1 not in unfilled(local)


async def test_once_the_members_are_settled_nothing_is_left_to_fill() -> None:
    local = joining()
    local.registry.took([settled(9, a=0, b=0, c=5)])
    assert local.shards.view.is_settled
    assert unfilled(local) == []
    assert local.fill.progress().filled_view == local.shards.view.view_id


async def test_a_shard_that_there_is_no_longer_is_not_recalled() -> None:
    store = memory_store()
    local = joining(store)
    await local.fill.remember(local.shards.view, S0)
    await local.fill.remember(local.shards.view, S1)
    fewer = make_local(store, own_name="c", groups={"sw": 1})
    fewer.registry.took([JOINS])
    state = await restarted(fewer)
    assert unfilled(fewer, state) == []


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
        local.registry.took([settled(9, a=0, b=0, c=5)])
        await trio.sleep(COUNT_PAUSE_SECONDS)
        assert local.fill.progress().moving == {}
        assert local.fill.count(S0) == 0
        nursery.cancel_scope.cancel()


async def test_a_shard_that_stays_where_it_is_is_not_counted(autojump_clock: object) -> None:
    local = make_local(own_name="a", members=("a",), groups={"sw": 8}, replicas=1)
    local.registry.took([JOINS, settled(a=0)])
    moved = {shard[:2] for shard in local.shards if local.shards.placement(shard).joining}
    assert 0 < len(moved) < 8
    async with trio.open_nursery() as nursery:
        nursery.start_soon(local.fill.keep_counting)
        await trio.sleep(COUNT_PAUSE_SECONDS / 2)
        assert local.fill.progress().moving.keys() == moved
        nursery.cancel_scope.cancel()
