"""The server alone: what it does with the records of the client, and which answers it owes."""

from __future__ import annotations

import pytest

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.session import lanes
from gossipnode.core.session.commands import FetchRecords, SessionEnd
from gossipnode.core.session.messages import (
    AnswerTo,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    TreeRoot,
    Unreadable,
)
from gossipnode.core.session.tree_server import TreeServer
from tests.core.session.talk import LAST_PAGE, NO_MORE_SLOTS, Side, page
from tests.core.session.tree_server.server_side import (
    A0,
    A1,
    A2,
    B0,
    B1,
    C0,
    WAIT,
    at_last_wait,
    at_page,
    begun,
    draining,
    over,
    syncs,
)
from tests.core.support import Shelf, record


def test_an_older_record_is_answered_once_in_a_session_by_ours() -> None:
    server = at_page(record(A0, 7))
    older = PropertySync(record(A0, 5))
    assert server.hear(older) == [PropertyAnswer(AnswerTo.SYNC, record(A0, 7))]
    for _ in range(5):
        assert server.hear(older) == []
    assert server.session.counts.reasons == {"the peer keeps an older version": 5}


def test_a_newer_or_equal_record_is_not_answered() -> None:
    server = at_page(record(A0, 7), record(A1, 7))
    assert server.hear(PropertySync(record(A0, 8)), PropertySync(record(A1, 7))) == []
    assert server.shelf.records[Entity("g", "n", A0)] == record(A0, 8)


def test_a_record_is_taken_whether_its_slot_was_offered_or_not() -> None:
    server = begun(record(A0, 1))
    assert server.hear(PropertySync(record(C0, 1))) == []
    assert Entity("g", "n", C0) in server.shelf.records


def test_records_of_another_group_or_shard_are_skipped_and_counted() -> None:
    shelf = Shelf(shard=ShardId("g", 1), shards=2)
    server = Side(TreeServer({"g": 2, "h": 2}, page_leaves=10), shelf)
    server.hear(TreeRoot("g", 1, "another root"))
    server.hear(NO_MORE_SLOTS)
    ids = {shard_of(Entity("g", "n", id_), 2): id_ for id_ in "abcdefgh"}
    other = next(id_ for id_ in "abcdefgh" if shard_of(Entity("h", "n", id_), 2) == 1)
    assert server.hear(*syncs(record(ids[1], 1), record(ids[0], 1), record(other, 1, group="h"))) == []
    assert list(shelf.records) == [Entity("g", "n", ids[1])]
    assert server.hear(PropertyMissing(f"g/n/{ids[0]}"), PropertyMissing(f"h/n/{other}")) == []
    counts = server.session.counts
    assert (counts.received, counts.skipped) == (3, 4)
    assert counts.reasons == {"of another group or shard": 4}


def test_what_cannot_be_stored_is_skipped_and_counted() -> None:
    server = at_page(record(A0, 1))
    server.refuses = lambda new: new.entity.id == B0
    unreadable = PropertySync(Unreadable("mod_revision is missing"))
    assert server.hear(unreadable, *syncs(record(B0, 1), record(B1, 1))) == []
    assert sorted(entity.id for entity in server.shelf.records) == sorted([A0, B1])
    assert server.session.counts.reasons == {"not storable": 2}
    assert server.session.counts.received == 3


@pytest.mark.parametrize("text", ["", "g", "g/n", "g/n/", "//", "g/n/" + "x" * 4097, "g" * 256 + "/n/i"])
def test_a_key_that_no_property_may_have_is_skipped_and_counted(text: str) -> None:
    server = at_page(record(A0, 1))
    assert server.hear(PropertyMissing(text)) == []
    assert server.session.counts.reasons == {"not storable": 1}


def test_a_key_that_is_not_held_is_not_answered() -> None:
    server = at_page(record(A0, 1))
    assert server.hear(PropertyMissing(f"g/n/{A1}")) == []
    assert server.hear(PropertyMissing(f"g/n/{A1}"), PropertyMissing(f"g/n/{A0}")) == [
        PropertyAnswer(AnswerTo.MISSING, record(A0, 1))
    ]
    assert server.session.counts.sent == 1


def test_answers_over_the_cap_are_counted_and_left_to_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "OWED_MAX_BYTES", 1)
    server = at_page(record(A0, 1), record(A1, 1), record(A2, 1))
    asked = [PropertyMissing(f"g/n/{id_}") for id_ in (A0, A1, A2)]
    assert server.hear(*asked) == [PropertyAnswer(AnswerTo.MISSING, record(A0, 1))]
    assert server.session.counts.reasons == {"too many answers owed": 2}
    # There is room again once the answer is on its way.
    assert server.hear(asked[1]) == [PropertyAnswer(AnswerTo.MISSING, record(A1, 1))]


def test_late_answers_over_the_cap_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "OWED_MAX_BYTES", 1)
    server = at_page(record(A0, 7), record(A1, 7))
    assert server.hear(*syncs(record(A0, 5), record(A1, 5))) == [PropertyAnswer(AnswerTo.SYNC, record(A0, 7))]
    assert server.session.counts.reasons == {"too many answers owed": 1}


def test_a_client_that_reads_no_answer_costs_no_more_than_keys() -> None:
    """It may ask again and again. Only keys are kept; records are read when the stream takes them."""
    server = at_page(record(A0, 1))
    for _ in range(1000):
        server.session.receive(PropertyMissing(f"g/n/{A0}"))  # type: ignore[arg-type]
    command = server.session.next_command()
    assert isinstance(command, FetchRecords)
    assert len(command.entities) == 16


def test_owed_answers_come_before_the_next_page() -> None:
    server = at_page(record(A0, 1), record(B0, 1))
    assert server.hear(PropertyMissing(f"g/n/{A0}"), WAIT) == [
        PropertyAnswer(AnswerTo.MISSING, record(A0, 1)),
        page(record(B0, 1)),
    ]


def test_the_end_comes_after_what_the_store_causes_to_be_answered() -> None:
    server = at_page(record(A0, 7))
    assert server.hear(WAIT) == [LAST_PAGE]
    assert server.hear(PropertySync(record(A0, 5)), WAIT) == [PropertyAnswer(AnswerTo.SYNC, record(A0, 7))]
    assert server.end is SessionEnd.REPAIRED


def test_records_after_the_last_page_are_taken() -> None:
    server = at_last_wait()
    assert server.hear(*syncs(record(A0, 1)), PropertyMissing(f"g/n/{C0}"), WAIT) == []
    assert Entity("g", "n", A0) in server.shelf.records
    assert server.end is SessionEnd.REPAIRED


def test_a_record_after_the_last_wait_is_taken_while_the_store_is_busy() -> None:
    """A recorded foreign client answers late records even after its last wait."""
    server = draining()
    assert server.hear(*syncs(record(A0, 1))) == []
    assert sorted(entity.id for entity in server.shelf.records) == sorted([A0, B1])
    assert server.end is SessionEnd.REPAIRED


def test_reading_waits_for_the_store_once_too_much_is_unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "UNWRITTEN_MAX_BYTES", 1)
    server = at_page(record(A0, 1)).session
    assert not server.unwritten_full
    server.receive(PropertySync(record(A1, 1)))  # type: ignore[arg-type]
    assert server.unwritten_full
    assert server.next_write() is not None
    assert not server.unwritten_full


def test_a_record_after_the_end_is_left_to_the_next_round() -> None:
    server = over()
    assert server.hear(*syncs(record(A0, 1))) == []
    assert server.session.next_write() is None
    assert server.session.counts.received == 0
