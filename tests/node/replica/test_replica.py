"""This node as a replica: what it answers, and what it does not acknowledge."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.query.replica_messages import RecordsWritten, Refusal, WriteRecords
from tests.node.hand_off.placed import SHARD, joiner_of, placed
from tests.node.moving import eventually, moving, moving_cluster
from tests.records import record

pytestmark = pytest.mark.slow


async def test_a_write_of_the_old_view_that_ends_in_the_new_one_is_refused(autojump_clock: object) -> None:
    """It was let in before the change; who filled himself meanwhile need not have it."""
    cluster = moving_cluster(groups=("sw:1:3",))
    async with moving(cluster) as nursery:
        placement = placed(cluster, SHARD)
        request = WriteRecords(SHARD, placement.fence, (record("n/1"),))
        cluster.stores["a"].commit_seconds = 30
        answers: list[RecordsWritten | Refusal] = []

        async def write() -> None:
            answers.extend(await cluster.parts("a").replica.write([request]))

        async with trio.open_nursery() as writing:
            writing.start_soon(write)
            await trio.sleep(1)
            cluster.stores["a"].commit_seconds = 0
            await cluster.join(nursery, joiner_of(cluster, SHARD))
            await eventually(lambda: placed(cluster, SHARD).moving or len(cluster.view("a").members) == 4)
            assert answers == []
        (answer,) = answers
        assert isinstance(answer, Refusal)
        assert answer.other_view
