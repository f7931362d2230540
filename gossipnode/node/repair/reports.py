"""What holders report to the origins of their rounds, and origins tell replicas. Nobody waits for it."""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

import structlog
import trio

from gossipnode.core.ring.round import EndedWell, InSession, Report
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.origin import Origin
from gossipnode.rpc import Method, RetryPolicy, RpcError, Status
from gossipnode.wire.round_codec import encode_ended, encode_report
from gossipnode.wire.services import REPORT, ROUND_ENDED

Request = TypeVar("Request")

REPORT_SECONDS = 5.0
REPORT_ATTEMPTS = 3
REPORT_RETRY_MIN_SECONDS = 0.2
REPORT_RETRY_MAX_SECONDS = 2.0
"""One call of Report, and its retries."""

REPORT_QUEUE_MESSAGES = 4096
"""Reports that wait to be sent to one origin. Reports beyond are dropped: an origin copes with silence.

Signs of life use the first half of the queue only. The second half is left to reports of what happened.
"""

_REPORT_RETRY = RetryPolicy(
    statuses=frozenset([Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED]),
    attempts=REPORT_ATTEMPTS,
    min_seconds=REPORT_RETRY_MIN_SECONDS,
    max_seconds=REPORT_RETRY_MAX_SECONDS,
)


class Reports:
    """Takes reports and sends them, while `run` runs."""

    def __init__(self, members: Members, origin: Origin) -> None:
        """Reports of rounds that this node started go to `origin` at once."""
        self._members = members
        self._origin = origin
        # A queue for each origin: one that does not answer must not delay the reports to the other ones.
        self._queues: dict[str, trio.MemorySendChannel[Report | EndedWell]] = {}
        self._sending: trio.Nursery | None = None
        self._stopped = trio.Event()
        self._log = structlog.get_logger("gossipnode.ring")

    def tell(self, origin: str, report: Report) -> None:
        """Send a report to a round's origin, without waiting for it."""
        if origin == self._members.own_name:
            self._origin.report(report)
            return
        queue = self._queues.get(origin) or self._open_queue(origin)
        if queue is None:
            return
        if isinstance(report.then, InSession) and 2 * self.queued(origin) >= REPORT_QUEUE_MESSAGES:
            return
        try:
            queue.send_nowait(report)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._log.warning("report dropped", peer=origin, round=report.round)

    def tell_ended(self, replica: str, ended: EndedWell) -> None:
        """Tell a replica that a round of this node has ended well, without waiting for it.

        It is dropped before a report is: a replica that does not hear of it makes a round more.
        """
        queue = self._queues.get(replica) or self._open_queue(replica)
        if queue is not None and 2 * self.queued(replica) < REPORT_QUEUE_MESSAGES:
            with contextlib.suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
                queue.send_nowait(ended)

    def _open_queue(self, origin: str) -> trio.MemorySendChannel[Report | EndedWell] | None:
        if self._sending is None or self._stopped.is_set() or origin not in self._members.peers:
            return None
        sender, reports = trio.open_memory_channel[Report | EndedWell](REPORT_QUEUE_MESSAGES)
        self._queues[origin] = sender
        self._sending.start_soon(self._send_to, origin, reports)
        return sender

    def queued(self, origin: str) -> int:
        """How many reports wait for an origin."""
        queue = self._queues.get(origin)
        return 0 if queue is None else queue.statistics().current_buffer_used

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what `tell` was given, until `stop`, and then what is left."""
        async with trio.open_nursery() as nursery:
            self._sending = nursery
            task_status.started()
            try:
                await self._stopped.wait()
            finally:
                self._sending = None

    def stop(self) -> None:
        """Take no more reports; `run` ends once it has sent those that it has."""
        self._stopped.set()
        for sender in self._queues.values():
            sender.close()

    async def _send_to(self, origin: str, reports: trio.MemoryReceiveChannel[Report | EndedWell]) -> None:
        async with reports:
            async for report in reports:
                peer = self._members.peers.get(origin)
                if peer is not None:
                    await self._send(peer, report)

    async def _send(self, peer: Peer, report: Report | EndedWell) -> None:
        log = self._log.bind(peer=peer.name, round=report.round)
        try:
            if isinstance(report, EndedWell):
                await self._call(peer, ROUND_ENDED, encode_ended(report))
            else:
                await self._call(peer, REPORT, encode_report(report))
        except RpcError as error:
            peer.failed(error)
            if error.status is not Status.UNIMPLEMENTED:
                log.info("report not delivered", reason=str(error))
        except Exception:
            log.exception("sending a report failed")

    async def _call(self, peer: Peer, method: Method[Request, Any], message: Request) -> None:
        await peer.channel.unary(
            method,
            message,
            timeout=REPORT_SECONDS,
            metadata=self._members.metadata,
            dial_now=True,
            retry=_REPORT_RETRY,
        )
