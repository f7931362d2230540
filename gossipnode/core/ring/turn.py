"""The ring: who holds the message of a round next, how often it may move, and who is left out.

A round's message visits the replicas of one shard in ring order. Its holder repairs with its successor and
hands the message on; 2n-3 successful hops first gather all records in one replica and then spread them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from gossipnode.core.model.errors import InvalidRoundError
from gossipnode.core.model.property import ShardId

RING_MAX_NODES = 1024
"""Nodes that a propagation message may name, doubles and strangers included."""


BUSY_RETRIES = 3
"""How often a holder asks a successor again that has all its session slots taken."""


class Cause(Enum):
    """Why a round was started."""

    SCHEDULED = "scheduled"
    """Also what a foreign round counts as."""
    ASKED = "asked"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class RoundMessage:
    """The message of a round, checked against our own view of the members."""

    round: str
    """The round's id among own nodes; empty when a foreign peer, which does not know it, passed it on."""
    shard: ShardId
    origin: str
    nodes: tuple[str, ...]
    """Distinct replicas of the shard, in ring order."""
    count: int
    """Successful hops so far."""
    cause: Cause

    @property
    def limit(self) -> int:
        """Successful hops that the round makes at most."""
        return hop_limit(len(self.nodes))


def hop_limit(nodes: int) -> int:
    """2n-3 hops: n-1 gather every record in the last node, n-2 spread them to the others. None alone."""
    return 2 * nodes - 3 if nodes > 1 else 0


def check_message(
    message: RoundMessage, *, own_name: str, members: Collection[str], replicas: Collection[str]
) -> RoundMessage:
    """The message with its nodes cut down to distinct replicas of the shard.

    A name counts only if our own membership knows it; nothing else in the message is trusted.

    Raises:
        InvalidRoundError: the origin is no member, we are no replica, or the count is out of range.
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
    REPAIRED = "repaired"
    SKIPPED = "skipped"
    """No session began: down, unknown, refused, or without a tree."""
    FAILED = "failed"
    """A session began and broke."""
    BUSY = "busy"
    """All its session slots were taken: worth another try."""


@dataclass(frozen=True, slots=True)
class RepairWith:
    """Open a session with this successor. `attempt` counts from 0 the tries that found it busy."""

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

    reason: str


Step: TypeAlias = RepairWith | Forward | EndRound


class HolderTurn:
    """The turn of one holder: it tries its successors in ring order until one can take the message."""

    __slots__ = ("_attempt", "_message", "_successors")

    def __init__(self, message: RoundMessage, own_name: str) -> None:
        """Begin to hold a checked message."""
        self._message = message
        at = message.nodes.index(own_name)
        self._successors = list(reversed(message.nodes[at + 1 :] + message.nodes[:at]))
        self._attempt = 0

    @property
    def count(self) -> int:
        """Successful hops of the round so far."""
        return self._message.count

    def next_step(self) -> Step:
        """What to do now: repair with the successor, or end."""
        if self._message.count >= self._message.limit:
            return EndRound("")
        if not self._successors:
            return EndRound("no successor is left")
        return RepairWith(self._successors[-1], self._attempt)

    def repaired(self, end: HopEnd) -> Step:
        """Take how the try with the successor ended."""
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
        """The successor took its records but not the message: go on with the one after it."""
        return self.next_step()
