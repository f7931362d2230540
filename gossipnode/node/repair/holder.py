"""The messages of rounds that this node holds, one at a time for each shard.

The holder of a message repairs with its successor, and then hands the message on. The origin of the round is
told the outcome of every hop, and of every message that is dropped. While a message waits or is held here,
its origin is told that we are alive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.fair_turns import FairTurns
from gossipnode.concurrency.shares import Caller
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.admission import Admission, Mailbox
from gossipnode.core.ring.foreign_turn import ForeignTurn, after_foreign_hop
from gossipnode.core.ring.round import Ended, Forwarded, Hop, InSession, NotNeeded, Report, Then
from gossipnode.core.ring.turn import (
    BUSY_RETRIES,
    EndRound,
    Forward,
    HolderTurn,
    HopEnd,
    RepairWith,
    RoundMessage,
)
from gossipnode.node.repair.session_slots import places_for
from gossipnode.observe.events import Events, HopEnded
from gossipnode.observe.traces.round_spans import round_facts, tell_hop
from gossipnode.observe.traces.traces import NO_TRACES, Traces

SIGN_OF_LIFE_SECONDS = 5.0
"""How often a node tells the origins of the messages it has that it is alive."""

BUSY_PAUSES_SECONDS = (0.4, 0.8, 30.0)
"""The longest pause before each time that a holder asks a busy successor again; half of it is the shortest.

A slot is often free again in a moment. If it is not, a healthy successor has sessions on slow disks; they end
during the last pause.
"""

assert len(BUSY_PAUSES_SECONDS) == BUSY_RETRIES


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a message that was handed on."""

    problem: str
    """Why the peer did not take it; "" if it did."""
    foreign: bool
    seen: Hop | bool = False
    """The hop of a foreign peer that took it; True if it made none and was given up; False if unknown."""


class RingPeers(Protocol):
    """What a holder needs of the other members."""

    async def repair(self, peer: str, message: RoundMessage) -> Hop:
        """One session with a peer. What goes wrong becomes the outcome of the hop."""
        ...

    async def hand_on(self, peer: str, message: RoundMessage) -> Handed:
        """Hand a message on. If a foreign peer took it, wait for its hop where that is seen."""
        ...

    def tell(self, origin: str, report: Report) -> None:
        """Send a report to a round's origin, without waiting for it."""
        ...


class Holder:
    """Holds one message for each shard. A newer one of the same origin takes the place of one that waits."""

    def __init__(
        self,
        own_name: str,
        peers: RingPeers,
        *,
        max_sessions: int,
        half_interval: Callable[[], float],
        rng: Random,
        events: Events | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        """`max_sessions` bounds the sessions that this node has with one peer at once, over all shards.

        While it has sessions with several, it has fewer with each of them, so that peers that hang leave
        places to the sessions with others.

        `half_interval` gives half of the seconds between two scheduled rounds. `events` is told of each hop,
        and `traces` of those of rounds that are traced.
        """
        self._own_name = own_name
        self._peers = peers
        places = places_for(max_sessions)
        self._turns = FairTurns(places, held=places, stalled_seconds=math.inf)
        self._half_interval = half_interval
        self._rng = rng
        self._events = events or Events()
        self._traces = traces
        self._mailbox = Mailbox()
        self._admission = Admission()
        self._busy_with: dict[int, tuple[RoundMessage, str]] = {}
        """Every message that is here, with the peer that is dealt with because of it, "" while it waits.

        By the identity of the message: two messages of foreign rounds, which have no ids, may be equal.
        """
        self._begun = ChangeEvent()
        self._running: set[ShardId] = set()
        self._idle = ChangeEvent()
        self._nursery: trio.Nursery | None = None
        self.refused = 0
        """How many messages were dropped by the rules of `core.ring.admission`."""
        self._log = structlog.get_logger("gossipnode.ring")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold messages until cancelled. The rounds held then end, and their origins are told why."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await self._show_life()
            finally:
                self.refuse_more()

    async def drain(self, grace_seconds: float) -> None:
        """Take no more messages, and wait for those that are held, up to `grace_seconds`."""
        self.refuse_more()
        with trio.move_on_after(grace_seconds):
            await self.wait_idle()

    async def wait_idle(self) -> None:
        """Wait until no message is held."""
        while self._running:
            await self._idle.wait()

    @property
    def accepting(self) -> bool:
        """Whether `offer` may be called."""
        return self._nursery is not None

    def offer(self, message: RoundMessage) -> None:
        """Take a checked message; it is held as soon as the shard is free."""
        nursery = self._nursery
        if nursery is None:
            self._end(message, "the node is stopping")
            return
        if self._admission.comes_again(message):
            self.refused += 1
            self._bound(message).info("message came again, and was dropped")
            return
        if self._is_not_needed(message):
            return
        message = replace(message)  # the sender may offer the same one again
        replaced = self._mailbox.put(message)
        if replaced is not None:
            self._end(replaced, f"overtaken at {self._own_name} by round {message.round}")
        self._busy_with[id(message)] = message, ""
        self._begun.notify()
        if message.shard not in self._running:
            self._running.add(message.shard)
            nursery.start_soon(self._run_shard, message.shard)

    def ended_well(self, shard: ShardId, origin: str) -> None:
        """A round of `origin` has left all replicas of a shard equal, of which this node is one."""
        self._admission.ended_well(shard, origin, now=trio.current_time())

    def _is_not_needed(self, message: RoundMessage) -> bool:
        """Whether a round need not be made; its origin is told so."""
        reason = self._admission.not_needed(
            message, now=trio.current_time(), half_interval=self._half_interval()
        )
        if reason:
            self._bound(message).info("round not needed", reason=reason)
            self._tell(message, (), NotNeeded(reason))
        return bool(reason)

    def refuse_more(self) -> None:
        """Hold no further message from now on. Those that wait are dropped."""
        self._nursery = None
        for shard in sorted(self._running):
            self._drop_waiting(shard)

    def _drop_waiting(self, shard: ShardId) -> None:
        while waiting := self._mailbox.take(shard):
            self._end(waiting, "the node is stopping")

    async def _run_shard(self, shard: ShardId) -> None:
        assert shard in self._running, shard
        try:
            while message := self._mailbox.take(shard):
                try:
                    # Another one may have ended well while this one waited.
                    if not self._is_not_needed(message):
                        await self._hold(message)
                finally:
                    del self._busy_with[id(message)]
        finally:
            # A message still waits only if this task was cancelled.
            self._drop_waiting(shard)
            self._running.remove(shard)
            if not self._running:
                assert not self._busy_with, self._busy_with
                self._idle.notify()

    async def _hold(self, message: RoundMessage) -> None:
        hops: list[Hop] = []
        try:
            then = await self._pass_on(message, hops)
        except Exception:  # noqa: BLE001 - a defect in one round must not end other rounds
            self._bound(message).exception("holding a message failed")
            then = Ended(f"internal error at {self._own_name}")
        except BaseException:
            # Cancelled. From the nursery of a session that comes as an exception group.
            self._tell(message, hops, Ended(f"holder {self._own_name} is stopping"))
            raise
        self._tell(message, hops, then)

    async def _pass_on(self, message: RoundMessage, hops: list[Hop]) -> Forwarded | Ended:
        """Repair with successors, each try added to `hops`, until one of them has the message."""
        turn = HolderTurn(message, self._own_name)
        step = turn.next_step()
        while not isinstance(step, EndRound):
            self._busy_with[id(message)] = message, step.peer
            if isinstance(step, Forward):
                then = await self._hand_on(step, hops)
                if then is not None:
                    return then
                step = turn.not_forwarded()
                continue
            hop = await self._repair(step, turn, message)
            step = turn.repaired(hop.end)
            if isinstance(step, RepairWith) and step.attempt:
                continue
            # A successor that was busy at every try counts as one that was left out.
            hops.append(replace(hop, end=HopEnd.SKIPPED) if hop.end is HopEnd.BUSY else hop)
        return Ended(step.reason)

    async def _hand_on(self, step: Forward, hops: list[Hop]) -> Forwarded | Ended | None:
        """Hand the message to the successor. None if this node has to go on with the one after it."""
        handed = await self._peers.hand_on(step.peer, step.message)
        if isinstance(handed.seen, Hop):
            hops.append(handed.seen)
            return after_foreign_hop(ForeignTurn(step.peer, step.message), handed.seen)
        if not handed.problem and not handed.seen:
            return Forwarded(step.peer, handed.foreign)
        reason = f"did not take the message: {handed.problem}"
        if not handed.problem:
            reason = "took the message, and opened no session with its successor"
        hops.append(Hop(self._own_name, step.peer, HopEnd.FAILED, reason))
        return None

    async def _repair(self, step: RepairWith, turn: HolderTurn, message: RoundMessage) -> Hop:
        if step.attempt:
            longest = BUSY_PAUSES_SECONDS[step.attempt - 1]
            await trio.sleep(self._rng.uniform(longest / 2, longest))
        log = self._bound(message).bind(hop=turn.count + 1, peer=step.peer)
        async with self._turns.hold(Caller(step.peer)):
            log.debug("hop started")
            hop = await self._traced_repair(step, turn.count + 1, message)
        log.info(
            "hop ended",
            outcome=hop.end.value,
            reason=hop.reason,
            sent=hop.sent,
            received=hop.received,
            skipped=hop.skipped,
            bytes_sent=hop.bytes_sent,
            bytes_received=hop.bytes_received,
            seconds=round(hop.seconds, 3),
        )
        return hop

    async def _traced_repair(self, step: RepairWith, hop_number: int, message: RoundMessage) -> Hop:
        facts = {**round_facts(message), "gossipnode.hop": hop_number, "gossipnode.peer": step.peer}
        with self._traces.follow("hop", facts, message.trace) as span:
            if span.traceparent:
                message = replace(message, trace=span.traceparent)
            hop = await self._peers.repair(step.peer, message)
            tell_hop(span, hop)
        return hop

    async def _show_life(self) -> None:
        """Tell origins that we are alive: a message may wait long for its shard, for a slot or for a peer."""
        while True:
            if not self._busy_with:
                await self._begun.wait()
            await trio.sleep(SIGN_OF_LIFE_SECONDS)
            for message, peer in list(self._busy_with.values()):
                self._tell(message, (), InSession(peer))

    def _tell(self, message: RoundMessage, hops: Sequence[Hop], then: Then) -> None:
        shard = message.shard
        for hop in hops:
            self._events.tell(
                HopEnded(message.round, shard.group, shard.shard, hop.to_node, hop.end.value, hop.reason)
            )
        report = Report(message.round, message.shard, self._own_name, message.count, tuple(hops), then)
        self._peers.tell(message.origin, report)

    def _end(self, message: RoundMessage, reason: str) -> None:
        self._busy_with.pop(id(message), None)
        self._tell(message, (), Ended(reason))

    def _bound(self, message: RoundMessage) -> structlog.stdlib.BoundLogger:
        bound: structlog.stdlib.BoundLogger = self._log.bind(
            round=message.round,
            group=message.shard.group,
            shard=message.shard.shard,
            hop=message.count,
            peer=message.origin,
        )
        return bound
