"""Replicas that are new, or lost their disks: from how many members they are filled, and when they count."""

from __future__ import annotations

import pytest
import trio

from gossipnode.node.refusals.request_errors import NotFormedError, TooFewReplicasError
from gossipnode.sim import Cluster
from tests.node.hand_off.placed import SHARD, joiner_of
from tests.node.moving import eventually, moving, moving_cluster, part, put_one, settled, value

pytestmark = pytest.mark.slow


async def test_a_move_waits_for_enough_of_those_that_have_the_records(autojump_clock: object) -> None:
    """The one replica that is left may lack what the other two acknowledged."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("a")
        await put_one(cluster, "b", "n/1", 1)
        cluster.faults.heal()
        joiner = joiner_of(cluster, SHARD, with_="a")
        await part(cluster, joiner, "b", "c")
        await cluster.join(nursery, joiner)
        await trio.sleep(60)
        assert not cluster.view("a").is_settled
        with pytest.raises(TooFewReplicasError, match="for the shard is being moved"):
            await value(cluster, joiner, "n/1")
        assert await value(cluster, "b", "n/1") == 1
        cluster.faults.mend((joiner, "c"), ("c", joiner))
        await eventually(lambda: cluster.view(joiner).is_settled)
        assert await value(cluster, joiner, "n/1") == 1


async def test_a_member_without_its_disk_fills_itself_before_it_counts(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:2:3",))
    async with moving(cluster) as nursery:
        await cluster.isolate("c")
        await fill_from(cluster, "ab", 20)
        cluster.faults.heal()
        await cluster.lose_disk("b")
        await cluster.replace(nursery, "b", through="c")
        await cluster.end("a")
        # a and b acknowledged the writes. c never had them, and b has lost them.
        for name in "bc":
            with pytest.raises(TooFewReplicasError):
                await value(cluster, name, "n/1")
        await cluster.start(nursery, "a")
        await settled(cluster, "abc")
        await cluster.end("a")
        for name in "bc":
            for number in range(20):
                assert await value(cluster, name, f"n/{number}") == number


async def test_an_empty_store_counts_for_nothing_before_it_has_a_place(autojump_clock: object) -> None:
    """a and b acknowledged a write. Then b lost its disk and finds nobody, and c, which lacks it, asks b."""
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
            with pytest.raises((TooFewReplicasError, NotFormedError)):
                await value(cluster, name, "n/1")
        cluster.faults.heal()
        await cluster.ended["b"].wait()
        assert "--join --replace" in str(cluster.errors["b"])
        await cluster.replace(nursery, "b")
        await settled(cluster, "abc")
        for name in "abc":
            assert await value(cluster, name, "n/1") == 1


async def fill_from(cluster: Cluster, names: str, count: int) -> None:
    for number in range(count):
        await put_one(cluster, names[number % len(names)], f"n/{number}", number)
