"""Sessions that a node opens: each way to fail becomes the outcome of the hop that it deserves."""

from __future__ import annotations

from typing import Any

import pytest
import structlog.testing
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.messages import AnswerTo, DifferSummary, PropertyAnswer, RootCompare
from gossipnode.node.peers import call_metadata
from gossipnode.node.repair.session_runs import (
    SERVER_END_SECONDS,
    SERVER_SILENCE_SECONDS,
    VERDICT_END_SECONDS,
)
from gossipnode.rpc import RpcError, Server, ServerStream, Status
from gossipnode.wire.services import REPAIR
from tests.node.repair.two_nodes import (
    ADDRESSES,
    MESSAGE,
    SHARD,
    NodeA,
    hop_with,
    verdict_then,
)
from tests.node.support import make_local, memory_store
from tests.records import record


async def test_nobody_there_is_skipped_at_once(autojump_clock: object) -> None:
    hop = await hop_with(None)
    assert (hop.from_node, hop.to_node, hop.end) == ("a", "b", HopEnd.SKIPPED)
    assert "connection refused" in hop.reason
    assert trio.current_time() == 0


async def test_a_hop_dials_at_once_whatever_the_backoff_says(autojump_clock: object) -> None:
    node = NodeA()
    async with node.running() as peers:
        for _ in range(5):
            assert (await peers.repair("b", MESSAGE)).end is HopEnd.SKIPPED
        assert node.members.peers["b"].state == "down"

        async def serve(stream: ServerStream[Any, Any]) -> None:
            await stream.recv()
            await stream.send(RootCompare(tree_found=True, root_match=True))

        async with trio.open_nursery() as nursery:
            listeners = await node.network.listen(ADDRESSES["b"])
            await nursery.start(Server({REPAIR: serve}).serve, listeners)
            assert (await peers.repair("b", MESSAGE)).end is HopEnd.EQUAL
            assert trio.current_time() == 0
            assert node.members.peers["b"].state == "up"
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (RpcError(Status.RESOURCE_EXHAUSTED, "slots"), HopEnd.BUSY),
        (RpcError(Status.UNAVAILABLE, "stopping"), HopEnd.SKIPPED),
        (RpcError(Status.PERMISSION_DENIED, "no"), HopEnd.SKIPPED),
        (RpcError(Status.UNIMPLEMENTED, "what"), HopEnd.SKIPPED),
        (RpcError(Status.FAILED_PRECONDITION, "another incarnation"), HopEnd.SKIPPED),
        (RpcError(Status.INTERNAL, "broken"), HopEnd.FAILED),
    ],
)
async def test_a_refusal_before_the_verdict(error: RpcError, end: HopEnd) -> None:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        raise error

    hop = await hop_with(serve)
    assert hop.end is end
    assert error.message in hop.reason


@pytest.mark.parametrize("status", [Status.RESOURCE_EXHAUSTED, Status.UNAVAILABLE, Status.INTERNAL])
async def test_an_error_behind_the_verdict_is_a_failure(status: Status) -> None:
    hop = await hop_with(verdict_then(RpcError(status, "half way")))
    assert hop.end is HopEnd.FAILED
    assert "half way" in hop.reason


async def test_a_peer_that_breaks_the_protocol() -> None:
    hop = await hop_with(verdict_then(RootCompare(tree_found=True, root_match=True)))
    assert hop.end is HopEnd.FAILED
    assert hop.reason == "protocol: expected one root_compare, after tree_root"
    hop = await hop_with(verdict_then())
    assert hop.end is HopEnd.FAILED


async def test_a_silent_server_ends_at_the_limit_of_silence(autojump_clock: object) -> None:
    async def silent(stream: ServerStream[Any, Any]) -> None:
        await trio.sleep_forever()

    hop = await hop_with(silent)
    assert hop.end is HopEnd.FAILED
    assert hop.reason == "the server said nothing for 300 s"
    assert hop.seconds == pytest.approx(SERVER_SILENCE_SECONDS, abs=1)


async def test_a_server_that_never_ends_is_waited_for_so_long_only(autojump_clock: object) -> None:
    async def endless(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=False))
        await stream.send(DifferSummary(()))
        await trio.sleep_forever()

    hop = await hop_with(endless)
    assert hop.end is HopEnd.FAILED
    assert hop.reason == "the server did not end the session in 300 s"
    assert hop.seconds == pytest.approx(SERVER_END_SECONDS, abs=1)


async def test_a_verdict_counts_though_the_server_never_ends(autojump_clock: object) -> None:
    async def endless(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=True))
        await trio.sleep_forever()

    hop = await hop_with(endless)
    assert hop.end is HopEnd.EQUAL
    assert hop.seconds == pytest.approx(VERDICT_END_SECONDS, abs=1)


@pytest.mark.parametrize("found", [True, False])
async def test_a_server_is_let_to_end_the_session_after_its_verdict(
    found: bool, autojump_clock: object
) -> None:
    """To leave the stream would reset it, and many resets look like an attack."""
    ended: list[bool] = []

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=found, root_match=found))
        await trio.sleep(1)
        ended.append(await stream.recv() is None)

    hop = await hop_with(serve)
    assert hop.end is (HopEnd.EQUAL if found else HopEnd.SKIPPED)
    assert ended == [True]


async def test_what_the_peer_left_out_is_counted() -> None:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(DifferSummary(()))(stream)
        while await stream.recv_batch(16):
            pass
        stream.call.trailing_metadata[call_metadata.SKIPPED] = "3"

    hop = await hop_with(serve)
    assert (hop.end, hop.skipped, hop.reason) == (HopEnd.REPAIRED, 3, "left out: 3 at the peer")


@pytest.mark.parametrize("said", ["0", "-1", "1e3", "9" * 10])
async def test_nonsense_about_what_was_left_out_counts_for_nothing(said: str) -> None:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(DifferSummary(()))(stream)
        while await stream.recv_batch(16):
            pass
        stream.call.trailing_metadata[call_metadata.SKIPPED] = said

    hop = await hop_with(serve)
    assert (hop.end, hop.skipped, hop.reason) == (HopEnd.REPAIRED, 0, "")


async def test_a_record_that_cannot_be_taken_is_counted_and_ends_nothing() -> None:
    stranger = PropertyAnswer(AnswerTo.MISSING, record("n/1", group="other"))
    good = PropertyAnswer(AnswerTo.MISSING, record("n/2"))
    node = NodeA()

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(stranger, good, DifferSummary(()))(stream)
        while await stream.recv_batch(16):
            pass

    hop = await hop_with(serve, node)
    assert (hop.end, hop.received, hop.skipped) == (HopEnd.REPAIRED, 2, 1)
    assert hop.reason == "left out: 1 of another group or shard"
    assert (await node.local.store.counts(SHARD)).records == 1
    assert hop.bytes_sent > 0
    assert hop.bytes_received > 100


async def test_a_full_store_of_our_own_fails_the_hop() -> None:
    store = memory_store()
    store.set_full(True)

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await verdict_then(PropertyAnswer(AnswerTo.MISSING, record("n/1")))(stream)
        await trio.sleep_forever()

    hop = await hop_with(serve, NodeA(make_local(store)))
    assert hop.end is HopEnd.FAILED
    assert hop.reason.startswith("own store: no space left")


async def test_a_defect_becomes_the_outcome_internal() -> None:
    node = NodeA()

    async def broken(shard: ShardId, **_page: object) -> None:
        raise ZeroDivisionError("a defect")

    node.local.store.versions = broken  # type: ignore[method-assign,assignment]
    with structlog.testing.capture_logs() as logs:
        hop = await hop_with(None, node)
    assert (hop.end, hop.reason) == (HopEnd.FAILED, "internal")
    assert [entry["log_level"] for entry in logs] == ["error"]
