"""What the command line asks of a node, over the whole stack in memory."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.node.endpoints import node_service
from gossipnode.node.endpoints.record_sender import STREAM_PAUSE_SECONDS
from gossipnode.node.replica.scan import STREAM_MESSAGE_BYTES
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.store.memory import MemoryStore
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.round_codec import event_content
from tests.node.asking import asked, every_answer, one_node
from tests.records import prop, record


async def test_a_record_is_written_read_and_deleted(autojump_clock: object) -> None:
    async with asked(one_node(), "a") as channel:
        applied = await channel.unary(
            services.NODE_APPLY, v1.ApplyRequest(property=prop("n/1", a=1)), timeout=5
        )
        assert (applied.created, applied.acknowledged, applied.replicas) == (True, 1, 1)
        key = {"group": "sw", "name": "n", "id": "1"}
        got = await channel.unary(services.NODE_GET, v1.GetRequest(**key), timeout=5)
        assert got.record.property == applied.property
        gone = await channel.unary(services.NODE_DELETE, v1.DeleteRequest(**key), timeout=5)
        assert gone.deleted
        assert gone.mod_revision > 0
        again = await channel.unary(services.NODE_DELETE, v1.DeleteRequest(**key), timeout=5)
        assert not again.deleted
        none = await channel.unary(services.NODE_GET, v1.GetRequest(**key), timeout=5)
        assert not none.record.property


@pytest.mark.parametrize(
    ("method", "request_", "status"),
    [
        (services.NODE_APPLY, v1.ApplyRequest(property=b"\xff"), Status.INVALID_ARGUMENT),
        (services.NODE_APPLY, v1.ApplyRequest(property=prop("n/1"), ack="most"), Status.INVALID_ARGUMENT),
        (services.NODE_APPLY, v1.ApplyRequest(property=prop("n/1", "_x")), Status.PERMISSION_DENIED),
        (services.NODE_APPLY, v1.ApplyRequest(property=prop("n/1"), strategy=7), Status.INVALID_ARGUMENT),
        (services.NODE_GET, v1.GetRequest(group="nope", name="n", id="1"), Status.NOT_FOUND),
        (services.NODE_DELETE, v1.DeleteRequest(group="sw", name="n"), Status.INVALID_ARGUMENT),
    ],
)
async def test_a_wrong_request_gets_the_status_that_it_deserves(
    method: Any, request_: Any, status: Status, autojump_clock: object
) -> None:
    async with asked(Cluster(), "a") as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(method, request_, timeout=5)
        assert caught.value.status is status


@pytest.mark.parametrize(
    "method", [services.NODE_QUERY, services.NODE_EXPORT, services.NODE_TREE, services.NODE_REPAIR]
)
async def test_a_call_without_its_request_is_refused(method: Any, autojump_clock: object) -> None:
    async with asked(Cluster(), "a") as channel:
        async with channel.stream(method, timeout=5) as stream:
            with pytest.raises(RpcError, match="expected one request, got none"):
                await stream.finish()


async def test_an_export_has_every_record_in_messages_of_a_good_size(autojump_clock: object) -> None:
    cluster = one_node()
    async with asked(cluster, "a") as channel:
        await cluster.put("a", *(record(f"n/{i:03}", k="x" * 20_000) for i in range(50)))
        await cluster.put("a", record("n/dead", delete_time=5))
        batches = await every_answer(channel, services.NODE_EXPORT, v1.ExportRequest(group="sw"))
        assert sum(len(batch.records) for batch in batches) == 50
        assert len(batches) == 4
        sizes = [sum(len(one.property) for one in batch.records) for batch in batches]
        assert max(sizes) < STREAM_MESSAGE_BYTES + 21_000
        dead = await every_answer(
            channel, services.NODE_EXPORT, v1.ExportRequest(group="sw", tombstones=True)
        )
        assert [one.delete_time for batch in dead for one in batch.records if one.delete_time] == [5]


async def test_a_long_search_says_something_now_and_then(autojump_clock: object) -> None:
    """A client gives up on a node that sends nothing for ten seconds."""
    cluster = one_node()
    async with asked(cluster, "a") as channel:
        await cluster.put("a", *(record(f"n/{i}") for i in range(1000)))
        scan = cluster.stores["a"].scan

        async def slow(*args: Any, **options: Any) -> Any:
            await trio.sleep(1)
            return await scan(*args, **options)

        cluster.stores["a"].scan = slow  # type: ignore[method-assign]
        query = banyandb.QueryRequest(groups=["sw"], ids=["none"])
        heard = [trio.current_time()]
        async with channel.stream(services.NODE_QUERY, timeout=None) as stream:
            await stream.send(v1.QueryRequest(query=query))
            while await stream.recv() is not None:
                heard.append(trio.current_time())
        assert len(heard) > 5
        assert max(b - a for a, b in pairwise(heard)) <= STREAM_PAUSE_SECONDS + 1


async def test_a_query_goes_on_behind_a_key(autojump_clock: object) -> None:
    cluster = one_node()
    async with asked(cluster, "a") as channel:
        await cluster.put("a", *(record(f"n/{i}") for i in range(5)))
        request = v1.QueryRequest(query=banyandb.QueryRequest(groups=["sw"], limit=2), after="sw/n/1")
        (batch,) = await every_answer(channel, services.NODE_QUERY, request)
        assert len(batch.records) == 2
        with pytest.raises(RpcError, match="groups: expected at least one"):
            await every_answer(channel, services.NODE_QUERY, v1.QueryRequest())
        with pytest.raises(RpcError, match="'sw' is no key"):
            await every_answer(channel, services.NODE_QUERY, v1.QueryRequest(query=request.query, after="sw"))


async def test_the_tree_with_its_leaves(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_service, "TREE_PAGE_LEAVES", 2)
    cluster = Cluster()
    async with asked(cluster, "a") as channel:
        await cluster.put("a", *(record(f"n/{i}") for i in range(100)))
        request = v1.TreeRequest(group="sw", shard=0, leaves=True)
        first, *pages = await every_answer(channel, services.NODE_TREE, request)
        tree = await cluster.stores["a"].tree(ShardId("sw", 0))
        assert (first.state, first.root) == ("ready", tree.root)
        assert [(slot.slot, slot.sha) for slot in first.slots] == list(tree.slots)
        leaves = [leaf for page in pages for leaf in page.leaves]
        assert sorted(int(leaf.id) for leaf in leaves) == list(range(100))
        assert [leaf.slot for leaf in leaves] == sorted(leaf.slot for leaf in leaves)
        for wrong, said in (("nope", "unknown here"), ("sw", "has no shard 7: it has 1")):
            with pytest.raises(RpcError, match=said) as caught:
                await every_answer(channel, services.NODE_TREE, v1.TreeRequest(group=wrong, shard=7))
            assert caught.value.status is Status.NOT_FOUND


WHAT = {v1.Hop: "hop", v1.Round: "finished", type(None): "started"}


def what(event: v1.RoundEvent) -> str:
    return WHAT[type(event_content(event))]


def told(events: list[v1.RoundEvent]) -> list[tuple[int, str]]:
    return [(event.shard, what(event)) for event in events]


async def test_repair_without_wait_tells_the_rounds_that_it_started(autojump_clock: object) -> None:
    async with asked(Cluster(groups=("sw:3:3",))) as channel:
        events = await every_answer(channel, services.NODE_REPAIR, v1.RepairRequest(group="sw"))
        assert told(events) == [(0, "started"), (1, "started"), (2, "started")]
        assert len({event.round for event in events}) == 3


async def test_repair_with_wait_tells_every_hop_and_the_end(autojump_clock: object) -> None:
    cluster = Cluster(names="abcd", groups=("sw:2:4",))
    async with asked(cluster) as channel:
        request = v1.RepairRequest(group="sw", shard=1, wait=True)
        events = await every_answer(channel, services.NODE_REPAIR, request)
        # Five hops, of which the first and the last are alike: both are told.
        assert told(events) == [(1, "started")] + [(1, "hop")] * 5 + [(1, "finished")]
        assert events[-1].finished.outcome == "converged"
        assert [(hop.from_, hop.to) for hop in events[-1].finished.hops] == [
            ("a", "b"),
            ("b", "c"),
            ("c", "d"),
            ("d", "a"),
            ("a", "b"),
        ]


@pytest.mark.slow
async def test_repair_of_more_shards_than_rounds_are_remembered(autojump_clock: object) -> None:
    async with asked(Cluster(names="ab", groups=("sw:130:2",))) as channel:
        request = v1.RepairRequest(group="sw", wait=True)
        events = await every_answer(channel, services.NODE_REPAIR, request)
        finished = [event for event in events if what(event) == "finished"]
        assert [event.shard for event in finished] == list(range(130))
        assert {event.finished.outcome for event in finished} == {"converged"}


async def test_repair_is_followed_while_the_round_goes_on(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        cluster.stores["c"].commit_seconds = 20
        await cluster.put("a", record("n/1"))
        heard: list[tuple[str, float]] = []
        async with channel.stream(services.NODE_REPAIR, timeout=None) as stream:
            await stream.send(v1.RepairRequest(group="sw", wait=True))
            while (event := await stream.recv()) is not None:
                heard.append((what(event), trio.current_time()))
        assert [each for each, _ in heard] == ["started", "hop", "hop", "hop", "finished"]
        assert heard[1][1] < 5
        assert heard[2][1] >= 20


async def test_a_node_that_stops_starts_no_round(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster, "a") as channel:
        cluster.nodes["a"].parts.repair.rounds.stop()
        with pytest.raises(RpcError, match="the node is stopping") as caught:
            await every_answer(channel, services.NODE_REPAIR, v1.RepairRequest(group="sw"))
        assert caught.value.status is Status.RESOURCE_EXHAUSTED


async def test_a_defect_tells_the_caller_nothing_of_itself(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster, "a") as channel:

        async def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("secret")

        store: MemoryStore = cluster.stores["a"]
        request = v1.GetRequest(group="sw", name="n", id="1", ack="local")
        store.read = broken  # type: ignore[method-assign,assignment]
        with pytest.raises(RpcError) as caught:
            await channel.unary(services.NODE_GET, request, timeout=5)
        assert caught.value.status is Status.INTERNAL
        assert "secret" not in caught.value.message
