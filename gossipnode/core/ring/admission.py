"""Which messages a node takes, and the one that waits for each shard."""

from __future__ import annotations

from collections import OrderedDict

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import Cause, RoundMessage

HANDLED_MAX_ROUNDS = 4096
"""(round, count) pairs that a node remembers, to drop a message that it has handled."""


class Mailbox:
    """The messages that wait for a shard's runner: one at most a shard, the latest wins."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: dict[ShardId, RoundMessage] = {}

    def put(self, message: RoundMessage) -> RoundMessage | None:
        """Let a message wait; gives the one that it takes the place of."""
        replaced = self._waiting.get(message.shard)
        self._waiting[message.shard] = message
        return replaced

    def take(self, shard: ShardId) -> RoundMessage | None:
        """The message that waits for a shard, which then waits no more."""
        return self._waiting.pop(shard, None)


class Admission:
    """Which messages a node takes: none twice, and no scheduled round on the heels of another origin's."""

    __slots__ = ("_handled", "_seen")

    def __init__(self) -> None:
        """Start with no memory."""
        self._handled: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._seen: dict[ShardId, dict[str, float]] = {}

    def refusal(self, message: RoundMessage, *, now: float, half_interval: float) -> str:
        """Why a checked message is dropped, or "" when it is taken, which this remembers.

        Args:
            message: what came.
            now: any clock that only goes forward, in seconds.
            half_interval: half of the time between two scheduled rounds, in seconds.
        """
        if message.round:
            key = (message.round, message.count)
            if key in self._handled:
                return "handled already"
            self._handled[key] = None
            if len(self._handled) > HANDLED_MAX_ROUNDS:
                self._handled.popitem(last=False)
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
