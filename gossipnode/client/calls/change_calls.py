"""The calls of a client about what becomes of records: watches, waits and explanations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import anyio

from gossipnode.client.calls.pool import Pool
from gossipnode.client.calls.requests import WatchOptions, explain_request, wait_request
from gossipnode.client.calls.retry_rules import CallKind
from gossipnode.client.calls.streamed import READ_AHEAD_BATCHES, Begun
from gossipnode.client.calls.watch_run import EventItem, WatchEvents, WatchRun
from gossipnode.client.transport.transport_protocol import Tasks
from gossipnode.client.values import given
from gossipnode.client.values.watched import (
    Explanation,
    Waited,
    WatchEvent,
    given_token,
    read_explanation,
    read_waited,
)
from gossipnode.core.query.criteria import Criteria
from gossipnode.wire import services

WAIT_PART_OF_TIMEOUT = 0.45
"""How much of the timeout of a call a wait for replicas takes: a try has half of it, see `retry_rules`."""


class ChangeCalls:
    """A part of `Client`."""

    def __init__(self, pool: Pool, tasks: Tasks) -> None:
        """Ask the nodes of `pool`; watches run in `tasks`."""
        self._pool = pool
        self._tasks = tasks

    def watch(
        self,
        group: str,
        name: str = "",
        ids: Sequence[str] = (),
        where: str | Criteria | None = None,
        since: str = "",
        ack: Literal["one", "quorum"] | None = None,
    ) -> WatchEvents:
        """What becomes of records: `async for event in client.watch("group")`.

        First the records as they are come, each as a `put`, then `ready`, then every change that the node
        asked learns, by write, repair or hand-off. With `since`, the token of an earlier event, only what
        came after it. At `ack` "quorum" only what a quorum of the replicas has is shown.

        If a node is lost, the watch goes on at another one. An event may then come twice, and versions that
        were overwritten meanwhile are left out, but the last version of no record is missed. What cannot be
        gone on from is told as `gap`.

        Raises:
            InvalidInputError: an argument is wrong. Raised by the call itself, not by the iteration.
        """
        options = WatchOptions(
            group=given.name(group),
            name=given.text("name", name),
            ids=given.texts("ids", ids),
            where=given.criteria(where),
            since=given_token(given.text("since", since)),
            ack=given.ack(ack),
        )
        return WatchEvents(partial(self._begin_watch, options))

    def _begin_watch(self, options: WatchOptions) -> Begun[WatchEvent]:
        self._pool.check_open()
        items_in, items_out = anyio.create_memory_object_stream[EventItem](READ_AHEAD_BATCHES)
        begun = Begun(items_out, anyio.CancelScope())
        self._tasks.start_soon(WatchRun(self._pool, options).run, items_in, begun.scope)
        return begun

    async def wait_applied(
        self,
        group: str,
        name: str,
        id: str,  # noqa: A002
        revision: int = 0,
    ) -> Waited:
        """Wait until every replica has the record, at least of this revision, within the client's timeout.

        With revision 0, what a quorum has now is waited for. Replicas that lag are named in the answer.

        Raises:
            NotFoundError: there is no such record.
        """
        seconds = self._pool.timeout_seconds * WAIT_PART_OF_TIMEOUT
        request = wait_request(given.entity(group, name, id), revision, seconds)
        return read_waited(await self._pool.call(services.WAIT, request, CallKind.READ))

    async def explain(
        self,
        group: str,
        name: str,
        id: str,  # noqa: A002
    ) -> Explanation:
        """What each replica holds of the record, how that came, and which version wins."""
        request = explain_request(given.entity(group, name, id))
        return read_explanation(await self._pool.call(services.EXPLAIN, request, CallKind.READ))
