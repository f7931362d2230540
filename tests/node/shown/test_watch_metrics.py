"""Metrics of watches: how many there are, and how many writes overlapped."""

from __future__ import annotations

import trio

from gossipnode.sim import Cluster
from tests.node.shown.test_metrics import key, scrape
from tests.node.shown.web import start_with_status
from tests.node.watch.watching import watch
from tests.records import prop, record


async def test_watches_and_overlaps_are_counted(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery, cluster.channel("a") as channel:
        await start_with_status(cluster, nursery)
        await cluster.coordinator("a").apply(prop("n/1", x=1), replace=True)
        async with watch(channel) as watching:
            await watching.until_ready()
            found = await scrape(cluster)
            assert found[key("gossipnode_watches")] == 1
            assert found[key("gossipnode_overlaps_total")] == 0
            assert found[key("gossipnode_stale_shards")] == 0
        unseen = record("n/1", revision=cluster.parts("a").local.clock.now() + 1000, x=2)
        await trio.sleep(1)
        await cluster.put("a", unseen)
        await cluster.coordinator("b").apply(prop("n/1", x=3), replace=True, ack="one")
        await trio.sleep(1)
        found = await scrape(cluster)
        assert found[key("gossipnode_watches")] == 0
        assert found[key("gossipnode_overlaps_total")] == 1
        cluster.stop()
