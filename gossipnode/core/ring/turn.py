"""The turn of a holder: which replica it repairs with, which one gets the message, and when a round ends.

A round's message visits the replicas of one shard in ring order. The replica that has it is the holder: it
repairs with its successor and hands the message on. With n replicas, 2n-3 successful hops first gather all
records in one replica and then spread them to the others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar, TypeAlias

from gossipnode.core.model.errors import InvalidRoundError
from gossipnode.core.model.property import ShardId

RING_MAX_NODES = 1024
"""Nodes that a message may name. Nodes that are named twice and nodes that we do not know count, too."""

BUSY_RETRIES = 3
"""How often a holder asks a successor again when all of its session slots are taken."""


class Cause(Enum):
    """Why a round was started."""

    SCHEDULED = "scheduled"
    """The schedule was due. A foreign round, which does not say its cause, counts as scheduled."""
    ASKED = "asked"
    """A client or an operator asked for it."""
    EVENT = "event"
    """Something happened that calls for repair, such as the return of a member."""


@dataclass(frozen=True, slots=True)
class RoundMessage:
    """The message of a round, checked against our own view of the members."""

    round: str
    """The id of the round. It is empty when a foreign peer passed the message on, because it drops the id."""
    shard: ShardId
    origin: str
    nodes: tuple[str, ...]
    """The replicas of the shard that the round visits, in ring order, none of them twice."""
    count: int
    """Successful hops so far."""
    cause: Cause
    trace: str = ""
    """What names the span of the round to those who record parts of it; see `observe.traces`."""

    @property
    def limit(self) -> int:
        """Successful hops that the round makes at most."""
        return hop_limit(len(self.nodes))


def hop_limit(nodes: int) -> int:
    """The hops of a round over `nodes` nodes: 2n-3, or none if there is one node.

    The first n-1 hops gather every record in the last node of the ring, and n-2 more spread them to the
    others.
    """
    return 2 * nodes - 3 if nodes > 1 else 0


def check_message(
    message: RoundMessage, *, own_name: str, members: Collection[str], replicas: Collection[str]
) -> RoundMessage:
    """Check a message that came from outside, and return it with only those nodes that may be in the round.

    These are the replicas of the shard, each named once. Our own view of the members and the replicas
    decides; nothing that the message claims is trusted.

    Raises:
        InvalidRoundError: the origin is no member, we are not among the nodes, or the count is out of range.
    """
    if len(message.nodes) > RING_MAX_NODES:
        raise InvalidRoundError(f"{len(message.nodes)} nodes: expected {RING_MAX_NODES} at most")
    if message.origin not in members:
        raise InvalidRoundError(f"origin {message.origin[:80]!r} is no member of this cluster")
    nodes = tuple(dict.fromkeys(name for name in message.nodes if name in replicas))
    if own_name not in nodes:
        raise InvalidRoundError(
            f"nodes of the round: {own_name!r} is not among those that hold {message.shard}"
        )
    if not 0 <= message.count <= max(0, hop_limit(len(nodes)) - 1):
        raise InvalidRoundError(
            f"current_propagation_count {message.count}: expected less than {hop_limit(len(nodes))} hops"
        )
    return replace(message, nodes=nodes)


class HopEnd(Enum):
    """How a holder's try with one successor ended."""

    EQUAL = "equal"
    """Both hold the same records."""
    REPAIRED = "repaired"
    """A session made them equal."""
    SKIPPED = "skipped"
    """No session began: the successor is down or unknown, it refused, or it has no tree of the shard."""
    FAILED = "failed"
    """A session began and broke."""
    BUSY = "busy"
    """All session slots of the successor were taken, so another try may succeed."""


@dataclass(frozen=True, slots=True)
class RepairWith:
    """Open a session with this successor. `attempt` is how many tries have found it busy before."""

    peer: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Hand the message to this successor, which is the next holder."""

    peer: str
    message: RoundMessage


@dataclass(frozen=True, slots=True)
class EndRound:
    """The round is over. `reason` is empty when its hops are used up."""

    NO_SUCCESSOR: ClassVar[str] = "no successor is left"
    """The reason when no successor took the message. The hops that failed say more."""

    reason: str


Step: TypeAlias = RepairWith | Forward | EndRound


class HolderTurn:
    """The turn of one holder. It tries its successors in ring order until one of them takes the message."""

    __slots__ = ("_attempt", "_message", "_successors")

    def __init__(self, message: RoundMessage, own_name: str) -> None:
        """Begin to hold a message that has passed `check_message`."""
        assert own_name in message.nodes
        assert len({*message.nodes}) == len(message.nodes), "a successor would come twice"
        assert 0 <= message.count <= message.limit
        self._message = message
        at = message.nodes.index(own_name)
        self._successors = list(reversed(message.nodes[at + 1 :] + message.nodes[:at]))
        self._attempt = 0

    @property
    def count(self) -> int:
        """Successful hops of the round so far."""
        return self._message.count

    def next_step(self) -> Step:
        """What to do now: repair with the next successor, or end the round."""
        if self._message.count >= self._message.limit:
            return EndRound("")
        if not self._successors:
            return EndRound(EndRound.NO_SUCCESSOR)
        return RepairWith(self._successors[-1], self._attempt)

    def repaired(self, end: HopEnd) -> Step:
        """Take how the try with the successor ended, and say what to do now."""
        assert self._successors, "nothing was tried"
        assert self._message.count < self._message.limit
        if end is HopEnd.BUSY and self._attempt < BUSY_RETRIES:
            self._attempt += 1
            return self.next_step()
        self._attempt = 0
        peer = self._successors.pop()
        if end not in (HopEnd.EQUAL, HopEnd.REPAIRED):
            return self.next_step()
        self._message = replace(self._message, count=self._message.count + 1)
        if self._message.count >= self._message.limit:
            return EndRound("")
        return Forward(peer, self._message)

    def not_forwarded(self) -> Step:
        """Go on when the successor was repaired but did not take the message."""
        return self.next_step()
