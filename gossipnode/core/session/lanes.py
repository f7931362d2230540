"""The two lanes of a session: records on their way to the store, and answers owed to the peer.

Both are bounded: a peer that sends fast, or reads slowly, costs no more than the limits below."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.session.commands import Write
from gossipnode.core.session.messages import AnswerTo
from gossipnode.core.session.tree import entity_hash

READ_BATCH_RECORDS = 16
"""Records read and sent in one step. A record is 1 MiB at most, so a step holds 16 MiB at most."""


WRITE_BATCH_RECORDS = 256


WRITE_BATCH_BYTES = 4 << 20
"""What one write to the store takes at most."""


UNWRITTEN_MAX_RECORDS = 1024


UNWRITTEN_MAX_BYTES = 8 << 20
"""Records taken from the peer and not yet given to the store. Over it, reading waits for the store."""


OWED_MAX_BYTES = 8 << 20
"""Keys of answers that a session still owes. What is over it is counted, and left to the next round."""


OWED_KEY_OVERHEAD_BYTES = 200
"""What a key costs beside its text: the objects that hold it."""


ANSWERED_MAX_ENTITIES = 65_536
"""Entities that a session remembers to have answered, so that a peer that does not yield is answered once."""


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
