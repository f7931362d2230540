"""Whole sessions with a foreign peer, which orders versions of one revision in its own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.errors import SlotCountError
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.dialect_probe import DIALECT_PROBES_MAX
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    TreeRoot,
    TreeSlots,
)
from gossipnode.core.session.tree import SlotDigest, leaf_digest
from tests.core.session.talk import DIFFER, LAST_PAGE, Side, Talk, client_of, server_of
from tests.core.session.whole.foreign_sides import PEER, ForeignShelf, from_foreign, raised, to_foreign
from tests.core.support import Shelf, id_in_slot, record, sha_of

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


def in_slot(slot: int) -> Side:
    """Our client after the page of a foreign server with one leaf in that slot."""
    client = Side(client_of(Shelf([LIVE]), foreign=PEER), Shelf([LIVE]))
    client.settle()
    client.hear(DIFFER)
    client.hear(DifferSummary((PageLeaf(slot, True, "g/n/x", "0"),)))
    return client


def test_another_number_of_slots_ends_the_session_at_its_first_leaf() -> None:
    own = slot_of(LIVE.entity)
    assert not in_slot(own).session.over
    for slot in (32, 63, (own + 1) % 32):
        with pytest.raises(SlotCountError, match=f"slot {slot}: the peer uses another number"):
            in_slot(slot)


def test_slots_of_a_client_beyond_ours_are_another_number_of_slots() -> None:
    server = Side(server_of(Shelf([LIVE]), foreign=PEER), Shelf([LIVE]))
    server.hear(TreeRoot("g", 0, "another"))
    server.hear(TreeSlots((SlotDigest(31, "0"),)))
    with pytest.raises(SlotCountError):
        server.hear(TreeSlots((SlotDigest(32, "0"),)))


def test_a_leaf_that_is_equal_in_the_other_dialect_ends_the_session_to_begin_again() -> None:
    """One record goes nowhere, and what the server still says is not heard."""
    held = [record(str(number), 5) for number in range(100)]
    ours, theirs = Shelf(held), ForeignShelf(held)
    ours.digest = sha_in_other_dialect
    client = Side(client_of(ours, foreign=replace(PEER, other_sha=sha_of)), ours)
    talk = Talk(client, Side(server_of(theirs), theirs))
    while not client.finished:
        assert any(action() for action in talk.actions)
    assert client.end is SessionEnd.OTHER_DIALECT
    assert talk.records_sent == []
    assert client.hear(LAST_PAGE, LAST_PAGE) == []


def test_leaves_that_differ_in_both_dialects_are_repaired_and_a_few_of_them_looked_at() -> None:
    looked_at: list[Record] = []

    def other_sha(held: Record) -> str:
        looked_at.append(held)
        return sha_in_other_dialect(held)

    ours = Shelf([record(str(number), 7) for number in range(100)])
    theirs = ForeignShelf([record(str(number), 5) for number in range(100)])
    client = Side(client_of(ours, foreign=replace(PEER, other_sha=other_sha)), ours)
    Talk(client, Side(server_of(theirs), theirs)).run()
    assert ours.records == theirs.records
    assert len(looked_at) == DIALECT_PROBES_MAX


def test_an_equal_leaf_says_that_the_dialect_is_the_expected_one() -> None:
    """All in one slot, in the order of their ids: after the equal leaf nothing is looked at."""
    ids = sorted(id_in_slot(3, nth) for nth in range(3))
    looked_at: list[Record] = []

    def other_sha(held: Record) -> str:
        looked_at.append(held)
        return sha_in_other_dialect(held)

    ours = Shelf([record(ids[0], 5), record(ids[1], 5), record(ids[2], 7)])
    theirs = ForeignShelf([record(each, 5) for each in ids])
    client = Side(client_of(ours, foreign=replace(PEER, other_sha=other_sha)), ours)
    Talk(client, Side(server_of(theirs), theirs)).run()
    assert ours.records == theirs.records
    assert looked_at == []


def sha_in_other_dialect(held: Record) -> str:
    return leaf_digest(held.payload + b" ", held.version.delete_time).hex()


TIED = [record("x", 5, content) for content in "abcd"]
WON = max(TIED, key=lambda held: held.version)


@pytest.mark.parametrize("there", [each for each in TIED if each is not WON])
@pytest.mark.parametrize("session", [to_foreign, lambda ours, theirs: from_foreign(theirs, ours)])
def test_another_content_of_one_revision_ends_with_the_next_revision_of_ours(
    session: Callable[[Shelf, ForeignShelf], Talk], there: Record
) -> None:
    ours, theirs = Shelf([WON]), ForeignShelf([there])
    talk = session(ours, theirs)
    assert [*ours.records.values()] == [*theirs.records.values()] == [raised(WON)]
    assert talk.client.session.counts.skipped == talk.server.session.counts.skipped == 0
    assert session(ours, theirs).records_sent == []


@pytest.mark.parametrize("here", [each for each in TIED if each is not WON])
def test_another_content_of_one_revision_that_wins_is_taken(here: Record) -> None:
    ours, theirs = Shelf([here]), ForeignShelf([WON])
    to_foreign(ours, theirs)
    assert [*ours.records.values()] == [*theirs.records.values()] == [WON]


def test_a_tied_delete_is_written_once_more_as_a_delete() -> None:
    here, there = (record("x", 5, content, deleted=1900) for content in "ab")
    if here.version < there.version:
        here, there = there, here
    ours, theirs = Shelf([here]), ForeignShelf([there])
    to_foreign(ours, theirs)
    assert [*ours.records.values()] == [*theirs.records.values()] == [raised(here)]
