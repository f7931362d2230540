"""Calls that come at once begin in many turns of the loop, whoever sends them, so that others get theirs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import trio

from gossipnode.concurrency.loop_turns import TURN_BYTES
from gossipnode.rpc import Channel
from gossipnode.wire import services
from tests.rpc.methods import FLOW, UNARY
from tests.rpc.wired import wired

CALLS = 200
CHEAP = replace(FLOW, path="/test.Test/Cheap", bytes_of_one=8)
LARGE = bytes(8 * 1024)


class Turns(trio.abc.Instrument):
    """Counts the handlers that begin, and messages that they take, in each turn of the loop."""

    def __init__(self) -> None:
        self.now = 0
        self.begun: Counter[int] = Counter()

    def before_io_wait(self, timeout: float) -> None:
        self.now += 1

    async def unary(self, request: bytes, call: Any) -> bytes:
        self.begun[self.now] += 1
        return b""

    async def flow(self, stream: Any) -> None:
        while await stream.recv_batch(1):
            self.begun[self.now] += 1


async def many(turns: Turns, channel: Channel, method: Any) -> None:
    async def unary(method: Any) -> None:
        await channel.unary(method, LARGE, timeout=60)

    async def flow(method: Any) -> None:
        async with channel.stream(method, timeout=60) as stream:
            await stream.send(LARGE)
            await stream.half_close()
            await stream.recv()

    trio.lowlevel.add_instrument(turns)
    async with trio.open_nursery() as nursery:
        for _ in range(CALLS):
            nursery.start_soon(unary if method is UNARY else flow, method)
    trio.lowlevel.remove_instrument(turns)


@pytest.mark.parametrize("method", [UNARY, FLOW], ids=["unary", "stream"])
async def test_large_messages_of_many_calls_are_taken_a_few_in_a_turn(method: Any) -> None:
    turns = Turns()
    async with wired({UNARY: turns.unary, FLOW: turns.flow}) as wire, wire.channel() as channel:
        await many(turns, channel, method)
    assert sum(turns.begun.values()) == CALLS
    # Those that had their turn go on in the next one, together with one that came in between.
    assert max(turns.begun.values()) <= 2 * (TURN_BYTES // len(LARGE) + 1)


async def test_messages_that_are_cheap_to_decode_come_in_fewer_turns() -> None:
    turns: dict[str, Turns] = {}
    for method in (FLOW, CHEAP):
        counted = turns[method.path] = Turns()
        async with wired({method: counted.flow}) as wire, wire.channel() as channel:
            await many(counted, channel, method)
    assert len(turns[CHEAP.path].begun) * 1.5 < len(turns[FLOW.path].begun)


def test_what_members_send_each_other_is_cheap_to_decode() -> None:
    assert services.REPLICA_EXCHANGE.bytes_of_one == 8
    assert services.NODE_APPLY.bytes_of_one == services.REPAIR.bytes_of_one == 1
