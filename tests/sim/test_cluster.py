"""The clusters that tests and users run in memory."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.node import NodeFailedError
from gossipnode.sim import DAY_ONE, Cluster, running
from tests.node.cluster import N1, put, tags_at
from tests.node.moving import eventually
from tests.records import record


async def test_a_cluster_takes_writes_and_repairs_itself(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=1)
        assert [await tags_at(cluster, name) for name in "abc"] == [{"x": 1}] * 3
        await cluster.put("b", record("n/2"))
        assert (await cluster.round("a")).outcome is RoundOutcome.REPAIRED
        assert len(set((await cluster.roots()).values())) == 1
        assert set(await cluster.held_of(N1)) == {"a", "b", "c"}
    assert not cluster.running


async def test_a_node_that_is_isolated_misses_what_is_written_meanwhile(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await cluster.isolate("c")
        await put(cluster, "a", x=1)
        assert (await cluster.held_of(N1))["c"] is None
        cluster.faults.heal()
        await eventually(lambda: cluster.parts("a").members.peers["c"].state == "up")
        await cluster.round("a")
        assert (await cluster.held_of(N1))["c"] is not None


async def test_a_store_outlives_its_node_unless_the_disk_is_lost(autojump_clock: object) -> None:
    cluster = Cluster(names=("a",), groups=("sw:1:1",))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await put(cluster, "a", x=1)
        await cluster.end("a")
        await cluster.start(nursery, "a")
        assert await tags_at(cluster, "a") == {"x": 1}
        await cluster.lose_disk("a")
        await cluster.start(nursery, "a")
        assert await tags_at(cluster, "a") is None
        cluster.stop()


async def test_clocks_begin_at_the_same_moment_but_for_their_offsets(autojump_clock: object) -> None:
    cluster = Cluster(clock_offsets={"b": 5})
    now = DAY_ONE + int(trio.current_time() * 1e9)
    assert [cluster.world(name).wall_clock() for name in "ab"] == [now, now + 5]


async def test_a_node_that_stops_by_itself_ends_the_simulation_unless_its_error_is_kept(
    autojump_clock: object,
) -> None:
    async def forget_c(cluster: Cluster) -> None:
        async with running(cluster):
            await cluster.forget("c")
            await cluster.ended["c"].wait()
            await trio.sleep(1)

    keeping = Cluster(keeps_errors=True)
    await forget_c(keeping)
    assert isinstance(keeping.errors["c"], NodeFailedError)
    with pytest.raises(BaseExceptionGroup) as caught:
        await forget_c(Cluster())
    assert caught.group_contains(NodeFailedError, depth=None)
