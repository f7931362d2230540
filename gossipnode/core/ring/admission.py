"""Which messages of rounds a node takes, and the one message that may wait for each shard."""

from __future__ import annotations

from collections import OrderedDict

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import Cause, RoundMessage

HANDLED_MAX_ROUNDS = 4096
"""Pairs (round, count) that a node remembers, so that it drops a message that comes again."""


class Mailbox:
    """The messages that wait until their shard is free: at most one for each shard, and the latest wins."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: dict[ShardId, RoundMessage] = {}

    def put(self, message: RoundMessage) -> RoundMessage | None:
        """Let a message wait; return the message that waited before, which this one replaces."""
        replaced = self._waiting.get(message.shard)
        self._waiting[message.shard] = message
        return replaced

    def take(self, shard: ShardId) -> RoundMessage | None:
        """Take out the message that waits for a shard, if there is one."""
        return self._waiting.pop(shard, None)


class Admission:
    """Decides which messages a node takes.

    No message is taken twice. A scheduled round is not taken shortly after a round of another origin: with
    every replica on the same schedule, the rounds would otherwise all do the same work at once.
    """

    __slots__ = ("_handled", "_seen")

    def __init__(self) -> None:
        """Start without memory."""
        self._handled: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._seen: dict[ShardId, dict[str, float]] = {}

    def refusal(self, message: RoundMessage, *, now: float, half_interval: float) -> str:
        """Say why a checked message is dropped; "" means that it is taken, which is remembered.

        Only a scheduled round that has made no hop yet can be dropped for another origin's: a round under way
        goes on, and so does one that somebody asked for.

        Args:
            message: the message, which has passed `check_message`.
            now: the time in seconds, of any clock that only goes forward.
            half_interval: half of the seconds between two scheduled rounds.
        """
        if message.round:
            key = (message.round, message.count)
            if key in self._handled:
                return "handled already"
            self._handled[key] = None
            if len(self._handled) > HANDLED_MAX_ROUNDS:
                self._handled.popitem(last=False)
            assert len(self._handled) <= HANDLED_MAX_ROUNDS
        recent = {
            origin: at for origin, at in self._seen.get(message.shard, {}).items() if now - at < half_interval
        }
        if message.cause is Cause.SCHEDULED and message.count == 0:
            for origin, at in recent.items():
                if origin != message.origin:
                    return f"a round of {origin} was seen {now - at:.0f} s ago"
        recent[message.origin] = now
        self._seen[message.shard] = recent
        return ""
