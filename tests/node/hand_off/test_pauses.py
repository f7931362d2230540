"""A hand-off that cannot end asks less and less often, and goes on at once when a member returns."""

from __future__ import annotations

import pytest
import trio

from gossipnode.node.hand_off.hand_off import HAND_OFF_PAUSE_MAX_SECONDS
from gossipnode.node.repair.sessions import Sessions
from gossipnode.sim import Cluster
from tests.node.moving import moving, moving_cluster, part, settled


def count_sessions(cluster: Cluster, name: str) -> list[float]:
    """When a node opens sessions from now on."""
    began: list[float] = []
    sessions: Sessions = cluster.parts(name).repair.sessions
    compare = sessions.compare

    async def counted(*args: object, **options: object) -> object:
        began.append(trio.current_time())
        return await compare(*args, **options)  # type: ignore[arg-type]

    sessions.compare = counted  # type: ignore[method-assign, assignment]
    return began


@pytest.mark.slow
async def test_a_member_whose_sources_are_away_does_not_ask_for_ever_as_often(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:20:4",))
    async with moving(cluster) as nursery:
        await part(cluster, "d", "b", "c")
        await cluster.join(nursery, "d")
        began = count_sessions(cluster, "d")
        await trio.sleep(600)
        # Twenty shards with three sources: a try every second would make 36,000.
        assert len(began) <= 40 * 20 * 3
        cluster.faults.heal()
        back_at = trio.current_time()
        await settled(cluster, "abcd")
        assert trio.current_time() - back_at < HAND_OFF_PAUSE_MAX_SECONDS / 2
