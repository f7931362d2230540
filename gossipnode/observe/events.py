"""What happens in a node, told once, to those who want to hear it: the metrics and the status page.

The rooms of a node tell what has ended. They know neither metrics nor pages, and who listens must not wait,
because the teller waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """A round that this node started is over. `outcome` is one of `core.ring.round.RoundOutcome`."""

    round: str
    group: str
    shard: int
    outcome: str
    seconds: float
    hops: int


@dataclass(frozen=True, slots=True)
class HopEnded:
    """This node, as a holder, is through with a successor. `outcome` is one of `core.ring.turn.HopEnd`."""

    round: str
    group: str
    shard: int
    peer: str
    outcome: str
    reason: str
    """In words; empty where nothing went wrong."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session is over, whichever side opened it. Counts are those of this side, in records and bytes."""

    kind: str
    group: str
    shard: int
    peer: str
    served: bool
    """Whether the other side opened it."""
    seconds: float
    sent: int = 0
    received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])
    """Records that were left out, by one of a few fixed reasons."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call that this node served, or refused, has ended with the gRPC status `code`."""

    path: str
    code: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ClusterChanged:
    """One thing that an epoch changed: `what` in words, and a text with which member or group it is about."""

    epoch: int
    what: str
    details: str


Event: TypeAlias = ClusterChanged | RoundEnded | HopEnded | SessionEnded | CallEnded


class Events:
    """Where a node tells what happens. Telling costs next to nothing while nobody listens."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def tell(self, event: Event) -> None:
        """Tell all who listen. If one of them fails, that is logged, and the teller does not notice."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - logged; who tells of something must not fail by it
                structlog.get_logger("gossipnode.observe").exception("a listener to events failed")
