"""Many waits at once share their questions to replicas, and each gets an answer to its own."""

from __future__ import annotations

import pytest
import trio

from gossipnode.node.watch.version_probes import VersionProbes
from gossipnode.rpc import RpcError
from gossipnode.sim import Cluster
from gossipnode.wire import services
from tests.node.asking import asked
from tests.node.watch.test_barrier import wait_for
from tests.node.watch.test_group_watch import put
from tests.records import entity, record


async def test_waits_at_once_each_learn_of_their_own_record(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        for each in range(100):
            await put(cluster, f"n/{each}", x=each)
        lags = record("n/7", revision=cluster.parts("a").local.clock.now() + 10**9, x=1)
        await cluster.put("b", lags)
        found: dict[int, tuple[int, list[str], list[str]]] = {}

        async def wait(each: int) -> None:
            request = wait_for(f"n/{each}", milliseconds=100)
            if each == 7:
                request.revision = lags.version.mod_revision
            reply = await channel.unary(services.WAIT, request, timeout=10)
            found[each] = reply.revision, list(reply.applied), [lagging.node for lagging in reply.lagging]

        async with trio.open_nursery() as nursery:
            for each in range(100):
                nursery.start_soon(wait, each)
        written = {each: (await cluster.held_of(entity(f"n/{each}")))["a"] for each in range(100)}
        assert found.pop(7) == (lags.version.mod_revision, ["b"], ["a", "c"])
        assert {each: revision for each, (revision, _, _) in found.items()} == {
            each: held.version.mod_revision
            for each, held in written.items()
            if held is not None and each != 7
        }
        assert all(applied == ["a", "b", "c"] for _, applied, _ in found.values())


async def test_a_question_is_never_answered_with_what_was_before_it(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster):
        await put(cluster, "n/1", x=1)
        at_a = cluster.parts("a")
        probes, peer = VersionProbes(at_a.local), at_a.members.peers["b"]
        shard = at_a.local.shards.shard_of(entity("n/1"))
        first = probes.start(peer, shard, entity("n/1"), None)
        before = await first.result()
        assert before is not None
        asked_again = probes.start(peer, shard, entity("n/1"), before)
        # Under way already when the record changes: a later question does not share its answer.
        later = record("n/1", revision=before.stamp + 5, x=2)
        await cluster.put("b", later)
        after = probes.start(peer, shard, entity("n/1"), before)
        assert await after.result() == later.version
        assert await asked_again.result() in (before, later.version)
        assert await probes.start(peer, shard, entity("n/none"), None).result() is None


async def test_what_an_answer_has_no_room_for_is_told_as_a_problem(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster):
        large = [record(f"n/{each}", text="x" * 900_000) for each in range(9)]
        await cluster.put("b", *large)
        at_a = cluster.parts("a")
        probes, peer = VersionProbes(at_a.local), at_a.members.peers["b"]
        shard = at_a.local.shards.shard_of(entity("n/0"))
        probes.start(peer, shard, entity("n/first"), None)
        together = [probes.start(peer, shard, each.entity, None) for each in large]
        assert await together[0].result() == large[0].version
        with pytest.raises(RpcError, match="no more room"):
            await together[-1].result()


async def test_a_replica_that_hangs_is_told_as_such(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster):
        at_a = cluster.parts("a")
        shard = at_a.local.shards.shard_of(entity("n/1"))
        cluster.hang("b")
        probes = VersionProbes(at_a.local)
        peer = at_a.members.peers["b"]
        asked_at_once = [probes.start(peer, shard, entity(f"n/{each}"), None) for each in (1, 2)]
        for probe in asked_at_once:
            with pytest.raises(RpcError, match="no answer within"):
                await probe.result()
