"""Sessions that other nodes open with a node, over the whole stack in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.config.address import Address
from gossipnode.core.model.property import ShardId
from gossipnode.core.model.tag_value import IntArray
from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.messages import (
    DifferSummary,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    RootCompare,
    TreeRoot,
    TreeSlots,
    WaitNextDiffer,
)
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.node.endpoints.repair_service import RepairService
from gossipnode.node.local.node_state import NodeState
from gossipnode.node.peers import call_metadata
from gossipnode.node.repair.shard_store import ShardStore
from gossipnode.rpc import RpcError, Server, ServerStream, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire.property.canonical_json import leaf_digest
from gossipnode.wire.services import REPAIR
from tests.node.repair.tree_streams import tree_stream
from tests.node.repair.two_nodes import SHARD
from tests.node.support import make_local, memory_store
from tests.records import bare_record, prop, record


async def test_a_session_out_of_order_ends_with_what_was_expected(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster, "b"):
        async with cluster.channel("b") as channel, channel.stream(REPAIR, timeout=5) as stream:
            await stream.send(WaitNextDiffer())
            with pytest.raises(RpcError) as caught:
                await stream.recv()
        assert caught.value.status is Status.INVALID_ARGUMENT
        assert "expected tree_root, got wait_next_differ" in caught.value.message


async def test_an_unknown_shard_has_no_tree(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster, "b"), cluster.channel("b") as channel:
        for group, shard in (("sw", 1), ("nope", 0), ("", 4_000_000_000)):
            async with channel.stream(REPAIR, timeout=5) as stream:
                await stream.send(TreeRoot(group, shard, ""))
                assert await stream.recv() == RootCompare(tree_found=False, root_match=False)
                await stream.finish()


async def test_a_session_that_says_nothing_gives_its_slot_back_at_the_deadline(
    autojump_clock: object,
) -> None:
    """A peer without a deadline of its own, alive but silent, must not hold a slot for ever."""
    cluster = Cluster(overrides={"repair.max_sessions": 1, "repair.session_deadline_seconds": 60})
    async with running(cluster, "b"), cluster.channel("b") as channel:
        async with channel.stream(REPAIR, timeout=None) as stream:
            await stream.send(TreeRoot("sw", 0, "another"))
            assert await stream.recv() == RootCompare(tree_found=True, root_match=False)
            with pytest.raises(RpcError) as caught, trio.fail_after(110):
                await stream.recv()
            assert caught.value.status is Status.DEADLINE_EXCEEDED
            assert trio.current_time() == pytest.approx(60, abs=5)
        async with channel.stream(REPAIR, timeout=5) as stream:
            await stream.send(TreeRoot("sw", 0, ""))
            assert await stream.recv() == RootCompare(tree_found=True, root_match=True)


async def test_sessions_given_up_in_the_middle_give_their_slots_back(autojump_clock: object) -> None:
    cluster = Cluster(overrides={"repair.max_sessions": 2})
    async with running(cluster, "b"), cluster.channel("b") as channel:
        for _ in range(10):
            async with channel.stream(REPAIR, timeout=5) as stream:
                await stream.send(TreeRoot("sw", 0, "another"))
                assert await stream.recv() == RootCompare(tree_found=True, root_match=False)
            await trio.sleep(0.1)


class LeftAtOnce(ServerStream[Any, Any]):
    """A stream whose client leaves while the first answer is still being sent."""

    async def send_batch(self, messages: Sequence[Any]) -> None:
        await super().send_batch(messages)
        await trio.sleep_forever()


async def test_a_client_that_leaves_with_the_verdict_has_had_an_equal_session(
    autojump_clock: object,
) -> None:
    cluster = Cluster()
    async with running(cluster, "b"):
        parts = cluster.parts("b")
        repair, state = parts.repair, NodeState(Address("b", 1))
        service = RepairService(parts.local, repair.bounds, repair.witness, state, max_sessions=1)

        async def serve(stream: ServerStream[Any, Any]) -> None:
            await service.repair(LeftAtOnce(stream._connection, stream._stream, REPAIR, stream.call))

        async with trio.open_nursery() as nursery:
            listeners = await cluster.network.listen(cluster.address("c"))
            await nursery.start(Server({REPAIR: serve}).serve, listeners)
            with structlog.testing.capture_logs() as logs:
                async with cluster.channel("c") as channel, channel.stream(REPAIR, timeout=5) as stream:
                    await stream.send(TreeRoot("sw", 0, ""))
                    assert await stream.recv() == RootCompare(tree_found=True, root_match=True)
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert [line["outcome"] for line in logs if line["event"] == "session served"] == ["equal"]


async def test_a_record_of_a_foreign_client_that_is_too_large_is_left_out_alone(
    autojump_clock: object,
) -> None:
    large, small = bare_record("n/a", prop("n/a", k="x" * (5 << 20))), record("n/b")
    cluster = Cluster()
    async with running(cluster, "b"), cluster.channel("b") as channel:
        async with channel.stream(REPAIR, timeout=60) as stream:
            await stream.send(TreeRoot("sw", 0, "another"))
            assert await stream.recv() == RootCompare(tree_found=True, root_match=False)
            await stream.send(TreeSlots(()))
            await stream.send_batch([PropertySync(large), PropertySync(small)])
            assert await stream.recv() == DifferSummary(())
            await stream.send(WaitNextDiffer())
            await stream.finish()
        keys = (large.entity, small.entity)
        assert await cluster.stores["b"].read(ShardId("sw", 0), keys) == [None, small]


async def test_the_dialect_of_a_foreign_client_is_learnt_from_what_it_sends(autojump_clock: object) -> None:
    records = [record(f"n/{number}", revision=5, a="x", b="y") for number in range(40)]
    store = memory_store(leaf_digest=partial(leaf_digest, spacing="commas"))
    await store.write([(SHARD, each) for each in records])
    theirs = ShardStore(make_local(store), SHARD)
    cluster, ends = Cluster(), []
    async with running(cluster, "b"), cluster.channel("b") as channel:
        await cluster.put("b", *records)
        for _ in range(3):
            tree = await theirs.tree(SHARD)
            assert tree is not None
            session = TreeClient(SHARD, 1, tree, page_leaves=64)
            async with channel.stream(REPAIR, timeout=60) as stream:
                end = await tree_stream(stream, session, theirs, half_close=stream.half_close).run()
            ends.append((end, session.counts.sent))
    equal = (SessionEnd.EQUAL, 0)
    assert ends == [(SessionEnd.REPAIRED, 40), equal, equal]


@pytest.mark.parametrize(("caller", "records"), [({}, 0), ({call_metadata.NODE: "a"}, 1)])
async def test_a_foreign_client_is_not_given_what_would_end_it(
    caller: dict[str, str], records: int, autojump_clock: object
) -> None:
    cluster = Cluster()
    async with running(cluster, "b"), cluster.channel("b") as channel:
        await cluster.put("b", record("n/bad", k=IntArray()))
        async with channel.stream(REPAIR, timeout=5, metadata=caller) as stream:
            await stream.send(TreeRoot("sw", 0, "another"))
            assert await stream.recv() == RootCompare(tree_found=True, root_match=False)
            await stream.send(TreeSlots(()))
            assert isinstance(await stream.recv(), DifferSummary)
            await stream.send_batch([PropertyMissing("sw/n/bad"), WaitNextDiffer()])
            answers = [await stream.recv()]
            while isinstance(answers[-1], PropertyAnswer):
                answers.append(await stream.recv())
            assert len(answers) == records + 1, "the last page follows the records"
