"""What one quorum read shows the next one shows too: it is at a quorum before the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from gossipnode.core.query.query import Query
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.sim import Cluster, running
from tests.node.cluster import N1, tags_at, versions
from tests.node.queried import answer
from tests.records import record

Look = Callable[[Cluster, str], Awaitable[object]]


async def by_query(cluster: Cluster, name: str) -> object:
    found = await answer(cluster.nodes[name], Query(("sw",)))
    return [each.version.mod_revision for each in found]


async def by_key(cluster: Cluster, name: str) -> object:
    return await tags_at(cluster, name)


@pytest.mark.parametrize("look", [by_key, by_query])
@pytest.mark.parametrize("away", ["b", "c"])
async def test_what_was_shown_is_shown_without_the_replica_that_had_it(
    look: Look, away: str, autojump_clock: object
) -> None:
    async with running(Cluster()) as cluster:
        for name in "bc":
            await cluster.put(name, record("n/1", k="old", revision=5))
        await cluster.put("a", record("n/1", k="new", revision=6))
        cluster.faults.hold(("a", away), (away, "a"))
        shown = await look(cluster, "a")
        assert sorted(await versions(cluster, N1)) == [5, 6, 6]
        await cluster.isolate("a")
        cluster.faults.heal()
        await cluster.isolate("a")
        assert await look(cluster, "b") == shown


async def test_nothing_is_written_where_replicas_agree(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        for name in "abc":
            await cluster.put(name, record("n/1", revision=5))
        before = [cluster.parts(name).local.writer.written.pending for name in "abc"]
        await tags_at(cluster, "a")
        await trio.sleep(1)
        assert [cluster.parts(name).local.writer.written.pending for name in "abc"] == before


async def test_a_read_fails_when_no_quorum_takes_what_it_would_show(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await cluster.put("a", record("n/1", revision=6))
        for name in "bc":
            cluster.stores[name].set_full(True)
        with pytest.raises(TooFewReplicasError, match="1 of 3 replicas have the newest version"):
            await tags_at(cluster, "a")
        assert await tags_at(cluster, "a", ack="one") == {"k": "v"}
