"""The two lanes of a session: records on their way to the store, and answers owed to the peer.

Both are bounded, so a peer that sends fast or reads slowly costs no more memory than the limits below.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gossipnode.core.model.entity_hash import entity_hash
from gossipnode.core.model.limits import PEER_STAMP_MAX_NANOSECONDS, STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.session.commands import Write
from gossipnode.core.session.messages import AnswerTo

READ_BATCH_RECORDS = 16
"""Records read and sent in one step. A record has 1 MiB at most, so a step holds 16 MiB at most."""

WRITE_BATCH_RECORDS = 256
WRITE_BATCH_BYTES = 4 << 20
"""A batch for the store ends once it holds this number of records, or of bytes."""

UNWRITTEN_MAX_RECORDS = 1024
UNWRITTEN_MAX_BYTES = 8 << 20
"""Records taken from the peer and not yet given to the store. At a limit, reading waits for the store."""

OWED_MAX_BYTES = 8 << 20
"""Keys of the answers that a session owes. What is over the limit is counted, and left to the next round."""

OWED_KEY_OVERHEAD_BYTES = 200
"""What a key costs beside its text: the objects that hold it."""

ANSWERED_MAX_ENTITIES = 65_536
"""Entities that a session remembers to have answered, so that a peer that does not yield is answered once."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A record on its way to the store, and what it answers if it came from a server."""

    record: Record
    answer_to: AnswerTo
    ours: bool = False
    """Whether it is our own record, written once more to be sent after that."""


class WriteLane:
    """The records taken from the peer, on their way to the store. One batch at a time is in the store."""

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
        assert self._queue or self._bytes == 0
        return not self._queue and not self._in_store

    def add(self, taken: Taken) -> None:
        """Queue one more record."""
        self._queue.append(taken)
        self._bytes += len(taken.record.payload)

    def next(self) -> Write | None:
        """The next batch to write. None while a batch is in the store, and when there is nothing to write."""
        if self._in_store or not self._queue:
            return None
        batch: list[Taken] = []
        size = 0
        while self._queue and len(batch) < WRITE_BATCH_RECORDS and size < WRITE_BATCH_BYTES:
            taken = self._queue.popleft()
            size += len(taken.record.payload)
            batch.append(taken)
        self._bytes -= size
        assert self._bytes >= 0
        self._in_store = tuple(batch)
        return Write(tuple(taken.record for taken in batch))

    def done(self) -> tuple[Taken, ...]:
        """Take out the batch that the store has answered for."""
        batch, self._in_store = self._in_store, ()
        return batch


class OwedLane:
    """The answers owed to the peer, kept as keys, so that a peer that reads slowly costs little memory."""

    __slots__ = ("_answered", "_bytes", "_queue")

    def __init__(self) -> None:
        """Start empty."""
        self._queue: deque[tuple[Entity, AnswerTo]] = deque()
        self._bytes = 0
        self._answered: set[int] = set()

    def __bool__(self) -> bool:
        assert self._queue or self._bytes == 0
        return bool(self._queue)

    def add(self, entity: Entity, answer_to: AnswerTo) -> bool:
        """Owe one more answer. False when too much is owed already, so that the next round must repair it."""
        if self._bytes >= OWED_MAX_BYTES:
            return False
        self._queue.append((entity, answer_to))
        self._bytes += _key_bytes(entity)
        return True

    def was_answered(self, entity: Entity) -> bool:
        """Whether `remember` was told of this entity."""
        return entity_hash(entity) in self._answered

    def remember(self, entity: Entity) -> bool:
        """Remember that this entity was answered. False when no more can be remembered."""
        if len(self._answered) >= ANSWERED_MAX_ENTITIES:
            return False
        self._answered.add(entity_hash(entity))
        return True

    def take(self) -> list[tuple[Entity, AnswerTo]]:
        """Take out the next few answers, to read and send their records."""
        batch: list[tuple[Entity, AnswerTo]] = []
        while self._queue and len(batch) < READ_BATCH_RECORDS:
            batch.append(self._queue.popleft())
        self._bytes -= sum(_key_bytes(entity) for entity, _ in batch)
        assert self._bytes >= 0
        return batch


def _key_bytes(entity: Entity) -> int:
    # Text takes one to four bytes a character. Counting them exactly would cost an encoding.
    return OWED_KEY_OVERHEAD_BYTES + 4 * (len(entity.name) + len(entity.id))


def stamp_max(*, foreign: bool) -> int:
    """The largest stamp that a session takes, in nanoseconds.

    From a foreign peer it is well below the largest that we give, so that every record can be replaced and
    deleted. Members pass such replacements on to each other.
    """
    return PEER_STAMP_MAX_NANOSECONDS if foreign else STAMP_MAX_NANOSECONDS


def present(records: Sequence[Record | None]) -> list[Record]:
    """The records without the gaps that stand for records that are not held."""
    return [record for record in records if record is not None]
