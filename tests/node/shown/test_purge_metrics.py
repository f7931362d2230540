"""Metrics of purges and snapshots, of whole nodes."""

from __future__ import annotations

from gossipnode.sim import Cluster
from tests.node.repair.rounds.test_purge_rounds import delete, purge, purging, write
from tests.node.shown.test_metrics import key, scrape
from tests.node.shown.web import shown_at

HELD_BACK = "gossipnode_purge_held_back_shards"
AGE = "gossipnode_purge_mark_age_seconds"


async def test_what_holds_tombstones_is_told_and_how_far_they_are_purged(autojump_clock: object) -> None:
    cluster = Cluster()
    async with purging(cluster) as nursery:
        await cluster.end("a")
        await cluster.start(nursery, "a", **shown_at())
        await write(cluster, "n/1")
        await cluster.end("c")
        await delete(cluster, "n/1")
        assert "c: " in await purge(cluster)
        found = await scrape(cluster)
        assert found[key(HELD_BACK, group="sw", reason="seal")] == 1
        assert key(AGE, group="sw") not in found
        await cluster.start(nursery, "c")
        # Another node raises the mark, and this one does not go on to tell what it found before.
        assert await purge(cluster, "b") == ""
        found = await scrape(cluster)
        assert not any(name == HELD_BACK for name, _ in found)
        assert 1 <= found[key(AGE, group="sw")] < 60
