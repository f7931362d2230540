"""Whole sessions with a foreign peer, which orders versions of one revision in its own way."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import Entity
from gossipnode.core.session.messages import AnswerTo, PropertyAnswer, PropertyMissing, PropertySync
from tests.core.session.whole.foreign_sides import ForeignShelf, from_foreign, to_foreign
from tests.core.support import Shelf, record

LIVE = record("x", 5)
DELETED = record("x", 5, deleted=1900)
NEWER = record("x", 7)


def test_a_delete_of_the_peer_that_keeps_the_revision_is_taken() -> None:
    ours, theirs = Shelf([LIVE]), ForeignShelf([DELETED])
    to_foreign(ours, theirs)
    assert [*ours.records.values()] == [*theirs.records.values()] == [DELETED]


@pytest.mark.parametrize(("here", "there"), [(DELETED, LIVE), (NEWER, LIVE), (NEWER, DELETED)])
def test_what_is_newer_here_is_sent_after_it_was_asked_for(here: object, there: object) -> None:
    ours, theirs = Shelf([here]), ForeignShelf([there])  # type: ignore[list-item]
    session = to_foreign(ours, theirs)
    assert [*ours.records.values()] == [*theirs.records.values()] == [here]
    assert session.client.session.counts.skipped == 0
    asked = [each for each in session.client_sent if isinstance(each, PropertyMissing | PropertySync)]
    assert asked == [PropertyMissing("g/n/x"), PropertySync(here)]  # type: ignore[arg-type]


def test_what_is_newer_there_is_taken_and_nothing_sent() -> None:
    ours, theirs = Shelf([LIVE]), ForeignShelf([NEWER])
    session = to_foreign(ours, theirs)
    assert [*ours.records.values()] == [*theirs.records.values()] == [NEWER]
    assert session.records_sent == [PropertyAnswer(AnswerTo.MISSING, NEWER)]


def test_what_only_one_side_holds_crosses_once() -> None:
    ours, theirs = Shelf([record("a", 1)]), ForeignShelf([record("b", 1)])
    session = to_foreign(ours, theirs)
    assert ours.records == theirs.records
    assert len(session.records_sent) == 2


def test_what_the_peer_cannot_store_is_kept_back_and_counted_under_its_name() -> None:
    ours, theirs = Shelf([record("a", 3), record("b", 3, "bad"), record("c", 3, "bad")]), ForeignShelf()
    for session in (to_foreign(ours, theirs), from_foreign(theirs, ours)):
        side = session.client if session.client.shelf is ours else session.server
        assert list(theirs.records) == [Entity("g", "n", "a")]
        assert side.session.counts.reasons == {"peer cannot store it": 2}
        assert side.session.counts.examples.keys() == {"peer cannot store it"}


def test_a_tombstone_that_the_peer_has_purged_is_not_offered_again() -> None:
    ours = Shelf([record("old", 5, deleted=999), record("new", 5, deleted=1000), record("live", 5)])
    theirs = ForeignShelf()
    for session in (to_foreign(ours, theirs), from_foreign(theirs, ours)):
        side = session.client if session.client.shelf is ours else session.server
        assert {entity.id for entity in theirs.records} == {"new", "live"}
        assert side.session.counts.skipped == 0


def test_an_old_tombstone_still_ends_a_record_that_is_live_there() -> None:
    ours, theirs = Shelf([record("x", 5, deleted=999)]), ForeignShelf([LIVE])
    to_foreign(ours, theirs)
    assert ours.records == theirs.records
    theirs = ForeignShelf([LIVE])
    from_foreign(theirs, ours)
    assert ours.records == theirs.records
