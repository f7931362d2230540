"""One request to all replicas of a shard at once; its caller waits only for as many as it needs.

The other replicas may answer later, so a slow one delays nobody. A replica that lets a request time out is
not asked until it has answered again, as long as there are enough replicas without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import structlog
import trio

from gossipnode.concurrency.waker import Waker
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.cluster.tally import Tally
from gossipnode.core.cluster.targets import request_targets
from gossipnode.core.model.property import ShardId
from gossipnode.core.query.replica_messages import (
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    ReplicaReply,
    ReplicaRequest,
    WriteRecords,
)
from gossipnode.node.coordinate.clock_watch import ClockWatch
from gossipnode.node.local.clock import Clock
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS, RefusedByPeerError
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.refusals.request_errors import (
    OtherViewError,
    RecordLostError,
    ReplicasFullError,
    TooFewReplicasError,
)
from gossipnode.node.replica.replica import Replica
from gossipnode.observe.traces.request_spans import replica_spans
from gossipnode.observe.traces.round_spans import shard_facts
from gossipnode.observe.traces.traces import NO_TRACES, OpenSpan, Traces
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import RecordDamagedError, StoreError, StoreFullError

LATE_ANSWERS_SECONDS = 0.1
"""How long a request that has failed waits for the other replicas, so that its error tells what they did."""

Take = Callable[[str, ReplicaReply], str]
"""(replica, answer) -> why the answer does not count; "" when it counts."""


Missed = Callable[[str, ShardId], None]
"""(replica, shard): it did not take a write that another one took."""


def nobody_is_told(replica: str, shard: ShardId) -> None:
    """For those who repair nothing."""


class ReplicaCall:
    """One request under way."""

    def __init__(
        self, tally: Tally, take: Take, ended: Callable[[], None] | None, *, everyone: bool = False
    ) -> None:
        """`take` judges each answer; `ended` is called after the last one.

        With `everyone`, the request is decided only when every replica has answered or failed.
        """
        self.tally = tally
        self.other_view = ""
        """A replica that sees other members than we do."""
        self.full: set[str] = set()
        """Replicas that have no room left."""
        self.damaged: set[str] = set()
        """Replicas that hold a record damaged."""
        self.lacking: list[str] = []
        """Replicas that may lack the write: they were not there, did not answer in time, or refused it."""
        self.spans: dict[str, OpenSpan] = {}
        """Those of the replicas that have not answered, where traces are on."""
        self.under_way = 0
        """How many replicas have neither answered nor failed."""
        self._take = take
        self._ended = [] if ended is None else [ended]
        self._everyone = everyone
        self._decided = False
        self._waiting = Waker()

    def on_all_heard(self, ended: Callable[[], None]) -> None:
        """Have this called, too, after the last answer."""
        self._ended.append(ended)

    def answered(self, replica: str, reply: ReplicaReply) -> None:
        """A replica has answered."""
        if isinstance(reply, Refusal):
            self.failed(replica, reply.message, other_view=reply.other_view)
            return
        reason = self._take(replica, reply)
        if reason:
            self.failed(replica, reason)
            return
        self.tally.took(replica)
        self._one_less(replica, "")

    def failed(self, replica: str, reason: str, *, other_view: bool = False) -> None:
        """A replica has not done it, and will not."""
        self.tally.failed(replica, reason)
        if other_view:
            self.other_view = replica
        self._one_less(replica, reason)

    def _one_less(self, replica: str, problem: str) -> None:
        if self.spans:
            self.spans.pop(replica).end(problem)
        assert self.under_way > 0, "more answers than replicas that were asked"
        self.under_way -= 1
        enough = self.tally.reached and not self._everyone
        if not self._decided and (enough or self.tally.impossible or not self.under_way):
            self._decided = True
            self._waiting.wake()
        if not self.under_way:
            self._waiting.wake()
            for ended in self._ended:
                ended()

    async def decided(self) -> None:
        """Wait until enough replicas have answered, or can no longer.

        If they can no longer, the other replicas get a moment to answer, so that the error tells what they
        did.
        """
        while not self._decided:
            await self._waiting.sleep()
        if not self.tally.reached and not self.other_view:
            with trio.move_on_after(LATE_ANSWERS_SECONDS):
                while self.under_way:
                    await self._waiting.sleep()


class ReplicaCalls:
    """Sends requests to the replicas of a shard, this node's own copy among them."""

    def __init__(
        self,
        members: Members,
        own: Replica,
        clock: Clock,
        missed: Missed = nobody_is_told,
        traces: Traces = NO_TRACES,
    ) -> None:
        """Ask `own` here, and the other replicas over their links. Nothing is asked before `run`.

        `missed` is told of each replica that did not take a write that another one took. With `traces` that
        are on, the trace of a request tells which replicas it asked.
        """
        self._traces = traces
        self._missed = missed
        self._members = members
        self.clock_watch = ClockWatch(members.own_name, clock, lambda: len(members.peers))
        self.own = own
        self._nursery: trio.Nursery | None = None
        self._log = structlog.get_logger("gossipnode.coordinator")

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Let requests go on after their callers have an answer, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def ask(
        self,
        placement: Placement,
        level: AckLevel,
        request: ReplicaRequest,
        take: Take,
        *,
        verb: str,
        own_reply: ReplicaReply | None = None,
        ended: Callable[[], None] | None = None,
        everyone: bool = False,
    ) -> Tally:
        """Ask all replicas, and wait until `level` is reached.

        With `own_reply`, this node's own answer is known already, and the other replicas are asked only if it
        is not enough. With `everyone`, every replica that is asked is waited for, one timeout at most.

        Raises:
            TooFewReplicasError: `level` cannot be reached. What was written stays, and will spread.
            OtherViewError: the same, because replicas see other members.
            ReplicasFullError: the same, because the replicas that failed are full.
            RecordLostError: the same, because a record is damaged in the replicas that failed.
        """
        nursery = self._nursery
        if nursery is None:
            raise TooFewReplicasError("the node is stopping")
        tally = Tally(placement, level, reading=isinstance(request, ReadRecords))
        asked = ReplicaCall(tally, take, ended, everyone=everyone)
        targets = request_targets(
            placement, tally, self._members.standings(placement.holders, cleared=self.own.cleared)
        )
        asked.under_way = len(targets)
        self._watch(asked, targets, request)
        own = self._members.own_name
        if own_reply is not None and own in targets:
            targets.remove(own)
            asked.answered(own, own_reply)
            if tally.reached and not everyone:
                return tally
        for name in targets:
            if name == own:
                nursery.start_soon(self._ask_own, asked, request)
            else:
                self._ask_peer(asked, self._members.peers[name], request)
        if targets:
            await asked.decided()
        if tally.reached:
            return tally
        raise _too_few(asked, f"{placement.shard}: {tally.problem(verb)}")

    def _watch(self, asked: ReplicaCall, targets: Iterable[str], request: ReplicaRequest) -> None:
        """Have it told what becomes of a request at each replica, to those who need it."""
        if self._traces.on:
            does = "read" if isinstance(request, ReadRecords) else "write"
            asked.spans = replica_spans(f"replica {does}", targets, shard_facts(request.shard))
        if isinstance(request, WriteRecords):
            self._remember_who_misses(asked, request.shard)

    def _remember_who_misses(self, asked: ReplicaCall, shard: ShardId) -> None:
        """Have it told which replicas do not take a write: those left out, and those that will fail."""
        peers = self._members.peers
        asked.lacking += [name for name in asked.tally.failures if name in peers and not peers[name].foreign]
        asked.on_all_heard(partial(self._tell_missed, asked, shard))

    def _tell_missed(self, asked: ReplicaCall, shard: ShardId) -> None:
        if asked.tally.reached:  # what failed is owed to nobody
            for name in asked.lacking:
                self._missed(name, shard)

    async def _ask_own(self, asked: ReplicaCall, request: ReplicaRequest) -> None:
        own = self._members.own_name
        try:
            reply: RecordsRead | RecordsWritten | Refusal
            if isinstance(request, ReadRecords):
                reply = await self.own.read(request)
            else:
                (reply,) = await self.own.write([request])
        except StoreError as error:
            if isinstance(error, StoreFullError):
                asked.full.add(own)
            if isinstance(error, RecordDamagedError):
                asked.damaged.add(own)
            asked.failed(own, str(error))
        except Exception:  # noqa: BLE001 - a defect, logged with its traceback
            self._log.exception("own replica failed")
            asked.failed(own, "internal error")
        else:
            asked.answered(own, reply)

    def _ask_peer(self, asked: ReplicaCall, peer: Peer, request: ReplicaRequest) -> None:
        def told(answer: RecordsRead | RecordsWritten | RpcError) -> None:
            if isinstance(answer, RefusedByPeerError):
                peer.answered()
                if answer.status is Status.RESOURCE_EXHAUSTED:
                    asked.full.add(peer.name)
                if answer.status is Status.DATA_LOSS:
                    asked.damaged.add(peer.name)
                if answer.clock:
                    self.clock_watch.refused(peer.name, answer.clock)
                asked.lacking.append(peer.name)  # its disk may be full, or it sees other members
                asked.failed(peer.name, answer.message or str(answer), other_view=answer.other_view)
            elif isinstance(answer, RpcError):
                peer.request_failed(answer)
                asked.lacking.append(peer.name)
                asked.failed(peer.name, answer.message or str(answer))
            else:
                peer.answered()
                if isinstance(request, ReadRecords) and request.clock:
                    self.clock_watch.agreed(peer.name)
                asked.answered(peer.name, answer)

        try:
            peer.link.start(request, told, timeout=REPLICA_SECONDS)
        except RpcError as error:
            told(error)


def _too_few(asked: ReplicaCall, problem: str) -> TooFewReplicasError:
    """The error for a request that too few replicas have done."""
    tally = asked.tally
    if asked.other_view:
        return OtherViewError(problem, asked.other_view)
    if tally.failures and tally.failures <= asked.full:
        return ReplicasFullError(problem)
    if tally.failures and tally.failures <= asked.damaged and not tally.missing:
        return RecordLostError(problem, tally.acknowledged)
    return TooFewReplicasError(problem)
