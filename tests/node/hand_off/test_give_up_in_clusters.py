"""Old copies are dropped, but not before the new holders have them."""

from __future__ import annotations

import pytest

from gossipnode.core.cluster.placement import replicas_of
from gossipnode.core.model.property import Entity
from tests.node.hand_off.placed import SHARD, joiner_of
from tests.node.moving import held, moving, moving_cluster, put_one, settled_but, tidy

pytestmark = pytest.mark.slow


async def test_an_old_copy_is_dropped_only_once_the_new_holders_have_it(autojump_clock: object) -> None:
    """A record that only the old holder has, written at one, is handed over."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        joiner = joiner_of(cluster, SHARD)
        holders = replicas_of(SHARD, ["a", "b", "c", joiner], 3)
        (leaver,) = set("abc") - set(holders)
        await cluster.isolate(leaver)
        await put_one(cluster, leaver, "n/alone", 7, ack="one")
        through = next(name for name in "abc" if name != leaver)
        await cluster.join(nursery, joiner, through=through)
        await settled_but(cluster, ["a", "b", "c", joiner], without=leaver)
        cluster.faults.heal()
        await tidy(cluster)
        assert held(cluster, leaver) == []
        for name in holders:
            (copy,) = await cluster.stores[name].read(SHARD, (Entity("sw", "n", "alone"),))
            assert copy is not None
