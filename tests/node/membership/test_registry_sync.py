"""Changes of the registry on their way from node to node."""

from __future__ import annotations

import trio

from gossipnode.core.cluster.registry_records import SETTLED_ENTITY, group_entity, group_tags, settled_tags
from gossipnode.core.cluster.view import SYSTEM_SHARD, Group
from gossipnode.core.model.property import Record
from gossipnode.sim import Cluster
from tests.node.members_and_groups import group


async def test_two_changes_of_one_record_at_once_have_stamps_of_their_own(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        sync = cluster.nodes["a"].parts.membership.sync
        records: list[Record] = []

        async def put(number: int) -> None:
            records.append(await sync.put(SETTLED_ENTITY, settled_tags({"a": number})))

        async with trio.open_nursery() as putting:
            for number in range(5):
                putting.start_soon(put, number)
        assert len({each.version.mod_revision for each in records}) == 5
        newest = max(records, key=lambda each: each.version)
        assert cluster.nodes["a"].parts.local.registry.record(SETTLED_ENTITY) == newest
        cluster.stop()


async def test_a_change_reaches_all_within_a_moment_though_one_hangs(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.hang("c")
        sync = cluster.nodes["a"].parts.membership.sync
        began = trio.current_time()
        made = await sync.put(group_entity("new"), group_tags(Group("new", incarnation=5)))
        assert await sync.spread(made) == 2
        assert trio.current_time() - began <= 2
        assert "new" in cluster.nodes["b"].parts.local.registry.view.groups
        cluster.faults.heal()
        cluster.stop()


async def test_who_asks_for_a_comparison_under_way_waits_for_it(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        sync = cluster.nodes["a"].parts.membership.sync
        await cluster.stores["b"].write([(SYSTEM_SHARD, group("new", incarnation=5))])
        async with trio.open_nursery() as asking:
            for _ in range(5):
                asking.start_soon(sync.compare, "b")
        assert "new" in cluster.nodes["a"].parts.local.registry.view.groups
        await sync.compare("nobody")
        cluster.stop()
