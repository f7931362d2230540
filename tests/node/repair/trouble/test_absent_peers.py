"""A peer that is down or hangs costs the rounds of a node its patience once, and not each of them."""

from __future__ import annotations

import trio

from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.peers.absence import ABSENT_ASK_SECONDS, ABSENT_PAUSE_SECONDS
from gossipnode.node.repair.neighbours import PROPAGATION_SECONDS, Neighbours
from gossipnode.rpc import CallContext
from gossipnode.rpc.server import health
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.services import PROPAGATION
from tests.node.repair.two_nodes import MESSAGE, NodeA

NOT_THERE = f"it does not answer: asked for {ABSENT_ASK_SECONDS:g} s"


class Hanging:
    """Node b, which takes calls and answers none until it is woken."""

    def __init__(self) -> None:
        self.awake = False
        self.asked = 0

    async def take(self, asked: object, call: CallContext) -> banyandb.PropagationResponse:
        if not self.awake:
            await trio.sleep_forever()
        return banyandb.PropagationResponse()

    async def check(self, asked: object, call: CallContext) -> bool:
        self.asked += 1
        if not self.awake:
            await trio.sleep_forever()
        return True

    @property
    def handlers(self) -> dict[object, object]:
        return {PROPAGATION: self.take, health.CHECK: self.check}


async def seconds_of(peers: Neighbours, reason: str) -> float:
    """How long one try to hand a message on takes that ends for this reason."""
    began = trio.current_time()
    assert await peers.propagate("b", MESSAGE) == (reason, not reason)
    return round(trio.current_time() - began, 3)


async def test_a_peer_that_hangs_takes_the_full_patience_once(autojump_clock: object) -> None:
    node, b = NodeA(), Hanging()
    async with node.running(b.handlers) as peers:
        began = trio.current_time()
        assert "DEADLINE_EXCEEDED" in (await peers.propagate("b", MESSAGE))[0]
        assert round(trio.current_time() - began, 3) == PROPAGATION_SECONDS
        assert await seconds_of(peers, NOT_THERE) == ABSENT_ASK_SECONDS
        assert await seconds_of(peers, NOT_THERE) == 0
        hop = await peers.repair("b", MESSAGE)
        assert (hop.end, hop.reason) == (HopEnd.SKIPPED, NOT_THERE)
        await trio.sleep(ABSENT_PAUSE_SECONDS)
        assert await seconds_of(peers, NOT_THERE) == ABSENT_ASK_SECONDS
        assert b.asked == 2


async def test_rounds_of_many_shards_ask_a_peer_together(autojump_clock: object) -> None:
    node, b = NodeA(), Hanging()
    async with node.running(b.handlers) as peers:
        node.members.peers["b"].hangs()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(seconds_of, peers, NOT_THERE)
        assert round(trio.current_time() - began, 3) == ABSENT_ASK_SECONDS
        assert b.asked == 1


async def test_a_peer_that_is_there_again_is_found_after_the_pause(autojump_clock: object) -> None:
    node, b = NodeA(), Hanging()
    async with node.running(b.handlers) as peers:
        node.members.peers["b"].hangs()
        assert await seconds_of(peers, NOT_THERE) == ABSENT_ASK_SECONDS
        b.awake = True
        assert await seconds_of(peers, NOT_THERE) == 0
        await trio.sleep(ABSENT_PAUSE_SECONDS)
        assert await seconds_of(peers, "") == 0


async def test_a_peer_that_says_hello_is_not_waited_for(autojump_clock: object) -> None:
    node, b = NodeA(), Hanging()
    async with node.running(b.handlers) as peers:
        node.members.peers["b"].hangs()
        assert await seconds_of(peers, NOT_THERE) == ABSENT_ASK_SECONDS
        b.awake = True
        node.members.peers["b"].answered()
        assert await seconds_of(peers, "") == 0
        assert b.asked == 1


async def test_a_refused_connection_is_found_at_once(autojump_clock: object) -> None:
    node = NodeA()
    async with node.running() as peers:
        assert (await peers.repair("b", MESSAGE)).end is HopEnd.SKIPPED
        began = trio.current_time()
        problem, _ = await peers.propagate("b", MESSAGE)
        assert problem.startswith("UNAVAILABLE")
        assert trio.current_time() == began, "no further tries"
