"""Many rounds at once on slow disks: a healthy successor that is busy is waited for."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Round, RoundOutcome
from gossipnode.core.ring.turn import Cause
from gossipnode.node.repair.origin import RoundWatch
from gossipnode.sim import Cluster
from tests.records import record

SHARDS = 60
NAMES = "abcdefghijkl"


async def one_record_each(cluster: Cluster) -> None:
    """Each shard has a record that its first replica holds alone."""
    shards = cluster.parts("a").local.shards
    numbers = set(range(SHARDS))
    at = 0
    while numbers:
        one = record(f"n/{at}")
        at += 1
        shard = shards.shard_of(one.entity)
        if shard.shard in numbers:
            numbers.remove(shard.shard)
            await cluster.stores[shards.replicas(shard)[0]].write([(shard, one)])


async def end_of(watch: RoundWatch) -> Round:
    while watch.now().outcome is None:
        await watch.changed.wait()
    return watch.now()


@pytest.mark.slow
async def test_no_round_leaves_a_healthy_busy_replica_out(autojump_clock: object) -> None:
    cluster = Cluster(names=NAMES, groups=(f"sw:{SHARDS}:3",))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await one_record_each(cluster)
        for name in NAMES:
            cluster.stores[name].commit_seconds = 4
        shards = cluster.parts("a").local.shards
        watches: list[RoundWatch] = []
        for number in range(SHARDS):
            shard = ShardId("sw", number)
            origin = shards.replicas(shard)[0]
            watches.append(cluster.parts(origin).repair.rounds.start(shard, Cause.ASKED))
        ended = [await end_of(watch) for watch in watches]
        assert [each.hops for each in ended if each.outcome is not RoundOutcome.REPAIRED] == []
        cluster.stop()
