"""A client of the reconcile session that looks at what differs, and exchanges nothing.

To the server it is a client like any other that has nothing to give: it says which of the server's items
stand for nothing here, and asks for the records of which the server has another version, so that the server
sends them. It keeps their keys and versions, and stores none. Its own records it reads and does not send.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.session.commands import ReconcileCommand, SessionCounts
from gossipnode.core.session.messages import Unreadable
from gossipnode.core.session.reconcile.item_index import ItemIndex
from gossipnode.core.session.reconcile.reconcile_dues import UNREADABLE_HERE, RecordsDue, UnmatchedDue
from gossipnode.core.session.reconcile.reconcile_messages import Closing, Offer, ReconcileMessage, Wants
from gossipnode.core.session.reconcile.reconcile_sides import ReconcileClient
from gossipnode.core.session.reconcile.reconcile_walk import Findings

SURVEY_MAX_RECORDS = 20_000
"""Differing records that are kept for a survey. Where more differ, to compare the trees costs less."""


class SurveyTooLargeError(CoreError):
    """More records differ than a survey keeps."""


class Difference(NamedTuple):
    """A record that differs, with the version of each side; None where a side does not hold it."""

    entity: Entity
    here: Version | None
    there: Version | None


class SurveyClient(ReconcileClient):
    """One survey, over a reconcile session that stores and sends no record."""

    def __init__(self, shard: ShardId, shards: int, index: ItemIndex) -> None:
        """Compare `index` with that of the server; the group of `shard` has `shards` shards."""
        super().__init__(shard, shards, index)
        self._here: dict[Entity, Version] = {}
        self._there: dict[Entity, Version] = {}
        self._looked_again = False

    def differences(self) -> list[Difference]:
        """What was found, in the order of the tree. A record that became equal meanwhile is left out."""
        entities = sorted(self._here.keys() | self._there.keys(), key=lambda each: (slot_of(each), each))
        pairs = [Difference(each, self._here.get(each), self._there.get(each)) for each in entities]
        return [each for each in pairs if each.here != each.there]

    def _take(self, record: Record | Unreadable) -> None:
        self.counts.received += 1
        if isinstance(record, Unreadable):
            self.counts.skip("not storable")
        elif not self._intake.belongs(record.entity):
            self.counts.skip("of another group or shard")
        else:
            self._wanted.discard(self._open_index().item_hash.of_entity(record.entity))
            self._note(self._there, record)

    def _note(self, side: dict[Entity, Version], record: Record) -> None:
        side[record.entity] = record.version
        if max(len(self._here), len(self._there)) > SURVEY_MAX_RECORDS:
            raise SurveyTooLargeError(f"more than {SURVEY_MAX_RECORDS:,} records differ")

    def _note_ours(self, record: Record) -> None:
        self._note(self._here, record)

    # In the place of what a session sends

    def _owe_records(self, numbers: Iterable[int]) -> None:
        self._dues.append(_NotedDue(self._open_index(), self.counts, self._note_ours, numbers=numbers))

    def _owe_all(self, level: int, prefixes: Sequence[int]) -> None:
        index, note = self._open_index(), self._note_ours
        self._dues.append(_NotedDue(index, self.counts, note, level=level, prefixes=prefixes))

    def _owe_unmatched(self, found: Findings) -> None:
        # A server that is offered nothing sends what it has at these positions, without asking.
        self._owe_records(number for _, number in found.offers)
        self._dues.append(UnmatchedDue(found.positions, (), self.counts))

    def _decide(self, index: ItemIndex, numbered: Mapping[int, int], offers: Mapping[int, Offer]) -> None:
        self._owe_records(numbered.values())
        if offers:
            self._say([Wants(array("Q", offers))])

    def _at_rest(self) -> ReconcileCommand | None:
        if self._is_open and not self._unanswered and not self._looked_again:
            self._looked_again = True
            # What was written here meanwhile was not among what was compared.
            index = self._open_index()
            found = [index.find(index.item_hash.of_entity(each)) for each in self._there.keys() - self._here]
            self._owe_records(number for number in found if number is not None)
            return self.next_command()
        return super()._at_rest()

    def _closing_now(self) -> Closing:
        # The roots still differ, which is no fault of the session.
        return replace(super()._closing_now(), settled=False)


class _NotedDue(RecordsDue):
    """Our own records that differ: they are read, noted, and not sent."""

    def __init__(
        self,
        index: ItemIndex,
        counts: SessionCounts,
        note: Callable[[Record], None],
        *,
        numbers: Iterable[int] = (),
        level: int = 0,
        prefixes: Iterable[int] = (),
    ) -> None:
        super().__init__(index, counts, numbers=numbers, level=level, prefixes=prefixes)
        self._counts = counts
        self._note = note

    def take(self, records: Sequence[Record | None]) -> list[ReconcileMessage]:
        """See `Due.take`."""
        for record in records:
            if record is None:
                self._counts.skip(UNREADABLE_HERE)
            else:
                self._note(record)
        return []
