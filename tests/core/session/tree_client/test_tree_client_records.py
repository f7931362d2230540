"""The client alone: what it does with the records of the server, and what it answers."""

from __future__ import annotations

import pytest

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.session import lanes
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyMissing,
    PropertySync,
    Unreadable,
)
from tests.core.session.talk import DIFFER, LAST_PAGE, NO_MORE_SLOTS, Side, client_of
from tests.core.session.tree_client.client_side import A0, A1, A2, WAIT, begun, in_pages, sync
from tests.core.support import Shelf, leaf_of, record


def test_a_record_that_we_hold_newer_is_answered_once_with_ours() -> None:
    client = in_pages(record(A0, 9))
    stale = sync(record(A0, 7))
    assert client.hear(stale) == [PropertySync(record(A0, 9))]
    assert client.hear(stale, stale) == []
    assert client.session.counts.reasons == {"the peer keeps an older version": 2}


def test_an_unspecified_answer_counts_as_one_to_sync() -> None:
    client = in_pages(record(A0, 9))
    assert client.hear(sync(record(A0, 7), AnswerTo.UNSPECIFIED)) == [PropertySync(record(A0, 9))]


def test_an_answer_to_missing_is_never_bounced_back() -> None:
    client = in_pages(record(A0, 9))
    assert client.hear(sync(record(A0, 7), AnswerTo.MISSING)) == []
    assert client.session.counts.skipped == 0


def test_the_last_wait_comes_after_the_answers_that_the_store_causes() -> None:
    client = in_pages(record(A0, 9))
    assert client.hear(sync(record(A0, 7)), LAST_PAGE) == [PropertySync(record(A0, 9)), WAIT]


@pytest.mark.parametrize("ended", [False, True])
def test_a_record_after_the_last_wait_is_stored_before_the_end(ended: bool) -> None:
    client = in_pages(record(A0, 5))
    assert client.hear(LAST_PAGE) == [WAIT]
    assert client.half_closed
    client.session.receive(sync(record(A0, 7)))  # type: ignore[arg-type]
    if ended:
        client.session.peer_ended()
        assert client.session.next_command() is None, "a record is not durable yet"
    client.settle()
    assert client.shelf.records[Entity("g", "n", A0)] == record(A0, 7)
    assert client.finished is ended


def test_an_older_record_after_the_last_page_is_left_to_the_next_round() -> None:
    client = in_pages(record(A0, 9))
    client.hear(LAST_PAGE)
    assert client.hear(sync(record(A0, 7))) == []
    assert client.session.counts.reasons == {"newer here, after the last page": 1}


def test_records_before_the_first_page_are_taken() -> None:
    client = begun(record(A0, 9))
    client.session.receive(DIFFER)  # type: ignore[arg-type]
    assert NO_MORE_SLOTS in client.hear(sync(record(A0, 7)), sync(record(A1, 7)))
    assert len(client.shelf.records) == 2


def test_records_that_are_no_business_of_this_session_are_skipped_and_counted() -> None:
    shelf = Shelf([], shard=ShardId("g", 1), shards=2)
    client = Side(client_of(shelf), shelf)
    client.settle()
    client.hear(DIFFER)
    ids = {shard_of(Entity("g", "n", id_), 2): id_ for id_ in "abcdefgh"}
    other = next(id_ for id_ in "abcdefgh" if shard_of(Entity("h", "n", id_), 2) == 1)
    client.hear(
        sync(record(ids[1], 1)),
        sync(record(ids[0], 1)),
        sync(record(other, 1, group="h")),
        sync(Unreadable("mod_revision is missing")),
    )
    assert list(shelf.records) == [Entity("g", "n", ids[1])]
    counts = client.session.counts
    assert (counts.received, counts.skipped) == (4, 3)
    assert counts.reasons == {"of another group or shard": 2, "not storable": 1}


def test_a_record_that_the_store_refuses_is_skipped_and_counted() -> None:
    client = in_pages()
    client.refuses = lambda new: new.entity.id == A0
    client.hear(sync(record(A0, 1)), sync(record(A1, 1)))
    assert list(client.shelf.records) == [Entity("g", "n", A1)]
    assert client.session.counts.reasons == {"not storable": 1}


def test_a_leaf_that_no_record_of_ours_could_have_is_skipped_and_counted() -> None:
    """A foreign peer may hold keys that are too long for us, or empty. Its other records are repaired."""
    client = in_pages(record(A0, 1), record(A2, 1))
    leaves = [
        PageLeaf(3, True, f"g/n/{A0}", leaf_of(record(A0, 1)).sha),
        PageLeaf(3, True, "g/n/", "00"),
        PageLeaf(3, True, "no key", "00"),
        PageLeaf(3, True, f"g/n/{A1}", "00"),
        PageLeaf(3, True, "g/n/" + "x" * 5000, "00"),
    ]
    assert client.hear(DifferSummary(tuple(leaves))) == [PropertyMissing(f"g/n/{A1}"), WAIT]
    assert client.session.counts.reasons == {"not storable": 3}
    assert client.hear(LAST_PAGE) == [PropertySync(record(A2, 1)), WAIT]


def test_answers_over_the_cap_are_counted_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "OWED_MAX_BYTES", 1)
    client = in_pages(record(A0, 9), record(A1, 9))
    assert client.hear(sync(record(A0, 1)), sync(record(A1, 1))) == [PropertySync(record(A0, 9))]
    assert client.session.counts.reasons == {"too many answers owed": 1}


def test_reading_waits_for_the_store_once_too_much_is_unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "UNWRITTEN_MAX_RECORDS", 2)
    client = in_pages().session
    assert not client.unwritten_full
    client.receive(sync(record(A0, 1)))  # type: ignore[arg-type]
    assert not client.unwritten_full
    client.receive(sync(record(A1, 1)))  # type: ignore[arg-type]
    assert client.unwritten_full
    assert client.next_write() is not None
    assert not client.unwritten_full
