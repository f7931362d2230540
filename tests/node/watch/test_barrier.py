"""Waits until every replica has a record, and explanations, over whole nodes."""

from __future__ import annotations

import pytest
import trio

from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as pb
from tests.node.asking import asked
from tests.node.watch.test_group_watch import put
from tests.node.watch.watching import watch
from tests.records import entity, prop, record


def wait_for(key: str, *, revision: int = 0, milliseconds: int = 5000) -> pb.WaitRequest:
    name, _, identity = key.partition("/")
    return pb.WaitRequest(group="sw", name=name, id=identity, revision=revision, milliseconds=milliseconds)


async def test_a_wait_ends_when_every_replica_has_the_record(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1")
        reply = await channel.unary(services.WAIT, wait_for("n/1"), timeout=10)
        assert list(reply.applied) == ["a", "b", "c"]
        assert not reply.lagging
        await cluster.coordinator("b").delete(entity("n/1"))
        after = await channel.unary(services.WAIT, wait_for("n/1"), timeout=10)
        assert after.revision > reply.revision
        assert list(after.applied) == ["a", "b", "c"]


async def test_a_wait_names_the_replicas_that_lag(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1")
        reply = await channel.unary(services.WAIT, wait_for("n/1"), timeout=10)
        revision = reply.revision
        later = record("n/1", revision=revision + 2_500_000_000, x=1)
        await cluster.put("a", later)
        request = wait_for("n/1", revision=later.version.mod_revision, milliseconds=1000)
        reply = await channel.unary(services.WAIT, request, timeout=10)
        assert list(reply.applied) == ["a"]
        why = f"it holds {revision}, which is 2.5 s older"
        assert {each.node: each.why for each in reply.lagging} == {"b": why, "c": why}
        cluster.hang("c")
        reply = await channel.unary(services.WAIT, request, timeout=10)
        assert [each.node for each in reply.lagging] == ["b", "c"]


async def test_a_wait_goes_on_until_a_replica_has_caught_up(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel, trio.open_nursery() as nursery:
        later = record("n/1", revision=cluster.parts("a").local.clock.now(), x=1)
        await cluster.put("a", later)
        replies: list[pb.WaitResponse] = []

        async def wait() -> None:
            request = wait_for("n/1", revision=later.version.mod_revision, milliseconds=60_000)
            replies.append(await channel.unary(services.WAIT, request, timeout=70))

        nursery.start_soon(wait)
        await trio.sleep(3)
        assert not replies
        await cluster.put("b", later)
        await cluster.put("c", later)
        await trio.sleep(1)
        assert list(replies[0].applied) == ["a", "b", "c"]


@pytest.mark.parametrize("method", [services.WAIT, services.EXPLAIN])
async def test_an_unknown_group_is_refused(autojump_clock: object, method: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        make = pb.WaitRequest if method is services.WAIT else pb.ExplainRequest
        with pytest.raises(RpcError) as caught:
            await channel.unary(method, make(group="nope", name="n", id="1"), timeout=10)  # type: ignore[arg-type]
        assert caught.value.status is Status.NOT_FOUND


async def test_a_wait_for_no_record_is_refused(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        with pytest.raises(RpcError, match="no such record") as caught:
            await channel.unary(services.WAIT, wait_for("n/none"), timeout=10)
        assert caught.value.status is Status.NOT_FOUND


async def explain(channel: object, key: str) -> pb.ExplainResponse:
    name, _, identity = key.partition("/")
    request = pb.ExplainRequest(group="sw", name=name, id=identity)
    reply: pb.ExplainResponse = await channel.unary(services.EXPLAIN, request, timeout=10)  # type: ignore[attr-defined]
    return reply


async def test_an_explanation_says_how_each_version_came(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await cluster.coordinator("b").apply(prop("n/1", x=1), replace=True, ack="all")
        first = await explain(channel, "n/1")
        assert [each.node for each in first.replicas] == ["a", "b", "c"]
        assert {(each.arrival.through, each.arrival.source) for each in first.replicas} == {(0, "b")}
        assert all(each.arrival.at_milliseconds for each in first.replicas)
        assert not any(each.HasField("replaced") or each.overlap for each in first.replicas)
        assert list(first.winners) == ["a", "b", "c"]
        later = record("n/1", revision=cluster.parts("a").local.clock.now(), x=2)
        await cluster.put("a", later)
        assert list((await explain(channel, "n/1")).winners) == ["a"]
        await cluster.round("a")
        healed = await explain(channel, "n/1")
        assert healed.why == "all replicas hold this version"
        came = {each.node: each for each in healed.replicas}
        assert came["b"].arrival.through == 2, "a round"
        assert came["b"].arrival.source in {"a", "c"}
        assert came["b"].replaced.mod_revision == first.replicas[0].version.mod_revision
        cluster.hang("c")
        silent = await explain(channel, "n/1")
        assert silent.replicas[2].problem
        assert list(silent.winners) == ["a", "b"]


async def test_a_write_that_had_not_seen_what_it_replaced_is_an_overlap(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1", x=1)
        async with watch(channel) as watching:
            await watching.until_ready()
            # Written at b alone, so that a write through a, at level one, does not see it.
            unseen = record("n/1", revision=cluster.parts("a").local.clock.now() + 1000, x=2)
            await trio.sleep(1)
            await cluster.put("b", unseen)
            await cluster.coordinator("a").apply(prop("n/1", x=3), replace=True, ack="one")
            assert await watching.take(1) == [("put", "1")]
        await trio.sleep(5)
        explained = {each.node: each for each in (await explain(channel, "n/1")).replicas}
        assert [explained[name].overlap for name in "abc"] == [False, True, False]
        assert cluster.parts("b").news.overlaps == 1
        assert cluster.parts("a").news.overlaps == 0


async def test_a_group_that_is_deleted_ends_a_wait(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel, trio.open_nursery() as nursery:
        admin = cluster.parts("a").membership.groups
        await admin.create("made", shards=1, replicas=3)
        await put(cluster, "n/1", group="made")
        request = pb.WaitRequest(group="made", name="n", id="1", revision=1 << 61, milliseconds=60_000)
        ended: list[Status] = []

        async def wait() -> None:
            with pytest.raises(RpcError) as caught:
                await channel.unary(services.WAIT, request, timeout=70)
            ended.append(caught.value.status)

        nursery.start_soon(wait)
        await trio.sleep(1)
        await admin.delete("made")
        await trio.sleep(5)
        assert ended == [Status.NOT_FOUND]
