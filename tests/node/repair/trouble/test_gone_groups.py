"""A group that is deleted while a session over one of its shards waits ends that session alone."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import HopEnd
from gossipnode.sim import Cluster, running
from tests.node.moving import eventually, moving, moving_cluster


async def test_a_session_over_a_shard_of_no_group_is_an_outcome_and_not_an_error(
    autojump_clock: object,
) -> None:
    async with running(Cluster(names="ab")) as cluster:
        parts = cluster.parts("a")
        hop = await parts.repair.sessions.compare(parts.members.peers["b"], ShardId("gone", 0, 7), {})
        assert (hop.end, hop.from_node, hop.to_node) == (HopEnd.FAILED, "a", "b")
        assert hop.reason == "there is no group 'gone' any more"


@pytest.mark.slow
async def test_a_group_that_is_deleted_while_a_new_member_fills_itself_ends_no_node(
    autojump_clock: object,
) -> None:
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        groups = cluster.parts("a").membership.groups
        await groups.create("big", shards=16, replicas=3)
        await trio.sleep(1)
        for name in "abc":
            cluster.stores[name].commit_seconds = 0.5
        await cluster.join(nursery, "d")
        await trio.sleep(0.2)
        await groups.delete("big")
        await eventually(lambda: all("big" not in cluster.view(name).groups for name in "abcd"))
        await trio.sleep(30)
        assert cluster.running == set("abcd")
        assert not cluster.errors
