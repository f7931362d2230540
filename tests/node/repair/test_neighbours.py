"""What a holder asks of its neighbours: whatever goes wrong with one becomes an answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import trio

from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.messages import RootCompare
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.services import PROPAGATION, REPAIR
from tests.node.repair.two_nodes import MESSAGE, NodeA


async def test_a_name_that_is_no_member_is_skipped() -> None:
    node = NodeA()
    async with node.running() as peers:
        hop = await peers.repair("mallory", MESSAGE)
        assert (hop.end, hop.reason) == (HopEnd.SKIPPED, "no member of this cluster")
        assert await peers.propagate("mallory", MESSAGE) == ("no member of this cluster", False)


async def test_the_message_crosses_with_its_round_and_cause() -> None:
    taken: list[tuple[banyandb.PropagationRequest, CallContext]] = []

    async def take(asked: banyandb.PropagationRequest, call: CallContext) -> banyandb.PropagationResponse:
        taken.append((asked, call))
        call.trailing_metadata[call_metadata.NODE] = "b"
        return banyandb.PropagationResponse()

    node = NodeA()
    async with node.running({PROPAGATION: take}) as peers:
        assert await peers.propagate("b", MESSAGE) == ("", False)
    ((asked, call),) = taken
    assert asked.context.nodes == ["a", "b"]
    assert (asked.context.origin_node, asked.context.current_propagation_count) == ("a", 0)
    assert asked.context.max_propagation_count == 1
    assert (asked.group, asked.shard_id) == ("sw", 0)
    assert call.metadata[call_metadata.ROUND] == "r1"
    assert call.metadata[call_metadata.CAUSE] == "asked"
    assert call.metadata[call_metadata.CLUSTER] == "main"


async def test_a_peer_that_does_not_say_its_name_is_foreign() -> None:
    async def take(asked: object, call: object) -> banyandb.PropagationResponse:
        return banyandb.PropagationResponse()

    node = NodeA()
    async with node.running({PROPAGATION: take}) as peers:
        assert await peers.propagate("b", MESSAGE) == ("", True)


async def test_a_round_whose_id_a_foreign_peer_lost_goes_on_without_one() -> None:
    """There is no metadata without a value: an empty id is none at all."""
    heard: list[object] = []

    async def serve(stream: ServerStream[Any, Any]) -> None:
        heard.append(stream.call.metadata.get(call_metadata.ROUND))
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=True))

    async def take(asked: object, call: CallContext) -> banyandb.PropagationResponse:
        heard.append(call.metadata.get(call_metadata.ROUND))
        return banyandb.PropagationResponse()

    nameless = replace(MESSAGE, round="")
    node = NodeA()
    async with node.running({REPAIR: serve, PROPAGATION: take}) as peers:
        assert (await peers.repair("b", nameless)).end is HopEnd.EQUAL
        assert await peers.propagate("b", nameless) == ("", True)
    assert heard == [None, None]


async def test_unavailable_is_tried_five_times_in_all(autojump_clock: object) -> None:
    times: list[float] = []

    async def unavailable(asked: object, call: object) -> None:
        times.append(trio.current_time())
        raise RpcError(Status.UNAVAILABLE, "not now")

    node = NodeA()
    async with node.running({PROPAGATION: unavailable}) as peers:
        problem, foreign = await peers.propagate("b", MESSAGE)
    assert (problem, foreign) == ("UNAVAILABLE: not now", False)
    pauses = [b - a for a, b in pairwise(times)]
    assert len(pauses) == 4
    assert all(0.8 * wait <= pause <= 1.2 * wait for wait, pause in zip((0.5, 1, 2, 4), pauses, strict=True))


async def test_another_refusal_is_not_tried_again(autojump_clock: object) -> None:
    calls: list[object] = []

    async def refuse(asked: object, call: object) -> None:
        calls.append(asked)
        raise RpcError(Status.NOT_FOUND, "no such shard")

    node = NodeA()
    async with node.running({PROPAGATION: refuse}) as peers:
        assert (await peers.propagate("b", MESSAGE))[0] == "NOT_FOUND: no such shard"
    assert len(calls) == 1
