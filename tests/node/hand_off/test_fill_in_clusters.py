"""Replicas that are new, or lost their disks: from how many members they are filled, and when they count."""

from __future__ import annotations

import pytest
import trio

from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.sim import Cluster
from tests.node.hand_off.placed import SHARD, fill, joiner_of
from tests.node.moving import eventually, moving, moving_cluster, put_one, settled, tidy, value

pytestmark = pytest.mark.slow


async def test_a_move_waits_for_enough_of_those_that_have_the_records(autojump_clock: object) -> None:
    """What two of three acknowledged, the one that is left may lack."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("a")
        await put_one(cluster, "b", "n/1", 1)
        cluster.faults.heal()
        joiner = joiner_of(cluster, SHARD, with_="a")
        await cluster.end("b")
        await cluster.end("c")
        await cluster.join(nursery, joiner)
        await trio.sleep(60)
        assert not cluster.view("a").is_settled
        for name in ("a", joiner):
            with pytest.raises(TooFewReplicasError, match="for the shard is being moved"):
                await value(cluster, name, "n/1")
        await cluster.start(nursery, "c")
        await settled(cluster, ["a", "b", "c", joiner])
        assert await value(cluster, joiner, "n/1") == 1


async def test_a_member_without_its_disk_fills_itself_before_it_counts(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:2:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("c")
        await fill_from(cluster, "ab", 20)
        cluster.faults.heal()
        await cluster.lose_disk("b")
        await cluster.end("a")
        await cluster.start(nursery, "b")
        # Of what a and b acknowledged, c has nothing and b has nothing any more.
        for name in "bc":
            with pytest.raises(TooFewReplicasError):
                await value(cluster, name, "n/1")
        await cluster.start(nursery, "a")
        await settled(cluster, "abc")
        assert cluster.view("a").members["b"].joined > 0
        await cluster.end("a")
        for name in "bc":
            for number in range(20):
                assert await value(cluster, name, f"n/{number}") == number


async def test_a_member_without_its_disk_that_found_nobody_counts_as_new_when_it_does(
    autojump_clock: object,
) -> None:
    cluster = moving_cluster(groups=("sw:2:3",))
    async with moving(cluster) as nursery:
        await fill(cluster, 20)
        await cluster.lose_disk("b")
        await cluster.isolate("b")
        await cluster.start(nursery, "b")
        assert cluster.view("b").members["b"].joined == 0
        cluster.faults.heal()
        await eventually(lambda: cluster.view("b").members["b"].joined > 0)
        await settled(cluster, "abc")
        await tidy(cluster)
        await cluster.end("a")
        for number in range(20):
            assert await value(cluster, "b", f"n/{number}") == number


async def test_an_empty_replica_that_nobody_knows_of_yet_hides_nothing(autojump_clock: object) -> None:
    """a and b acknowledged; b then lost it all and found nobody; c, which never had it, asks b."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("c")
        await put_one(cluster, "a", "n/1", 1)
        await cluster.lose_disk("b")
        await cluster.isolate("b")
        await cluster.start(nursery, "b")
        await cluster.isolate("a")
        cluster.faults.mend(("b", "c"), ("c", "b"))
        for name in "cb":
            with pytest.raises(TooFewReplicasError):
                await value(cluster, name, "n/1")
        cluster.faults.heal()
        await settled(cluster, "abc")
        for name in "abc":
            assert await value(cluster, name, "n/1") == 1


async def fill_from(cluster: Cluster, names: str, count: int) -> None:
    for number in range(count):
        await put_one(cluster, names[number % len(names)], f"n/{number}", number)
