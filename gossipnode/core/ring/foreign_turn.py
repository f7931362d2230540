"""The turn of a foreign holder, which reports nothing: the own node that it meets sees what becomes of it.

The last own holder hands the message to a foreign one. It tells the own node after that one in the ring, the
witness, what to look out for, and asks it afterwards: did the foreign holder open a session, and how did that
end? A foreign peer may drop a message that it has taken. If it makes no hop in time, it is given up: the last
own holder goes on with the next replica. From then on the witness keeps the foreign holder from doing the
same work: a session that comes late waits until our own is over, and a message that comes late is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, replace

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Ended, Forwarded, Hop
from gossipnode.core.ring.turn import RoundMessage

FOREIGN_BEGINS_SECONDS = 15.0
"""How long a foreign holder may take from the message to the session with its successor."""

UNSEEN_HOLDER_SECONDS = 60.0
"""How long an origin waits for the next report when nobody sees the turn of a foreign holder."""

WATCHED_MAX_SHARDS = 4096
"""Shards of which a witness looks out for a foreign holder. Beyond, the one that it began with first goes."""


@dataclass(frozen=True, slots=True)
class ForeignTurn:
    """What a foreign holder was handed."""

    holder: str
    message: RoundMessage


@dataclass(slots=True)
class Watched:
    """What a witness knows of one turn."""

    turn: ForeignTurn
    begins_until: float
    """When its session must have been opened, in seconds of any clock that only goes forward."""
    begun: bool = False
    """Whether the foreign holder has opened its session."""
    hop: Hop | None = None
    """How the session ended, once it has."""
    given_up: bool = False
    """Whether the last own holder goes on instead."""
    gone_on: bool = False
    """Whether that one has had its session with the witness: a late foreign one need wait no longer."""
    passed_on: bool = False
    """Whether it has passed the message on to the witness without a session."""
    replaced: bool = False
    """Whether another turn has taken its place, so that nothing more will be known of this one."""

    @property
    def decided(self) -> bool:
        """Whether the one who asks can be answered."""
        return self.hop is not None or self.given_up or self.replaced or self.passed_on


def witnesses(message: RoundMessage, holder: str, foreign: Collection[str]) -> tuple[str, ...]:
    """The own nodes that a foreign holder may meet next, in ring order. The first one up is the witness.

    With several foreign nodes in the ring nobody can tell which of them opens a session.
    """
    if sum(name in foreign for name in message.nodes) != 1:
        return ()
    at = message.nodes.index(holder)
    return message.nodes[at + 1 :] + message.nodes[:at]


def after_foreign_hop(turn: ForeignTurn, hop: Hop) -> Forwarded | Ended:
    """What follows from the hop of a foreign holder. After a hop that failed it goes on by itself, unseen."""
    if not hop.successful:
        return Forwarded(turn.holder, foreign=True)
    if turn.message.count + 1 >= turn.message.limit:
        return Ended("")
    return Forwarded(hop.to_node, foreign=False)


class ForeignTurns:
    """The turns that a node is the witness of: of each shard the last one."""

    __slots__ = ("_watched",)

    def __init__(self) -> None:
        """Start without any."""
        self._watched: OrderedDict[ShardId, Watched] = OrderedDict()

    def expect(self, turn: ForeignTurn, begins_until: float) -> None:
        """Look out for a turn. It takes the place of an earlier one of its shard."""
        self._replace(turn.message.shard)
        self._watched[turn.message.shard] = Watched(turn, begins_until)
        if len(self._watched) > WATCHED_MAX_SHARDS:
            self._replace(next(iter(self._watched)))

    def _replace(self, shard: ShardId) -> None:
        earlier = self._watched.pop(shard, None)
        if earlier is not None:
            earlier.replaced = True

    def of(self, shard: ShardId) -> Watched | None:
        """The turn of a shard that is looked out for."""
        return self._watched.get(shard)

    def session_begins(self, shard: ShardId) -> Watched | None:
        """A foreign client opens a session. Gives the turn that this is the hop of, if it is one."""
        watched = self._watched.get(shard)
        if watched is None or watched.begun or watched.decided:
            return None
        watched.begun = True
        return watched

    def known_again(self, message: RoundMessage) -> RoundMessage | None:
        """A message that comes from a foreign holder, with the id and the cause that it had before.

        It counts one hop more, or none. None if its holder was given up, so that the message is on its way
        already. A holder that passes the message on without a session is not to be given up any longer.
        """
        watched = self._watched.get(message.shard)
        if watched is None or message.round:
            return message
        handed = watched.turn.message
        if message.origin != handed.origin or message.count - handed.count not in (0, 1):
            return message
        if watched.given_up:
            return None
        # The end of a session that was seen is on its way, too.
        watched.passed_on = not watched.begun
        return replace(message, round=handed.round, cause=handed.cause)


def first_holders(nodes: Collection[str], foreign: Collection[str]) -> tuple[str, ...]:
    """Whom a round is offered to, one after the other: own nodes first, for a foreign one may drop it unsaid.

    A round makes all replicas equal whichever of them begins.
    """
    return (*(name for name in nodes if name not in foreign), *(name for name in nodes if name in foreign))
