"""What holders report to the origins of their rounds, and origins tell replicas. Nobody waits for it."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

import structlog
import trio

from gossipnode.core.ring.round import EndedWell, InSession, Report
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.origin import Origin
from gossipnode.rpc import Method, RetryPolicy, RpcError, Status
from gossipnode.wire.bounds.message_bounds import SIGNS_MAX
from gossipnode.wire.round_codec import encode_alive, encode_ended, encode_report
from gossipnode.wire.services import ALIVE, REPORT, ROUND_ENDED

Request = TypeVar("Request")

REPORT_SECONDS = 5.0
REPORT_ATTEMPTS = 3
REPORT_RETRY_MIN_SECONDS = 0.2
REPORT_RETRY_MAX_SECONDS = 2.0
"""One call of Report, and its retries."""

REPORT_QUEUE_MESSAGES = 4096
"""Reports that wait to be sent to one origin. Reports beyond are dropped: an origin copes with silence.

What replicas are told of rounds that ended well uses the first half of the queue only.
"""

REPORT_LANES = 16
"""Calls to one origin that are under way at once: over a long way each takes a while.

A round has one lane, so that its reports go out in order.
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
        self._queues: dict[str, list[trio.MemorySendChannel[Report | EndedWell]]] = {}
        # Signs of life have queues of their own, and one call takes all that wait: reports overtake them.
        self._signs: dict[str, trio.MemorySendChannel[Report]] = {}
        self._sending: trio.Nursery | None = None
        self._stopped = trio.Event()
        self._log = structlog.get_logger("gossipnode.ring")
        self._told = ToldStates(self._log)

    def tell(self, origin: str, report: Report) -> None:
        """Send a report to a round's origin, without waiting for it."""
        if origin == self._members.own_name:
            self._origin.report(report)
            return
        if origin not in self._queues and not self._open_queues(origin):
            return
        if isinstance(report.then, InSession):
            with contextlib.suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
                self._signs[origin].send_nowait(report)
        elif not self._queue(origin, report, REPORT_QUEUE_MESSAGES):
            self._log.warning("report dropped", peer=origin, round=report.round)

    def tell_ended(self, replica: str, ended: EndedWell) -> None:
        """Tell a replica that a round of this node has ended well, without waiting for it.

        It is dropped before a report is: a replica that does not hear of it makes a round more.
        """
        if replica in self._queues or self._open_queues(replica):
            self._queue(replica, ended, REPORT_QUEUE_MESSAGES // 2)

    def _queue(self, origin: str, told: Report | EndedWell, queued_max: int) -> bool:
        """Queue in the lane of the round; gives whether there was room."""
        if self.queued(origin) >= queued_max:
            return False
        lane = self._queues[origin][zlib.crc32(told.round.encode()) % REPORT_LANES]
        try:
            lane.send_nowait(told)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return False
        return True

    def _open_queues(self, origin: str) -> bool:
        if self._sending is None or self._stopped.is_set() or origin not in self._members.peers:
            return False
        lanes = self._queues[origin] = []
        for _ in range(REPORT_LANES):
            sender, reports = trio.open_memory_channel[Report | EndedWell](REPORT_QUEUE_MESSAGES)
            lanes.append(sender)
            self._sending.start_soon(self._send_to, origin, reports)
        self._signs[origin], signs = trio.open_memory_channel[Report](SIGNS_MAX)
        self._sending.start_soon(self._send_signs, origin, signs)
        return True

    def queued(self, origin: str) -> int:
        """How many reports wait for an origin."""
        return sum(lane.statistics().current_buffer_used for lane in self._queues.get(origin, ()))

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
        for lanes in self._queues.values():
            for lane in lanes:
                lane.close()
        for signs in self._signs.values():
            signs.close()

    async def _send_to(self, origin: str, reports: trio.MemoryReceiveChannel[Report | EndedWell]) -> None:
        async with reports:
            async for report in reports:
                peer = self._members.peers.get(origin)
                if peer is not None:
                    await self._send(peer, report)

    async def _send_signs(self, origin: str, signs: trio.MemoryReceiveChannel[Report]) -> None:
        """Send one sign of life for all rounds of an origin that are here, and then the next one."""
        async with signs:
            async for sign in signs:
                batch = [sign]
                with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
                    while len(batch) < SIGNS_MAX:
                        batch.append(signs.receive_nowait())
                # After a call that took long, the same message may have waited several times.
                latest = {(each.round, each.shard, each.count): each for each in batch}
                peer = self._members.peers.get(origin)
                if peer is not None:
                    await self._send(peer, list(latest.values()))

    async def _send(self, peer: Peer, told: Report | EndedWell | Sequence[Report]) -> None:
        rounds = [told.round] if isinstance(told, Report | EndedWell) else [each.round for each in told]
        about: dict[str, Any] = {"peer": peer.name, "round": " ".join(dict.fromkeys(rounds))}
        try:
            if isinstance(told, EndedWell):
                await self._call(peer, ROUND_ENDED, encode_ended(told))
            elif isinstance(told, Report):
                await self._call(peer, REPORT, encode_report(told))
            else:
                await self._call(peer, ALIVE, encode_alive(self._members.own_name, told))
        except RpcError as error:
            peer.failed(error)
            if error.status is not Status.UNIMPLEMENTED:
                self._told.tell(peer.name, "report not delivered", reason=str(error), **about)
        except Exception:  # noqa: BLE001 - a defect, logged with its traceback
            self._log.exception("sending a report failed", **about)
        else:
            self._told.is_over(peer.name)

    async def _call(self, peer: Peer, method: Method[Request, Any], message: Request) -> None:
        await peer.channel.unary(
            method,
            message,
            timeout=REPORT_SECONDS,
            metadata=self._members.metadata,
            dial_now=True,
            retry=_REPORT_RETRY,
        )
