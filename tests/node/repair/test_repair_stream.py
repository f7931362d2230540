"""A core session driven over a stream: which side waits, what bounds memory, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.lanes import UNWRITTEN_MAX_RECORDS, WRITE_BATCH_RECORDS
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PropertyAnswer,
    RootCompare,
    TreeRoot,
    TreeSlots,
    Unreadable,
)
from gossipnode.core.session.tree import SlotDigest
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.repair.repair_stream import REPAIR_BATCH_MESSAGES, REPAIR_CHANNEL_BATCHES, RepairStream
from gossipnode.node.repair.shard_store import ShardStore
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import StoreFullError
from gossipnode.store.memory import MemoryStore
from tests.node.repair.streams import FakeStream, Pipe, stream_pair
from tests.node.repair.tree_streams import tree_stream
from tests.node.support import make_local, memory_store
from tests.records import record

SHARD = ShardId("sw", 0)


def shard_store(store: MemoryStore, shard: ShardId | None = SHARD) -> ShardStore:
    """The store of a session. Without a shard it is that of a node that holds none."""

    members = ("b", "c") if shard is None else ("a", "b")
    return ShardStore(make_local(store, members=members), shard)


async def filled(*records: Record, **options: float) -> MemoryStore:
    store = memory_store()
    await store.write([(SHARD, one) for one in records])
    store.commit_seconds = options.get("commit_seconds", 0.0)
    return store


async def client_of(store: MemoryStore) -> TreeClient:
    return TreeClient(SHARD, 1, await store.tree(SHARD), page_leaves=16)


def client_stream(
    stream: FakeStream, session: TreeClient, store: MemoryStore, *, end_wait: float = math.inf
) -> RepairStream:
    return tree_stream(
        stream, session, shard_store(store), half_close=stream.half_close, end_wait_seconds=end_wait
    )


async def run_both(client_store: MemoryStore, server_store: MemoryStore, *, window: int) -> set[SessionEnd]:
    """Run both sides to their ends, over a stream with room for `window` messages in each direction."""
    ours, theirs = stream_pair(window)
    server = TreeServer({"sw": 1}, page_leaves=16)
    ends: set[SessionEnd] = set()

    async def serve() -> None:
        ends.add(await tree_stream(theirs, server, shard_store(server_store)).run())
        theirs.outbound.end()

    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            ends.add(await client_stream(ours, await client_of(client_store), client_store).run())
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("newer", ["server", "client", "mixed"])
async def test_256_differing_records_of_64_kb_never_wait_for_each_other(
    newer: str, autojump_clock: object
) -> None:
    """Rule 6 of the protocol: both sides have more to say than the streams hold."""
    here, there = [], []
    for i in range(256):
        old, new = record(f"n/{i}", k="x" * 65536, revision=1), record(f"n/{i}", k="y" * 65536, revision=2)
        newer_here = newer == "client" or (newer == "mixed" and i % 2 == 0)
        here.append(new if newer_here else old)
        there.append(old if newer_here else new)
    client_store, server_store = await filled(*here), await filled(*there)
    assert await run_both(client_store, server_store, window=1) == {SessionEnd.REPAIRED}
    held = await client_store.scan(SHARD, limit=1000)
    assert held == await server_store.scan(SHARD, limit=1000)
    assert {one.version.mod_revision for one in held} == {2}


async def test_slow_stores_on_both_sides_still_end_equal(autojump_clock: object) -> None:
    client_store = await filled(*(record(f"n/{i}") for i in range(40)), commit_seconds=3)
    server_store = await filled(*(record(f"n/{i}") for i in range(30, 70)), commit_seconds=7)
    assert await run_both(client_store, server_store, window=2) == {SessionEnd.REPAIRED}
    assert await client_store.tree(SHARD) == await server_store.tree(SHARD)


async def test_equal_trees_end_after_the_verdict() -> None:
    assert await run_both(await filled(record("n/1")), await filled(record("n/1")), window=1) == {
        SessionEnd.EQUAL
    }


async def test_the_reader_never_waits_for_the_writer(autojump_clock: object) -> None:
    """The client goes on reading from a server that itself reads nothing after the root."""
    back = Pipe(1)

    class Deaf(FakeStream):
        async def send_batch(self, messages: Sequence[object]) -> None:
            if not isinstance(messages[0], TreeRoot):
                await trio.sleep_forever()

    store = await filled()
    stream = Deaf(back, Pipe(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client_stream(stream, await client_of(store), store).run)
        with trio.fail_after(5):
            await back.put(RootCompare(tree_found=True, root_match=False))
            for i in range(500):
                await back.put(PropertyAnswer(AnswerTo.UNSPECIFIED, record(f"n/{i}")))
        await trio.testing.wait_all_tasks_blocked()
        assert (await store.counts(SHARD)).records == 500
        nursery.cancel_scope.cancel()


async def test_a_store_slower_than_the_peer_holds_the_reader_back(autojump_clock: object) -> None:
    """What is taken and not yet stored is bounded, whatever the peer sends."""
    back = Pipe(10_000)
    store = await filled(commit_seconds=60)
    stream = FakeStream(back, Pipe(100))
    await back.put(RootCompare(tree_found=True, root_match=False))
    await back.put(*(PropertyAnswer(AnswerTo.UNSPECIFIED, record(f"n/{i}")) for i in range(5000)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client_stream(stream, await client_of(store), store).run)
        await trio.sleep(59)
        batches = REPAIR_CHANNEL_BATCHES + 2
        most = UNWRITTEN_MAX_RECORDS + WRITE_BATCH_RECORDS + batches * REPAIR_BATCH_MESSAGES
        assert UNWRITTEN_MAX_RECORDS < back.taken <= most
        await trio.sleep(59)
        assert back.taken <= most + WRITE_BATCH_RECORDS
        await trio.sleep(3600)
        assert (await store.counts(SHARD)).records == 5000
        nursery.cancel_scope.cancel()


ERROR = RpcError(Status.NOT_FOUND, "no tree here")


@pytest.mark.parametrize(
    ("verdict", "end"),
    [
        (RootCompare(tree_found=False, root_match=False), SessionEnd.NO_TREE),
        (RootCompare(tree_found=True, root_match=True), SessionEnd.EQUAL),
    ],
)
async def test_an_error_after_the_session_is_over_is_ignored(verdict: RootCompare, end: SessionEnd) -> None:
    """A foreign server without a tree says so, and then ends the stream with an error."""
    stream, server = stream_pair(10)
    await server.outbound.put(verdict)
    server.outbound.end(ERROR)
    store = await filled(record("n/1"))
    assert await client_stream(stream, await client_of(store), store).run() is end


@pytest.mark.parametrize("said", [(), (RootCompare(tree_found=True, root_match=False),)])
async def test_an_error_before_the_session_is_over_ends_it(said: tuple[RootCompare, ...]) -> None:
    stream, server = stream_pair(10)
    await server.outbound.put(*said)
    server.outbound.end(ERROR)
    store = await filled(record("n/1"))
    with pytest.raises(RpcError) as caught:
        await client_stream(stream, await client_of(store), store).run()
    assert caught.value is ERROR


async def test_what_came_before_an_error_is_still_stored() -> None:
    """The peer may have died in the middle: what it had sent is durable all the same."""
    stream, server = stream_pair(1000)
    await server.outbound.put(RootCompare(tree_found=True, root_match=False))
    await server.outbound.put(*(PropertyAnswer(AnswerTo.MISSING, record(f"n/{i}")) for i in range(20)))
    store = await filled()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with pytest.raises(RpcError):
                await client_stream(stream, await client_of(store), store).run()

        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        server.outbound.end(ERROR)
    assert (await store.counts(SHARD)).records == 20


async def test_a_server_that_ends_early_breaks_the_protocol() -> None:
    stream, server = stream_pair(10)
    await server.outbound.put(RootCompare(tree_found=True, root_match=False))
    server.outbound.end()
    store = await filled(record("n/1"))
    with pytest.raises(SessionViolationError, match="before its last page"):
        await client_stream(stream, await client_of(store), store).run()


async def test_a_client_that_ends_early_breaks_the_protocol() -> None:
    client, stream = stream_pair(10)
    await client.outbound.put(TreeRoot("sw", 0, "another root"))
    store = await filled(record("n/1"))
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(SessionViolationError, match="expected tree_slots"):
                await tree_stream(stream, TreeServer({"sw": 1}, page_leaves=8), shard_store(store)).run()

        nursery.start_soon(serve)
        assert await client.inbound.take(1) == [RootCompare(tree_found=True, root_match=False)]
        await client.outbound.put(TreeSlots((SlotDigest(3, "ab"),)))
        client.outbound.end()


async def silent_server(server: FakeStream) -> None:
    await server.outbound.put(RootCompare(tree_found=True, root_match=False), DifferSummary(()))


async def test_a_server_silent_after_our_half_close_times_out(autojump_clock: object) -> None:
    stream, server = stream_pair(100)
    await silent_server(server)
    store = await filled(record("n/1"))
    with pytest.raises(TimeoutError, match="60 s"):
        await client_stream(stream, await client_of(store), store, end_wait=60).run()
    assert trio.current_time() == pytest.approx(60, abs=1)


async def test_a_slow_network_does_not_count_as_a_silent_server(autojump_clock: object) -> None:
    """The wait for the end begins when our half is closed, not when we have nothing more to add."""
    stream, server = stream_pair(100)
    send = stream.send_batch

    async def slow(messages: Sequence[object]) -> None:
        await trio.sleep(50)
        await send(messages)

    stream.send_batch = slow  # type: ignore[method-assign]
    store = await filled(*(record(f"n/{i}") for i in range(3)))
    mismatch = DifferSummary(())
    await server.outbound.put(RootCompare(tree_found=True, root_match=False), mismatch)

    async def end_after_ours() -> None:
        while not server.inbound.ended:
            # A record now and then puts the deadline off, although that does not run yet.
            await trio.sleep(10)
            await server.outbound.put(PropertyAnswer(AnswerTo.MISSING, record("n/late", revision=9)))
            if trio.current_time() > 40:
                break
        while not server.inbound.ended:
            await server.inbound.take(1)
        server.outbound.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_after_ours)
        end = await client_stream(stream, await client_of(store), store, end_wait=60).run()
    assert end is SessionEnd.REPAIRED
    assert trio.current_time() > 120


async def test_signs_of_progress_put_the_end_off(autojump_clock: object) -> None:
    stream, server = stream_pair(100)
    await silent_server(server)

    async def go_on() -> None:
        for i in range(5):
            await trio.sleep(50)
            await server.outbound.put(PropertyAnswer(AnswerTo.SYNC, record(f"n/late-{i}")))
        server.outbound.end()

    store = await filled()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        end = await client_stream(stream, await client_of(store), store, end_wait=60).run()
    assert end is SessionEnd.REPAIRED
    assert (await store.counts(SHARD)).records == 5


async def test_records_that_cannot_be_stored_are_signs_of_progress_too(autojump_clock: object) -> None:
    stream, server = stream_pair(100)
    await silent_server(server)

    async def go_on() -> None:
        for _ in range(5):
            await trio.sleep(50)
            await server.outbound.put(PropertyAnswer(AnswerTo.SYNC, Unreadable("too large")))
        server.outbound.end()

    store = await filled()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        end = await client_stream(stream, await client_of(store), store, end_wait=60).run()
    assert end is SessionEnd.REPAIRED


async def test_so_is_what_our_own_store_has_done(autojump_clock: object) -> None:
    """The server has said everything and is slow to end, while we still store what it sent."""
    stream, server = stream_pair(10_000)
    await silent_server(server)

    async def much_then_nothing() -> None:
        await trio.sleep(10)
        late = (PropertyAnswer(AnswerTo.SYNC, record(f"n/{i}")) for i in range(3 * WRITE_BATCH_RECORDS))
        await server.outbound.put(*late)
        await trio.sleep(140)
        server.outbound.end()

    store = await filled(commit_seconds=50)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(much_then_nothing)
        end = await client_stream(stream, await client_of(store), store, end_wait=60).run()
    assert end is SessionEnd.REPAIRED


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_failing_store_ends_the_session_with_its_own_error(side: str) -> None:
    ours, theirs = stream_pair(10)
    client_store, server_store = await filled(record("n/1")), await filled(record("n/2"))
    (client_store if side == "client" else server_store).set_full(True)
    caught: list[BaseException] = []

    async def run(stream: RepairStream, end: Pipe) -> None:
        try:
            await stream.run()
        except (StoreFullError, RpcError) as error:
            caught.append(error)
            end.end(RpcError(Status.RESOURCE_EXHAUSTED, "the other side failed"))
        else:
            end.end()

    async with trio.open_nursery() as nursery:
        server = tree_stream(theirs, TreeServer({"sw": 1}, page_leaves=8), shard_store(server_store))
        nursery.start_soon(run, server, theirs.outbound)
        await run(client_stream(ours, await client_of(client_store), client_store), ours.outbound)
    assert isinstance(caught[0], StoreFullError)


@pytest.mark.parametrize("after_seconds", [0.0, 0.5, 1.5, 2.5])
async def test_cancellation_leaves_nothing_behind(after_seconds: float, autojump_clock: object) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    ours, theirs = stream_pair(3)
    client_store = await filled(*(record(f"n/{i}") for i in range(40)), commit_seconds=1)
    server_store = await filled(*(record(f"n/{i}", k="w") for i in range(80)), commit_seconds=1)
    with trio.move_on_after(after_seconds) as scope:
        async with trio.open_nursery() as nursery:
            server = tree_stream(theirs, TreeServer({"sw": 1}, page_leaves=4), shard_store(server_store))
            nursery.start_soon(server.run)
            await client_stream(ours, await client_of(client_store), client_store).run()
    assert scope.cancelled_caught
    assert trio.lowlevel.current_statistics().tasks_living == before
    # No task reads or writes any more, and the stores serve as before.
    waiting = len(ours.outbound.messages), len(ours.inbound.messages)
    await trio.testing.wait_all_tasks_blocked()
    assert waiting == (len(ours.outbound.messages), len(ours.inbound.messages))
    await client_store.write([(SHARD, record("n/after"))])


async def test_a_tree_that_is_not_held_is_said_to_be_missing() -> None:
    client, stream = stream_pair(10)
    await client.outbound.put(TreeRoot("sw", 0, "root"))
    none = shard_store(memory_store(), None)
    end = await tree_stream(stream, TreeServer({"sw": 1}, page_leaves=8), none).run()
    assert end is SessionEnd.NO_TREE
    assert list(client.inbound.messages) == [RootCompare(tree_found=False, root_match=False)]
