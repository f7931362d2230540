"""The nodes of one cluster that a client knows, and the tries of a call at one node after the other.

A call ends in an answer or in one ClientError, at its timeout at the latest. `retry_rules` decides what may
be tried again and `node_choice` where; this module has the loop, the clock and the pauses.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from gossipnode.client.calls.failures import named_error, summed_up, weight
from gossipnode.client.calls.node_choice import NodeChoice
from gossipnode.client.calls.retry_rules import CallKind, blames_node, may_try_again, try_seconds
from gossipnode.client.errors import ClientError
from gossipnode.client.transport.transport_protocol import Transport
from gossipnode.config.address import Address
from gossipnode.rpc import Method, RpcError
from gossipnode.rpc.client.retry import backoff_seconds
from gossipnode.rpc.method import Reply, Request

TRIES_PER_NODE_MAX = 5
"""How often one call asks the same node, at most."""

PAUSE_MIN_SECONDS = 0.1
PAUSE_MAX_SECONDS = 2.0
"""How long a call pauses after every node has failed. Doubles with each pause, within these limits."""


@dataclass(frozen=True, slots=True)
class PoolNode:
    """A node of a pool: its address, and the transport that calls it."""

    address: Address
    transport: Transport


class Try(NamedTuple):
    """One try of a call: at which node, and for how long."""

    number: int
    node: PoolNode
    seconds: float


class Pool:
    """The nodes that a client may ask."""

    def __init__(self, nodes: Sequence[PoolNode], timeout_seconds: float, rng: random.Random) -> None:
        """Ask `nodes`, each call for at most `timeout_seconds` over all its tries."""
        assert nodes, "a client knows one node at least: `given.addresses` refuses less"
        self.nodes = nodes
        self.timeout_seconds = timeout_seconds
        self.rng = rng
        self.choice = NodeChoice(len(nodes), rng)
        self._closed = False

    def close(self) -> None:
        """Begin no more tries."""
        self._closed = True

    def check_open(self) -> None:
        """Refuse to go on after `close`.

        Raises:
            ClientError: the client is closed.
        """
        if self._closed:
            raise ClientError("the client is closed: its `async with` block has ended")

    async def call(self, method: Method[Request, Reply], request: Request, kind: CallKind) -> Reply:
        """Make a unary call.

        Raises:
            ClientError: what became of it.
        """
        tries = Tries(self, kind)
        while True:
            one = await tries.next()
            try:
                reply = await one.node.transport.unary(method, request, timeout=one.seconds)
            except RpcError as error:
                tries.failed(one, error)
            else:
                self.choice.succeeded(one.number)
                return reply


class Tries:
    """The tries of one call, or of a query until it makes progress."""

    def __init__(self, pool: Pool, kind: CallKind, *, began: float | None = None) -> None:
        """The timeout of the call runs from now, or from the time `began`."""
        self._pool = pool
        self._kind = kind
        self._deadline = (anyio.current_time() if began is None else began) + pool.timeout_seconds
        self._left: list[int] = []
        """Nodes still to be asked before the next pause."""
        self._rounds = 0
        self._failures: dict[Address, RpcError] = {}

    async def next(self) -> Try:
        """The next try. Pauses first if every node has failed.

        Raises:
            ClientError: no try or no time is left. Sums up what the tries have met.
        """
        self._pool.check_open()
        if not self._left:
            await self._next_round()
        number = self._left.pop(0)
        seconds = self._seconds_left()
        if seconds <= 0 and self._failures:
            raise summed_up(self._failures)
        seconds = try_seconds(self._kind, max(seconds, 0.0), others_left=bool(self._left))
        # Rounded to the millisecond, because an error message shows it.
        return Try(number, self._pool.nodes[number], round(seconds, 3))

    def failed(self, one: Try, error: RpcError) -> None:
        """Take note of a failure.

        Raises:
            ClientError: the call must not be tried again.
        """
        if blames_node(error):
            self._pool.choice.failed(one.number, anyio.current_time())
        self._pool.check_open()
        if not may_try_again(self._kind, error):
            raise named_error(error, one.node.address) from None
        known = self._failures.get(one.node.address)
        if known is None or weight(error) >= weight(known):
            self._failures[one.node.address] = error

    async def _next_round(self) -> None:
        if self._rounds:
            pause = backoff_seconds(self._rounds, PAUSE_MIN_SECONDS, PAUSE_MAX_SECONDS, self._pool.rng)
            if self._rounds == TRIES_PER_NODE_MAX or pause >= self._seconds_left():
                raise summed_up(self._failures)
            await anyio.sleep(pause)
            self._pool.check_open()
        self._rounds += 1
        self._left = self._pool.choice.order(anyio.current_time())

    def _seconds_left(self) -> float:
        return self._deadline - anyio.current_time()
