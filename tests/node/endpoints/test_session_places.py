"""What callers that open sessions and say little may take of a node, over the whole stack in memory."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.messages import ClientMessage, RootCompare, ServerMessage, TreeRoot, TreeSlots
from gossipnode.core.session.tree import SlotDigest
from gossipnode.node.endpoints.repair_service import OPENING_SECONDS, SESSION_BYTES
from gossipnode.node.peers import call_metadata
from gossipnode.node.repair.session_slots import UNSAID_PLACES
from gossipnode.rpc import Channel, ClientStream, RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire.services import REPAIR
from tests.records import record

ANOTHER_ROOT = TreeRoot("sw", 0, "not the root")
DIFFER = RootCompare(tree_found=True, root_match=False)


async def open_silent(streams: AsyncExitStack, channel: Channel, number: int) -> list[object]:
    """Streams that say nothing."""
    opened: list[object] = []
    for _ in range(number):
        stream = await streams.enter_async_context(channel.stream(REPAIR, timeout=None))
        await stream.send_batch(())
        opened.append(stream)
    return opened


async def refusal(channel: Channel, root: TreeRoot = ANOTHER_ROOT) -> RpcError:
    async with channel.stream(REPAIR, timeout=5) as stream:
        await stream.send(root)
        with pytest.raises(RpcError) as caught:
            await stream.recv()
        return caught.value


async def test_streams_that_say_nothing_keep_no_round_out(autojump_clock: object) -> None:
    """A caller opens as many streams as there are session slots, says nothing, and does it again."""
    cluster = Cluster(names="ab", overrides={"repair.max_sessions": 8})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("b") as channel:
            for number in range(3):
                async with AsyncExitStack() as streams:
                    await open_silent(streams, channel, 8)
                    await trio.sleep(1)
                    await cluster.put("a", record(f"n/{number}"))
                    finished = await cluster.round()
                    assert finished.outcome is RoundOutcome.REPAIRED, finished.hops
                    assert len(finished.hops) == 1
        cluster.stop()


@pytest.mark.parametrize("max_sessions", [1, 8])
@pytest.mark.parametrize("group", ["sw", "other"])
async def test_sessions_that_begin_and_then_crawl_keep_no_round_and_no_member_out(
    max_sessions: int, group: str, autojump_clock: object
) -> None:
    """They say tree_root, and then one thing a minute. A fence in their metadata is a lie, too."""
    cluster = Cluster(names="ab", overrides={"repair.max_sessions": max_sessions})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        crawling: list[ClientStream[ClientMessage, ServerMessage]] = []
        async with cluster.channel("b") as channel, AsyncExitStack() as streams:
            for number in range(4 * max_sessions + 16):
                lie = {call_metadata.FENCE: "00" * 8} if number % 2 else {}
                session = channel.stream(REPAIR, timeout=None, metadata=lie)
                crawling.append(await streams.enter_async_context(session))
                await crawling[-1].send(TreeRoot(group, 0, "not the root"))
            for minute in range(3):
                for slot, stream in enumerate(crawling):
                    with suppress(RpcError):
                        await stream.send(TreeSlots((SlotDigest(3 * minute + slot % 3, "x"),)))
                await trio.sleep(60)
                await cluster.put("a", record(f"n/{minute}"))
                assert (await cluster.round()).outcome is RoundOutcome.REPAIRED
                parts = cluster.parts("a")
                hop = await parts.repair.sessions.compare(
                    parts.members.peers["b"], ShardId("sw", 0), parts.members.metadata
                )
                assert hop.end is HopEnd.EQUAL, hop.reason
        cluster.stop()


async def test_a_stream_without_a_tree_root_is_ended_in_seconds(autojump_clock: object) -> None:
    cluster = Cluster(names="b")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("b") as channel, channel.stream(REPAIR, timeout=None) as stream:
            await stream.send_batch(())
            with pytest.raises(RpcError) as caught, trio.fail_after(OPENING_SECONDS + 1):
                await stream.recv()
            assert caught.value.status is Status.DEADLINE_EXCEEDED
            assert caught.value.message == "the client said nothing for 10 s: expected tree_root"
        cluster.stop()


async def test_a_tree_root_is_waited_for_no_longer_than_a_session(autojump_clock: object) -> None:
    cluster = Cluster(names="b", overrides={"repair.session_deadline_seconds": 3})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("b") as channel, channel.stream(REPAIR, timeout=None) as stream:
            await stream.send_batch(())
            with pytest.raises(RpcError) as caught, trio.fail_after(4):
                await stream.recv()
            assert caught.value.message == "the client said nothing for 3 s: expected tree_root"
        cluster.stop()


async def test_one_caller_has_only_some_of_the_silent_streams(autojump_clock: object) -> None:
    cluster = Cluster(names="b")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("b") as channel, AsyncExitStack() as streams:
            await open_silent(streams, channel, UNSAID_PLACES // 2)
            await trio.sleep(1)
            error = await refusal(channel)
            assert error.status is Status.RESOURCE_EXHAUSTED
            assert "the most for one caller" in error.message
            await trio.sleep(OPENING_SECONDS)
            async with channel.stream(REPAIR, timeout=5) as stream:
                await stream.send(ANOTHER_ROOT)
                assert await stream.recv() == DIFFER
        cluster.stop()


async def test_a_caller_over_its_share_of_sessions_is_told_so(autojump_clock: object) -> None:
    cluster = Cluster(names="b", overrides={"repair.max_sessions": 2})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("b") as channel, AsyncExitStack() as streams:
            for _ in range(2):
                stream = await streams.enter_async_context(channel.stream(REPAIR, timeout=None))
                await stream.send(ANOTHER_ROOT)
                assert await stream.recv() == DIFFER
            error = await refusal(channel)
            assert error.status is Status.RESOURCE_EXHAUSTED
            assert error.message.endswith("has 2 session slots, the most for one caller: end a session first")
        cluster.stop()


async def test_shards_are_handed_over_though_all_slots_are_taken(
    autojump_clock: object,
) -> None:
    cluster = Cluster(names="ab", overrides={"repair.max_sessions": 1})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("b") as channel, channel.stream(REPAIR, timeout=None) as held:
            await held.send(ANOTHER_ROOT)
            assert await held.recv() == DIFFER
            assert "the most for one caller" in (await refusal(channel)).message
            parts = cluster.parts("a")
            placement = parts.local.shards.placement((await parts.local.shards.held())[0])
            assert placement is not None
            metadata = {**parts.members.metadata, call_metadata.FENCE: placement.fence.hex()}
            hop = await parts.repair.sessions.compare(parts.members.peers["b"], placement.shard, metadata)
            assert hop.end is HopEnd.EQUAL, hop.reason
        cluster.stop()


async def test_a_session_counts_in_the_memory_while_it_lasts(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("b", record("n/1"))
        memory = cluster.nodes["b"].parts.memory
        async with cluster.channel("b") as channel, channel.stream(REPAIR, timeout=5) as stream:
            await stream.send(ANOTHER_ROOT)
            assert await stream.recv() == DIFFER
            assert memory.by_use()["sessions"] == SESSION_BYTES
        await trio.testing.wait_all_tasks_blocked()
        assert "sessions" not in memory.by_use()
        cluster.stop()
