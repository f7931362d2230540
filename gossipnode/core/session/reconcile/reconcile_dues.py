"""What a side of a reconcile session owes the other one, and reads from its store for that."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.session.commands import FetchNumbered, FetchPage, SessionCounts
from gossipnode.core.session.reconcile.item_index import FAN_OUT, FAN_OUT_BITS, LEVEL_MAX, ItemIndex
from gossipnode.core.session.reconcile.reconcile_messages import (
    Answered,
    Offer,
    ReconcileMessage,
    SentRecords,
    Unmatched,
    Wants,
)

PREFIX_MAX_ITEMS = 4096
"""Items of a prefix that are listed in one step; a longer list is made in parts."""

OFFERED_DIGEST_BYTES = 8
"""How much of a version's digest an offer has. It decides only between two versions with the same stamps."""

RECORDS_MESSAGE_BYTES = 1 << 20
"""A message of records ends once it has so much. With a record of the largest size it has twice that."""

UNREADABLE_HERE = "not readable here"
"""Why a record is left out that rotted since its digest was made, or went with its shard."""


class Due(Protocol):
    """Something that is owed, and for which records are read in batches."""

    def next_read(self, limit: int) -> FetchNumbered | FetchPage | None:
        """The next records to read, up to `limit`; None if all were read."""
        ...

    def take(self, records: Sequence[Record | None]) -> list[ReconcileMessage]:
        """Take the next records; gives what is to be said by now."""
        ...

    def finish(self) -> list[ReconcileMessage]:
        """What is to be said in the end."""
        ...


class RecordsDue:
    """Records that the other side lacks, by number or by prefix."""

    def __init__(
        self,
        index: ItemIndex,
        counts: SessionCounts,
        *,
        numbers: Iterable[int] = (),
        level: int = 0,
        prefixes: Iterable[int] = (),
    ) -> None:
        """Owe the records with these numbers, and all with these prefixes of a level."""
        self._index = index
        self._counts = counts
        # Records that were stored one after the other are read fastest in this order.
        self._numbers = iter(array("Q", sorted(numbers)))
        self._prefixes = [(level, prefix) for prefix in prefixes]

    def next_read(self, limit: int) -> FetchNumbered | None:
        """See `Due.next_read`."""
        while True:
            part = _next_of(self._numbers, limit)
            if part or not self._prefixes:
                return part
            level, prefix = self._prefixes.pop()
            if self._index.count_at(level, prefix) <= PREFIX_MAX_ITEMS or level == LEVEL_MAX:
                self._numbers = iter(array("Q", sorted(self._index.items(level, prefix).numbers)))
            else:
                first = prefix << FAN_OUT_BITS
                self._prefixes.extend((level + 1, first + child) for child in range(FAN_OUT))

    def take(self, records: Sequence[Record | None]) -> list[ReconcileMessage]:
        """See `Due.take`."""
        return _sent(records, self._counts)

    def finish(self) -> list[ReconcileMessage]:
        """See `Due.finish`."""
        return []


class AllDue:
    """All records, for a side that holds nothing: in the order in which its store takes them fastest."""

    def __init__(self, counts: SessionCounts) -> None:
        """Owe every record."""
        self._counts = counts
        self._after: Entity | None = None
        self._read = False

    def next_read(self, limit: int) -> FetchPage | None:
        """See `Due.next_read`."""
        return None if self._read else FetchPage(self._after, limit)

    def page_ends(self, last: Entity | None) -> None:
        """Say where the next page begins; None after the last page."""
        self._after, self._read = last, last is None

    def take(self, records: Sequence[Record | None]) -> list[ReconcileMessage]:
        """See `Due.take`."""
        return _sent(records, self._counts)

    def finish(self) -> list[ReconcileMessage]:
        """See `Due.finish`."""
        return []


class UnmatchedDue:
    """The answer to tags: it needs the versions of the items that it offers."""

    def __init__(
        self, positions: Sequence[int], items: Sequence[tuple[int, int]], counts: SessionCounts
    ) -> None:
        """Owe an `Unmatched` that offers items, given by entity hash and number."""
        self._numbers = iter([number for _, number in items])
        self._hashes = iter([entity_hash for entity_hash, _ in items])
        self._positions = positions
        self._offers: list[Offer] = []
        self._counts = counts

    def next_read(self, limit: int) -> FetchNumbered | None:
        """See `Due.next_read`."""
        return _next_of(self._numbers, limit)

    def take(self, records: Sequence[Record | None]) -> list[ReconcileMessage]:
        """See `Due.take`."""
        for record, entity_hash in zip(records, self._hashes, strict=False):
            if record is None:
                self._counts.skip(UNREADABLE_HERE)
                continue
            revision, delete_time, digest = record.version
            self._offers.append(Offer(entity_hash, revision, delete_time, digest[:OFFERED_DIGEST_BYTES]))
        return []

    def finish(self) -> list[ReconcileMessage]:
        """See `Due.finish`."""
        return [Unmatched(array("I", self._positions), tuple(self._offers))]


class NewerDue:
    """For each entity of which both sides hold a version: our record if it is the newer one, or a want."""

    def __init__(
        self, pairs: Sequence[tuple[int, Offer]], wanted: Sequence[int], counts: SessionCounts
    ) -> None:
        """Decide over pairs of the number of our record and the offer of the same entity.

        `wanted` are entity hashes of which nothing is held here.
        """
        self._numbers = iter([number for number, _ in pairs])
        self._offers = iter([offer for _, offer in pairs])
        self._wanted = array("Q", wanted)
        self._counts = counts

    def next_read(self, limit: int) -> FetchNumbered | None:
        """See `Due.next_read`."""
        return _next_of(self._numbers, limit)

    def take(self, records: Sequence[Record | None]) -> list[ReconcileMessage]:
        """See `Due.take`."""
        newer: list[Record] = []
        for record, offer in zip(records, self._offers, strict=False):
            theirs = offer[1:]
            ours = (*record.version[:2], record.version.digest[:OFFERED_DIGEST_BYTES]) if record else None
            if ours is None or ours < theirs:
                self._wanted.append(offer.entity_hash)
            elif record is not None and ours > theirs:
                newer.append(record)
        self._counts.sent += len(newer)
        return in_messages(newer)

    def finish(self) -> list[ReconcileMessage]:
        """See `Due.finish`."""
        return [Wants(self._wanted)] if self._wanted else []


class AnswerDue:
    """Tells the client that a question is answered, once everything is said that was owed before."""

    def next_read(self, limit: int) -> None:
        """See `Due.next_read`. There is nothing to read."""

    def take(self, records: Sequence[Record | None]) -> list[ReconcileMessage]:
        """See `Due.take`."""
        assert not records
        return []

    def finish(self) -> list[ReconcileMessage]:
        """See `Due.finish`."""
        return [Answered(1)]


def _next_of(numbers: Iterator[int], limit: int) -> FetchNumbered | None:
    part = tuple(islice(numbers, limit))
    return FetchNumbered(part) if part else None


def _sent(records: Sequence[Record | None], counts: SessionCounts) -> list[ReconcileMessage]:
    held = tuple(record for record in records if record is not None)
    if len(held) < len(records):
        counts.skip(UNREADABLE_HERE, len(records) - len(held))
    counts.sent += len(held)
    return in_messages(held)


def in_messages(records: Iterable[Record]) -> list[ReconcileMessage]:
    """Messages with these records, none of which is too large for the other side."""
    messages: list[ReconcileMessage] = []
    part: list[Record] = []
    size = 0
    for record in records:
        part.append(record)
        size += len(record.payload)
        if size >= RECORDS_MESSAGE_BYTES:
            messages.append(SentRecords(tuple(part)))
            part, size = [], 0
    if part:
        messages.append(SentRecords(tuple(part)))
    return messages
