"""What both sides of a tree session share: the commands they give, and the two lanes behind them.

A session is handed the peer's messages and gives commands. It never waits, and it keeps no record longer
than it takes to store or send it. What the caller owes:

- `receive(message)` for every message, in order. Never stop reading because sending is blocked: call it while
  a `Send` is still on its way. Stop only while `unwritten_full` is true.
- `next_command()` whenever something was handed in or a command was done, until it gives None; carry out one
  command at a time, in order, and answer `ReadTree`, `ReadLeaves` and `FetchRecords` by the method that each
  names. `Finish` is the last one.
- `next_write()` in the same way, beside it; answer each `Write` by `written`.
- `peer_ended()` when the peer's half of the stream has ended in order.
- On `SessionViolationError` the session is over: tell the peer why, with a status.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.session.messages import ClientMessage, ServerMessage


@dataclass(frozen=True, slots=True)
class Send:
    """Send these messages, in order."""

    messages: tuple[ClientMessage | ServerMessage, ...]


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Tell the peer that nothing more will be sent; go on reading."""


@dataclass(frozen=True, slots=True)
class ReadTree:
    """Read the digests of a shard; answer with `tree_read`."""

    shard: ShardId


@dataclass(frozen=True, slots=True)
class ReadLeaves:
    """Read up to `limit` leaves of a slot, in entity order, behind `after`; answer with `leaves_read`."""

    slot: int
    after: Entity | None
    limit: int


@dataclass(frozen=True, slots=True)
class FetchRecords:
    """Read these records; answer with `records_read`, in the order asked, None where there is none."""

    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Store these records; answer with `written` once they are durable."""

    records: tuple[Record, ...]


class SessionEnd(Enum):
    """How a session ended."""

    EQUAL = "equal"
    REPAIRED = "repaired"
    NO_TREE = "no tree"
    VERDICT = "verdict"
    """The roots differ, and the client wanted to know no more."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The session is over, in order: everything owed was sent, and everything taken is durable."""

    end: SessionEnd


Command: TypeAlias = Send | HalfClose | ReadTree | ReadLeaves | FetchRecords | Finish


@dataclass(slots=True)
class SessionCounts:
    """Records that a session moved, and those that it had to leave out."""

    sent: int = 0
    received: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    """Why records were skipped: a few fixed texts, with how often."""

    def skip(self, reason: str, records: int = 1) -> None:
        """Count records that are left out of this session."""
        self.skipped += records
        self.reasons[reason] = self.reasons.get(reason, 0) + records
