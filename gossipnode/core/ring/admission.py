"""Which messages of rounds a node takes, and the one message that may wait for each shard."""

from __future__ import annotations

from collections import OrderedDict

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import Cause, RoundMessage

HANDLED_MAX_ROUNDS = 4096
"""Pairs (round, count) that a node remembers, so that it drops a message that comes again."""

ENDED_MAX_SHARDS = 65_536
"""Shards of which a node remembers that a round ended well. Beyond, a round is made that is not needed."""


class Mailbox:
    """The messages that wait until their shard is free: of each origin one at most, and its latest wins."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: dict[ShardId, dict[str, RoundMessage]] = {}

    def put(self, message: RoundMessage) -> RoundMessage | None:
        """Let a message wait behind the others; return an earlier one of its origin, which it replaces."""
        waiting = self._waiting.setdefault(message.shard, {})
        replaced = waiting.pop(message.origin, None)
        waiting[message.origin] = message
        return replaced

    def take(self, shard: ShardId) -> RoundMessage | None:
        """Take out the message that has waited longest for a shard, if there is one."""
        waiting = self._waiting.get(shard)
        if waiting is None:
            return None
        message = waiting.pop(next(iter(waiting)))
        if not waiting:
            del self._waiting[shard]
        return message


class Admission:
    """Decides which messages a node takes, and which rounds are not needed.

    No message is taken twice. A scheduled round that has made no hop yet is not needed shortly after a round
    of another origin has ended well: with every replica on the same schedule, all would do the same work.
    That a round was seen, or is under way, stands for nothing: it may die with its origin.
    """

    __slots__ = ("_ended", "_handled")

    def __init__(self) -> None:
        """Start without memory."""
        self._handled: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._ended: OrderedDict[ShardId, tuple[str, float]] = OrderedDict()

    def comes_again(self, message: RoundMessage) -> bool:
        """Whether a message was here before. If not, it is remembered."""
        if not message.round:
            return False
        key = (message.round, message.count)
        if key in self._handled:
            return True
        self._handled[key] = None
        if len(self._handled) > HANDLED_MAX_ROUNDS:
            self._handled.popitem(last=False)
        assert len(self._handled) <= HANDLED_MAX_ROUNDS
        return False

    def ended_well(self, shard: ShardId, origin: str, *, now: float) -> None:
        """A round of `origin` left all replicas of a shard equal. The caller sees to it that we hold it.

        `now` is the time in seconds, of any clock that only goes forward.
        """
        self._ended.pop(shard, None)
        self._ended[shard] = origin, now
        if len(self._ended) > ENDED_MAX_SHARDS:
            self._ended.popitem(last=False)

    def not_needed(self, message: RoundMessage, *, now: float, half_interval: float) -> str:
        """Say why the round of a message is not needed; "" when it is.

        `half_interval` is half of the seconds between two scheduled rounds.
        """
        if message.cause is not Cause.SCHEDULED or message.count:
            return ""
        origin, at = self._ended.get(message.shard, ("", 0.0))
        if not origin or origin == message.origin or now - at >= half_interval:
            return ""
        return f"a round of {origin} ended well {now - at:.0f} s ago"
