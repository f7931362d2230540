"""Shards that move when members come and go: when a move is over, what interrupts it, and what it shows."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.sim import Cluster
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_STATUS
from tests.node.hand_off.placed import FIVE, SHARD, all_there, fill, joiner_of, placed
from tests.node.moving import eventually, held, moving, moving_cluster, part, settled, tidy, value

pytestmark = pytest.mark.slow


def copies(cluster: Cluster) -> set[tuple[str, ShardId]]:
    return {(name, shard) for name in cluster.running for shard in held(cluster, name)}


def wanted_copies(cluster: Cluster, name: str = "a") -> set[tuple[str, ShardId]]:
    view = cluster.view(name)
    return {(holder, shard) for shard in view.shards() for holder in placed(cluster, shard, name).coming}


async def status_of(cluster: Cluster, name: str) -> v1.StatusResponse:
    async with cluster.channel(name) as channel:
        return await channel.unary(NODE_STATUS, v1.StatusRequest(), timeout=10)


async def test_five_nodes_become_six_and_five_again_and_nothing_is_lost(autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:8:2",))
    async with moving(cluster) as nursery:
        await fill(cluster)
        await all_there(cluster, FIVE)
        before = wanted_copies(cluster)
        await cluster.join(nursery, "f", through="c")
        await settled(cluster, "abcdef")
        await tidy(cluster)
        after = wanted_copies(cluster)
        assert after - before == {(name, shard) for name, shard in after if name == "f"}
        assert len(after - before) == len(before - after)
        assert copies(cluster) <= after
        await all_there(cluster, "abcdef")
        await cluster.forget("b", at="e")
        await cluster.ended["b"].wait()
        await settled(cluster, "acdef")
        await tidy(cluster)
        last = wanted_copies(cluster)
        assert {name for name, _ in after - last} == {"b"}
        assert len(last - after) == len(after - last)
        assert copies(cluster) <= last
        assert held(cluster, "b") == []
        await all_there(cluster, "acdef")


async def test_a_move_that_moves_nothing_is_over_at_once(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=())
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d")
        with trio.fail_after(20):
            await settled(cluster, "abcd")


async def test_a_status_shows_the_move_with_its_progress(autojump_clock: object) -> None:
    # With two more members a majority still hears of a newcomer that two of them do not hear.
    cluster = moving_cluster("abcxy", groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        joiner = joiner_of(cluster, SHARD, with_="a")
        placement = cluster.view("a").placement(SHARD)
        assert placement is not None
        # One source of three is not enough, so the new replica is not filled, although it has all records.
        await part(cluster, joiner, *placement.settled[1:])
        await cluster.join(nursery, joiner)
        await trio.sleep(20)
        (shown,) = (await status_of(cluster, "a")).shards
        assert shown.moving is not None
        assert list(shown.moving.to) == [joiner]
        assert (shown.moving.done, shown.moving.total) == (30, 30)
        assert not cluster.view("a").is_settled
        cluster.faults.heal()
        await settled(cluster, ["a", "b", "c", "x", "y", joiner])
        assert not any(each.moving and each.moving.to for each in (await status_of(cluster, "a")).shards)


@pytest.mark.parametrize("victim", ["a", "b", "f"])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.4, 1.1])
async def test_a_move_that_is_interrupted_goes_on(victim: str, after: float, autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        for store in cluster.stores.values():
            store.commit_seconds = 0.05
        cluster.through["f"] = "c"

        async def join() -> None:
            with suppress(RuntimeError):
                await cluster.start(nursery, "f")

        nursery.start_soon(join)
        await eventually(lambda: "f" in cluster.view("c").members)
        await trio.sleep(after)
        await cluster.end(victim)
        await trio.sleep(5)
        await cluster.start(nursery, victim)
        await settled(cluster, "abcdef")
        await tidy(cluster)
        await all_there(cluster, "abcdef", 30)


async def test_a_second_change_before_the_first_is_settled(autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        await cluster.join(nursery, "f")
        await cluster.join(nursery, "g", through="b")
        await cluster.forget("c")
        await settled(cluster, "abdefg")
        await tidy(cluster)
        await all_there(cluster, "abdefg", 30)


async def test_a_coordinator_that_was_away_finds_the_new_members(autojump_clock: object) -> None:
    cluster = moving_cluster(names=FIVE, groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        await fill(cluster, 30)
        await cluster.isolate("a")
        await cluster.faults.cut(("a", "f"), ("f", "a"))
        await cluster.join(nursery, "f", through="b")
        await cluster.forget("c", at="b")
        await trio.sleep(5)
        assert list(cluster.view("a").members) == list(FIVE)
        cluster.faults.heal()
        for number in range(30):
            assert await value(cluster, "a", f"n/{number}") == number
        await settled(cluster, "abdef")
