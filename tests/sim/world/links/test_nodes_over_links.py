"""Whole nodes on hosts with links between them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import trio

from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.world import World
from gossipnode.sim import Cluster, running
from gossipnode.sim.world.link_network import LinkNetwork
from gossipnode.sim.world.links import Links
from tests.node.cluster import N1, put, tags_at
from tests.node.moving import eventually


class LinkedCluster(Cluster):
    """Nodes on hosts of their names, with links between them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.links = Links(random.Random(self.seed), (0.001, 0.02))
        self.link_network = LinkNetwork(self.links)

    def world(self, name: str) -> World:
        return replace(super().world(name), network=self.link_network.host(name))

    def crash(self, name: str, *, told: bool) -> None:
        self.link_network.crash(name, told=told)
        self.kill(name)


async def test_nodes_serve_and_repair_over_links(autojump_clock: object) -> None:
    cluster = LinkedCluster()
    to_c = [pair for other in "ab" for pair in ((other, "c"), ("c", other))]
    async with running(cluster):
        await put(cluster, "a", x=1)
        cluster.links.drop(*to_c)
        await put(cluster, "b", y=2)
        assert await tags_at(cluster, "a", ack="quorum") == {"x": 1, "y": 2}
        held = (await cluster.held_of(N1))["c"]
        cluster.links.mend(*to_c)
        await eventually(lambda: cluster.parts("a").members.peers["c"].state == "up")
        assert (await cluster.round("a")).outcome in (RoundOutcome.REPAIRED, RoundOutcome.CONVERGED)
        assert (await cluster.held_of(N1))["c"] != held
        assert len(set((await cluster.roots()).values())) == 1
        assert cluster.link_network.bytes_sent["a", "b"] > 0


@pytest.mark.parametrize("told", [True, False])
async def test_a_node_that_crashed_on_its_host_is_back_after_a_new_start(
    told: bool, autojump_clock: object
) -> None:
    cluster = LinkedCluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.crash("c", told=told)
        await cluster.ended["c"].wait()
        await put(cluster, "a", x=1)
        await eventually(lambda: cluster.parts("a").members.peers["c"].state != "up")
        cluster.link_network.revive("c")
        await cluster.start(nursery, "c")
        await eventually(lambda: cluster.parts("a").members.peers["c"].state == "up")
        assert (await cluster.round("a")).outcome in (RoundOutcome.REPAIRED, RoundOutcome.CONVERGED)
        assert (await cluster.held_of(N1))["c"] is not None
        cluster.stop()
