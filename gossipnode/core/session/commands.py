"""What both sides of a tree session share: the commands they give, and the two lanes behind them.

A session is handed the peer's messages and gives commands. It never waits, and it keeps no record longer
than it takes to store or send it. What the caller owes:

- `receive(message)` for every message, in order. Never stop reading because sending is blocked: call it while
  a `Send` is still on its way. Stop only while `unwritten_full` is true.
- `next_command()` whenever something was handed in or a command was done, until it gives None; carry out one
  command at a time, in order, and answer `ReadTree`, `ReadLeaves` and `ReadRecords` by the method that each
  names. `Finish` is the last one.
- `next_write()` in the same way, beside it; answer each `Write` by `written`.
- `peer_ended()` when the peer's half of the stream has ended in order.
- On `SessionViolationError` the session is over: tell the peer why, with a status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from gossipnode.core.model.limits import (
    ANSWERED_MAX_ENTITIES,
    OWED_KEY_OVERHEAD_BYTES,
    OWED_MAX_BYTES,
    READ_BATCH_RECORDS,
    UNWRITTEN_MAX_BYTES,
    UNWRITTEN_MAX_RECORDS,
    WRITE_BATCH_BYTES,
    WRITE_BATCH_RECORDS,
)
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.session.messages import AnswerTo, ClientMessage, ServerMessage
from gossipnode.core.session.tree import entity_hash


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
class ReadRecords:
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


Command: TypeAlias = Send | HalfClose | ReadTree | ReadLeaves | ReadRecords | Finish


class WriteOutcome(Enum):
    """What the store made of a record, as a session needs to know it."""

    TAKEN = "taken"
    """Stored, or held already."""
    OLDER = "older"
    """We hold a newer version."""
    REFUSED = "refused"
    """It cannot be stored."""


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


@dataclass(frozen=True, slots=True)
class Taken:
    """A record on its way to the store, and what it answered, if anything."""

    record: Record
    answer_to: AnswerTo


class WriteLane:
    """Records taken from the peer, on their way to the store."""

    __slots__ = ("_bytes", "_in_store", "_queue")

    def __init__(self) -> None:
        """Start empty."""
        self._queue: deque[Taken] = deque()
        self._bytes = 0
        self._in_store: tuple[Taken, ...] = ()

    @property
    def full(self) -> bool:
        """Whether reading has to wait for the store."""
        return len(self._queue) >= UNWRITTEN_MAX_RECORDS or self._bytes >= UNWRITTEN_MAX_BYTES

    @property
    def empty(self) -> bool:
        """Whether everything taken is durable."""
        return not self._queue and not self._in_store

    def add(self, taken: Taken) -> None:
        """Queue one more record."""
        self._queue.append(taken)
        self._bytes += len(taken.record.payload)

    def next(self) -> Write | None:
        """The next batch to write; None while one is in the store, or when there is nothing."""
        if self._in_store or not self._queue:
            return None
        batch: list[Taken] = []
        size = 0
        while self._queue and len(batch) < WRITE_BATCH_RECORDS and size < WRITE_BATCH_BYTES:
            taken = self._queue.popleft()
            size += len(taken.record.payload)
            batch.append(taken)
        self._bytes -= size
        self._in_store = tuple(batch)
        return Write(tuple(taken.record for taken in batch))

    def done(self) -> tuple[Taken, ...]:
        """The batch that the store has answered for."""
        batch, self._in_store = self._in_store, ()
        return batch


class OwedLane:
    """Answers owed to the peer, kept as keys: a peer that is slow to read them costs no more than that."""

    __slots__ = ("_answered", "_bytes", "_queue")

    def __init__(self) -> None:
        """Start empty."""
        self._queue: deque[tuple[Entity, AnswerTo]] = deque()
        self._bytes = 0
        self._answered: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._queue)

    def add(self, entity: Entity, answer_to: AnswerTo) -> bool:
        """Owe one more answer. False when the cap is reached: it is left to the next round."""
        if self._bytes >= OWED_MAX_BYTES:
            return False
        self._queue.append((entity, answer_to))
        self._bytes += _key_bytes(entity)
        return True

    def was_answered(self, entity: Entity) -> bool:
        """Whether this entity is one that `remember` was told of."""
        return entity_hash(entity) in self._answered

    def remember(self, entity: Entity) -> bool:
        """Remember that this entity is answered; False when `ANSWERED_MAX_ENTITIES` are remembered."""
        if len(self._answered) >= ANSWERED_MAX_ENTITIES:
            return False
        self._answered.add(entity_hash(entity))
        return True

    def take(self) -> list[tuple[Entity, AnswerTo]]:
        """The next few answers to read and send."""
        batch: list[tuple[Entity, AnswerTo]] = []
        while self._queue and len(batch) < READ_BATCH_RECORDS:
            batch.append(self._queue.popleft())
        self._bytes -= sum(_key_bytes(entity) for entity, _ in batch)
        return batch


def _key_bytes(entity: Entity) -> int:
    # Text takes one to four bytes a character; counting exactly would cost an encoding.
    return OWED_KEY_OVERHEAD_BYTES + 4 * (len(entity.name) + len(entity.id))


def present(records: Sequence[Record | None]) -> list[Record]:
    """The records that are there."""
    return [record for record in records if record is not None]
