"""The client's side alone: what it says to a server that is right, slow, or hostile."""

from __future__ import annotations

import pytest

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session import lanes
from gossipnode.core.session.commands import FetchRecords, Finish, HalfClose, ReadLeaves, Send, SessionEnd
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    TreeRoot,
    TreeSlots,
    Unreadable,
    WaitNextDiffer,
)
from gossipnode.core.session.tree import Tree
from gossipnode.core.session.tree_client import PENDING_PAGES_MAX, TreeClient
from tests.core.support import (
    DIFFER,
    EQUAL,
    LAST_PAGE,
    NO_MORE_SLOTS,
    NOT_FOUND,
    SHARD,
    Message,
    Shelf,
    Side,
    client_of,
    id_in_slot,
    leaf_of,
    page,
    record,
)

A0, A1, A2 = sorted(id_in_slot(3, nth) for nth in range(3))
B0, B1 = sorted(id_in_slot(8, nth) for nth in range(2))
WAIT = WaitNextDiffer()


def begun(*held: object) -> Side:
    """A client over these records that has sent its root."""
    shelf = Shelf(held)  # type: ignore[arg-type]
    client = Side(client_of(shelf), shelf)
    assert client.settle() == [TreeRoot("g", 0, shelf.tree().root)]
    return client


def in_pages(*held: object) -> Side:
    """A client over these records that has heard of a mismatch and sent its slots."""
    client = begun(*held)
    assert client.hear(DIFFER)[-1] == NO_MORE_SLOTS
    return client


def slot_page(*slots: int) -> DifferSummary:
    return DifferSummary(tuple(PageLeaf(slot, False, "", "") for slot in slots))


def sync(new: object, answer_to: AnswerTo = AnswerTo.SYNC) -> PropertyAnswer:
    return PropertyAnswer(answer_to, new)  # type: ignore[arg-type]


# The course of a session, command by command


def test_the_commands_of_a_whole_session() -> None:
    """A record that differs, one that we lack, one that only we have, and the server's answers."""
    a0, b0 = record(A0, 5), record(B0, 1)
    shelf = Shelf([a0, b0])
    client = TreeClient(SHARD, 1, shelf.tree(), page_leaves=10)

    assert client.next_command() == Send((TreeRoot("g", 0, shelf.tree().root),))
    assert client.next_command() is None
    client.receive(DIFFER)
    assert client.next_command() == Send((TreeSlots(shelf.tree().slots), TreeSlots(())))
    assert client.next_command() is None

    client.receive(page(record(A0, 7), record(A1, 1)))
    read = ReadLeaves(3, None, 10)
    assert client.next_command() == read
    client.leaves_read(read, [leaf_of(a0)])
    assert client.next_command() == FetchRecords((a0.entity,))
    assert client.records_read([a0]) == Send((PropertySync(a0),))
    assert client.next_command() == Send((PropertyMissing(f"g/n/{A1}"),))
    assert client.next_command() == Send((WAIT,))
    assert client.next_command() is None

    client.receive(sync(record(A0, 7)))
    client.receive(sync(record(A1, 1), AnswerTo.MISSING))
    write = client.next_write()
    assert write is not None
    assert write.records == (record(A0, 7), record(A1, 1))
    assert client.next_write() is None

    client.receive(slot_page(8))
    read = ReadLeaves(8, None, 10)
    assert client.next_command() == read
    client.leaves_read(read, [leaf_of(b0)])
    assert client.next_command() == FetchRecords((b0.entity,))
    assert client.records_read([b0]) == Send((PropertySync(b0),))
    assert client.next_command() == Send((WAIT,))

    client.receive(LAST_PAGE)
    assert client.next_command() is None, "what the store says may still have to be answered"
    client.written([WriteOutcome.STORED, WriteOutcome.STORED])
    assert client.next_command() == Send((WAIT,))
    assert client.next_command() == HalfClose()
    assert client.next_command() is None
    client.peer_ended()
    assert client.next_command() == Finish(SessionEnd.REPAIRED)
    assert client.next_command() is None, "the end is said once"
    assert (client.counts.sent, client.counts.received, client.counts.skipped) == (2, 2, 0)


@pytest.mark.parametrize(("verdict", "end"), [(EQUAL, SessionEnd.EQUAL), (NOT_FOUND, SessionEnd.NO_TREE)])
def test_a_verdict_can_end_the_session(verdict: Message, end: SessionEnd) -> None:
    client = begun(record(A0, 1))
    assert client.hear(verdict) == []
    assert client.end is end
    client.session.peer_ended()


def test_a_client_without_leaves_sends_just_the_end_of_its_slots() -> None:
    client = begun()
    assert client.hear(DIFFER) == [NO_MORE_SLOTS]


def test_an_equal_leaf_says_nothing() -> None:
    client = in_pages(record(A0, 1), record(B0, 1))
    assert client.hear(page(record(A0, 1))) == [WAIT]


def test_a_page_of_leaves_may_span_slots() -> None:
    client = in_pages(record(A1, 1), record(B1, 1))
    assert client.hear(page(record(A0, 1), record(B0, 1))) == [
        PropertySync(record(A1, 1)),
        PropertyMissing(f"g/n/{A0}"),
        PropertyMissing(f"g/n/{B0}"),
        WAIT,
    ]
    assert client.hear(LAST_PAGE) == [PropertySync(record(B1, 1)), WAIT]


def test_a_slot_may_go_on_over_several_pages() -> None:
    client = in_pages(record(A0, 1), record(A1, 1), record(A2, 1))
    assert client.hear(page(record(A0, 1))) == [WAIT]
    assert client.hear(page(record(A2, 1))) == [PropertySync(record(A1, 1)), WAIT]
    assert client.hear(LAST_PAGE) == [WAIT]


def test_slots_that_the_server_lacks_are_sent_whole_whatever_the_page_size() -> None:
    held = [record(each, 1) for each in (A0, A1, A2, B0)]
    shelf = Shelf(held)
    client = Side(client_of(shelf, page_leaves=2), shelf)
    client.settle()
    client.hear(DIFFER)
    assert client.hear(slot_page(3, 8)) == [*(PropertySync(each) for each in held), WAIT]
    limits = [(each.slot, each.after) for each in client.commands if isinstance(each, ReadLeaves)]
    assert limits == [(3, None), (3, Entity("g", "n", A1)), (8, None)]


def test_a_slot_that_neither_side_has_is_no_harm() -> None:
    client = in_pages(record(A0, 1))
    assert client.hear(slot_page(0, SLOT_COUNT - 1)) == [WAIT]


def test_a_record_purged_since_its_leaf_was_read_is_not_sent() -> None:
    client = in_pages(record(A0, 1), record(A1, 1))
    del client.shelf.records[Entity("g", "n", A0)]
    session = client.session
    session.receive(page(record(A2, 1)))  # type: ignore[arg-type]
    read = session.next_command()
    assert isinstance(read, ReadLeaves)
    session.leaves_read(read, [leaf_of(record(A0, 1)), leaf_of(record(A1, 1))])
    assert client.settle() == [PropertySync(record(A1, 1)), PropertyMissing(f"g/n/{A2}"), WAIT]
    assert session.records_read([None]) is None


# Records of the server


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
    """A foreign peer may hold longer or emptier keys than we may. Its other records are repaired."""
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


# What a server must not do


def refused(client: Side, message: Message) -> str:
    with pytest.raises(SessionViolationError) as error:
        client.session.receive(message)  # type: ignore[arg-type]
    return str(error.value)


def test_nothing_is_taken_before_the_root_was_sent() -> None:
    shelf = Shelf()
    assert refused(Side(client_of(shelf), shelf), DIFFER) == "expected one root_compare, after tree_root"
    assert (
        refused(Side(client_of(shelf), shelf), LAST_PAGE) == "expected root_compare, got differ_tree_summary"
    )


@pytest.mark.parametrize(
    ("message", "name"), [(LAST_PAGE, "differ_tree_summary"), (sync(record(A0, 1)), "property_sync")]
)
def test_nothing_but_the_verdict_answers_the_root(message: Message, name: str) -> None:
    assert refused(begun(), message) == f"expected root_compare, got {name}"


@pytest.mark.parametrize("verdict", [EQUAL, DIFFER, NOT_FOUND])
def test_a_second_verdict_is_refused(verdict: Message) -> None:
    client = begun()
    client.session.receive(verdict)  # type: ignore[arg-type]
    assert refused(client, DIFFER) == "expected one root_compare, after tree_root"
    if verdict is DIFFER:
        client.settle()
        assert refused(client, EQUAL) == "expected one root_compare, after tree_root"


@pytest.mark.parametrize("verdict", [EQUAL, NOT_FOUND])
@pytest.mark.parametrize(
    ("message", "name"), [(LAST_PAGE, "differ_tree_summary"), (sync(record(A0, 1)), "property_sync")]
)
def test_nothing_follows_a_verdict_that_ends_the_session(
    verdict: Message, message: Message, name: str
) -> None:
    client = begun()
    client.hear(verdict)
    assert refused(client, message) == f"expected the end of the session, got {name}"


def test_nothing_follows_the_last_page_but_records() -> None:
    client = in_pages()
    client.session.receive(LAST_PAGE)  # type: ignore[arg-type]
    assert refused(client, LAST_PAGE) == "differ_tree_summary after the last page"
    assert refused(client, page(record(A0, 1))) == "differ_tree_summary after the last page"
    assert client.settle() == [WAIT]
    assert refused(client, page(record(A0, 1))) == "differ_tree_summary after the last page"
    client.hear(sync(record(A0, 1)))


def test_pages_may_come_ahead_of_the_wait_only_so_far() -> None:
    client = in_pages()
    for _ in range(PENDING_PAGES_MAX):
        client.session.receive(slot_page(1))  # type: ignore[arg-type]
    assert refused(client, slot_page(1)) == "differ_tree_summary pages ahead of wait_next_differ"
    assert refused(client, LAST_PAGE) == "differ_tree_summary pages ahead of wait_next_differ"


@pytest.mark.parametrize("slot", [-1, SLOT_COUNT, SLOT_COUNT + 5])
@pytest.mark.parametrize("exists", [True, False])
def test_a_slot_out_of_range_ends_the_session(slot: int, exists: bool) -> None:
    client = in_pages()
    client.session.receive(DifferSummary((PageLeaf(slot, exists, "g/n/x", "00"),)))  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError) as error:
        client.settle()
    assert str(error.value) == f"slot {slot} is not between 0 and 31"


def test_a_slot_that_comes_again_ends_the_session() -> None:
    client = in_pages()
    client.hear(page(record(A0, 1)), page(record(B0, 1)))
    client.session.receive(page(record(A1, 1)))  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError) as error:
        client.settle()
    assert str(error.value) == "slot 3 came again after another one"


def test_a_slot_named_as_lacking_does_not_come_again() -> None:
    client = in_pages()
    client.session.receive(slot_page(3, 3))  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError, match=r"^slot 3 came again"):
        client.settle()


@pytest.mark.parametrize("verdict", [None, DIFFER])
def test_an_end_before_the_last_page_is_refused(verdict: Message | None) -> None:
    client = begun()
    for message in [verdict] if verdict else []:
        client.session.receive(message)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(SessionViolationError) as error:
            client.session.peer_ended()
        assert str(error.value) == "the server ended the session before its last page"
        client.settle()


def test_an_end_is_taken_once_the_last_wait_is_sent() -> None:
    client = in_pages()
    client.session.receive(LAST_PAGE)  # type: ignore[arg-type]
    with pytest.raises(SessionViolationError):
        client.session.peer_ended()
    assert client.session.next_command() == Send((WAIT,))
    client.session.peer_ended()
    assert client.session.next_command() == Finish(SessionEnd.REPAIRED)


def test_leaves_that_were_not_asked_for_are_a_fault_of_the_caller() -> None:
    client = TreeClient(SHARD, 1, Tree("", ()), page_leaves=10)
    with pytest.raises(AssertionError, match="leaves of a slot that was not asked for"):
        client.leaves_read(ReadLeaves(3, None, 10), [])
    side = in_pages()
    side.session.receive(slot_page(3))  # type: ignore[arg-type]
    assert side.session.next_command() == ReadLeaves(3, None, 10)
    with pytest.raises(AssertionError, match="leaves of a slot that was not asked for"):
        side.session.leaves_read(ReadLeaves(4, None, 10), [])


def test_a_server_that_repeats_itself_gets_no_more_than_it_may() -> None:
    """The same leaves and the same stale record again and again: bounded answers, no end of the session."""
    client = in_pages(record(A0, 9))
    said: list[Message] = []
    for _ in range(20):
        said += client.hear(page(record(A1, 1)), sync(record(A0, 1)))
    assert said.count(PropertySync(record(A0, 9))) <= 2
    assert said.count(WAIT) == 20


def test_results_that_do_not_fit_what_was_asked_are_a_fault_of_the_caller() -> None:
    client = in_pages(record(A0, 1)).session
    client.receive(sync(record(A0, 2)))  # type: ignore[arg-type]
    assert client.next_write() is not None
    with pytest.raises(ValueError, match="shorter"):
        client.written([])


def test_nothing_that_the_server_says_matters_once_it_has_ended_or_judged() -> None:
    assert not begun().session.over
    client = in_pages(record(A0, 1))
    client.hear(LAST_PAGE)
    assert not client.session.over
    client.session.peer_ended()
    assert client.session.over
    for verdict in (EQUAL, NOT_FOUND):
        client = begun()
        client.hear(verdict)
        assert client.session.over


def test_a_client_does_not_read_its_tree() -> None:
    with pytest.raises(AssertionError, match="a client does not read its tree"):
        begun().session.tree_read(None)
