"""A query while it runs: a task takes the answers, and goes on at another node when one is lost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from gossipnode.client.calls.pool import TRIES_PER_NODE_MAX, Pool, Tries, Try
from gossipnode.client.calls.requests import QueryOptions, query_request
from gossipnode.client.calls.retry_rules import CallKind
from gossipnode.client.calls.streamed import Streamed, fill
from gossipnode.client.errors import ClientError, FailedError, InvalidRequestError
from gossipnode.client.values.results import Property, read_property
from gossipnode.core.model.property import Entity
from gossipnode.core.query.search import QUERY_MAX_RECORDS
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services

Item: TypeAlias = list[Property] | ClientError | None
"""Some records, or the error that ended the query, or None when the query has ended without one."""


class Records(Streamed[Property]):
    """The records of a query, in its order. Iterate over it once, in one task.

    A query that is left early ends when this object is garbage-collected, or when `aclose` is called.
    """

    what = "query"


@dataclass(slots=True)
class QueryRun:
    """The background task: asks one node, hands out the answers, and asks another when that one is lost."""

    pool: Pool
    options: QueryOptions
    left: int | None
    """Records still wanted; None for all."""
    _after: Entity | None = field(init=False)
    _resumed: bool = field(init=False, default=False)
    _heard: bool = field(init=False, default=False)
    """Whether the node that was asked last has answered, even if without any record."""
    _waiting_since: float = field(init=False, default=0.0)
    """When the wait for the next answer began."""
    _restarts: int = field(init=False, default=0)
    """How often a node was lost after it had answered, since the last record."""

    def __post_init__(self) -> None:
        self._after = self.options.after

    async def run(self, items: MemoryObjectSendStream[Item], scope: anyio.CancelScope) -> None:
        """Run to the end, or until the reader has left and cancels `scope`."""
        await fill(items, scope, partial(self._run, items))

    async def _run(self, items: MemoryObjectSendStream[Item]) -> None:
        tries = Tries(self.pool, CallKind.READ)
        while self.left != 0:
            one = await tries.next()
            self._heard = False
            try:
                if not await self._ask(one, items):
                    return
                tries = Tries(self.pool, CallKind.READ)
            except RpcError as error:
                if self._heard and self._restarts < TRIES_PER_NODE_MAX:
                    self._restarts += 1
                    tries = Tries(self.pool, CallKind.READ, began=self._waiting_since)
                self._failed(tries, one, error)

    def _failed(self, tries: Tries, one: Try, error: RpcError) -> None:
        try:
            tries.failed(one, error)
        except InvalidRequestError as refused:
            if not self._resumed or self._after is None:
                raise
            # The reader's own request was good, as an earlier answer shows. What the node refuses is the
            # record after which we wanted to go on: it has been deleted since.
            behind = self._after.text
            raise FailedError(f"the query broke off behind {behind} and cannot go on: {refused}") from None

    async def _ask(self, one: Try, items: MemoryObjectSendStream[Item]) -> bool:
        """Hand out all that one node answers. Returns whether more may match than one request can ask for."""
        wanted = QUERY_MAX_RECORDS if self.left is None else min(self.left, QUERY_MAX_RECORDS)
        request = query_request(replace(self.options, limit=wanted, after=self._after))
        taken = 0
        with anyio.CancelScope(deadline=anyio.current_time() + one.seconds) as silence:
            async with one.node.transport.stream(services.NODE_QUERY, request) as next_answer:
                while (answer := await next_answer()) is not None:
                    # Time runs while we wait for the node, but not while the node waits for the reader.
                    silence.deadline = math.inf
                    self._heard = True
                    page = [read_property(record) for record in answer.records[: wanted - taken]]
                    if page and not silence.cancel_called:
                        taken += len(page)
                        await self._hand_out(page, items)
                    self._waiting_since = anyio.current_time()
                    silence.deadline = self._waiting_since + one.seconds
        if silence.cancelled_caught:
            raise RpcError(Status.DEADLINE_EXCEEDED, f"sent nothing for {one.seconds:g} s")
        self.pool.choice.succeeded(one.number)
        return taken == wanted

    async def _hand_out(self, page: list[Property], items: MemoryObjectSendStream[Item]) -> None:
        last = page[-1]
        self._after, self._resumed, self._restarts = Entity(last.group, last.name, last.id), True, 0
        if self.left is not None:
            self.left -= len(page)
            assert self.left >= 0, "a request asks for no more than is left, and a page is cut to that"
        await items.send(page)
