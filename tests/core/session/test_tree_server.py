"""The server's side alone: what it says to a client that is right, slow, or hostile."""

from __future__ import annotations

import pytest

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session import lanes, tree_server
from gossipnode.core.session.commands import FetchRecords, Finish, ReadLeaves, ReadTree, Send, SessionEnd
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
from gossipnode.core.session.tree import SlotDigest
from gossipnode.core.session.tree_server import TreeServer
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
    id_in_slot,
    leaf_of,
    page,
    record,
    server_of,
)

A0, A1, A2 = sorted(id_in_slot(3, nth) for nth in range(3))
B0, B1 = sorted(id_in_slot(8, nth) for nth in range(2))
C0 = id_in_slot(20)
WAIT = WaitNextDiffer()
ROOT = TreeRoot("g", 0, "another root")


def begun(*held: Record, page_leaves: int = 10) -> Side:
    """A server over these records that has heard a root that differs."""
    shelf = Shelf(held)
    server = Side(server_of(shelf, page_leaves=page_leaves), shelf)
    assert server.hear(ROOT) == [DIFFER]
    return server


def at_page(*held: Record, page_leaves: int = 10) -> Side:
    """A server that has sent its first page to a client that holds nothing."""
    server = begun(*held, page_leaves=page_leaves)
    (first,) = server.hear(NO_MORE_SLOTS)
    assert isinstance(first, DifferSummary)
    return server


def at_last_wait() -> Side:
    return at_page()


def over() -> Side:
    server = at_page()
    assert server.hear(WAIT) == []
    assert server.finished
    return server


def draining(*held: Record) -> Side:
    """A server that has heard the last wait while a record was still on its way to the store."""
    server = at_page(*held)
    while held and server.hear(WAIT) != [LAST_PAGE]:
        pass
    server.session.receive(PropertySync(record(B1, 1)))  # type: ignore[arg-type]
    server.session.receive(WAIT)  # type: ignore[arg-type]
    return server


def syncs(*records: Record) -> list[Message]:
    return [PropertySync(each) for each in records]


# The course of a session, command by command


def test_the_commands_of_a_whole_session() -> None:
    a0, b0 = record(A0, 7), record(B0, 1)
    shelf = Shelf([a0, b0])
    tree = shelf.tree()
    server = TreeServer({"g": 1}, page_leaves=10)
    assert server.shard is None
    assert server.next_command() is None

    server.receive(ROOT)
    assert server.shard == SHARD
    assert server.next_command() == ReadTree(SHARD)
    assert server.next_command() is None
    assert server.tree_read(tree) == (Send((DIFFER,)),)
    assert server.next_command() is None

    server.receive(TreeSlots((SlotDigest(3, "other"),)))
    server.receive(TreeSlots((tree.slots[1], SlotDigest(20, "c"))))
    assert server.next_command() is None
    server.receive(NO_MORE_SLOTS)
    read = ReadLeaves(3, None, 10)
    assert server.next_command() == read
    assert server.leaves_read(read, [leaf_of(a0)]) == Send((page(a0),))
    assert server.next_command() is None

    server.receive(PropertySync(record(A0, 5)))
    server.receive(PropertyMissing(f"g/n/{A0}"))
    assert server.next_command() == FetchRecords((a0.entity,))
    assert server.records_read([a0]) == Send((PropertyAnswer(AnswerTo.MISSING, a0),))
    write = server.next_write()
    assert write is not None
    assert write.records == (record(A0, 5),)
    server.written([WriteOutcome.OLDER])
    assert server.next_command() == FetchRecords((a0.entity,))
    assert server.records_read([a0]) == Send((PropertyAnswer(AnswerTo.SYNC, a0),))
    assert server.next_command() is None

    server.receive(WAIT)
    assert server.next_command() == Send((DifferSummary((PageLeaf(20, False, "", ""),)),))
    assert server.next_command() is None
    server.receive(PropertySync(record(C0, 1)))
    server.receive(WAIT)
    assert server.next_command() == Send((LAST_PAGE,))
    assert server.next_command() is None
    server.receive(WAIT)
    assert server.next_command() is None, "a record is not durable yet"
    write = server.next_write()
    assert write is not None
    assert server.next_command() is None, "a record is not durable yet"
    server.written([WriteOutcome.STORED])
    assert server.next_command() == Finish(SessionEnd.REPAIRED)
    assert server.next_command() is None
    assert (server.counts.sent, server.counts.received, server.counts.skipped) == (2, 2, 0)


def test_the_verdicts() -> None:
    server = TreeServer({"g": 1}, page_leaves=10)
    server.receive(TreeRoot("g", 0, Shelf().tree().root))
    assert server.tree_read(Shelf().tree()) == (Send((EQUAL,)), Finish(SessionEnd.EQUAL))
    assert server.next_command() is None
    server = TreeServer({"g": 1}, page_leaves=10)
    server.receive(ROOT)
    assert server.tree_read(None) == (Send((NOT_FOUND,)), Finish(SessionEnd.NO_TREE))
    assert server.next_command() is None


def test_a_group_that_is_not_served_has_no_tree() -> None:
    server = TreeServer({}, page_leaves=10)
    server.receive(TreeRoot("elsewhere", 4, ""))
    assert server.next_command() == ReadTree(ShardId("elsewhere", 4))
    assert server.tree_read(None) == (Send((NOT_FOUND,)), Finish(SessionEnd.NO_TREE))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_pages_hold_so_many_leaves_and_stay_in_their_slot(count: int) -> None:
    ids = sorted(id_in_slot(3, nth) for nth in range(count))
    held = [record(id_, 1) for id_ in ids]
    server = begun(*held, record(B0, 1), page_leaves=2)
    sent = server.hear(NO_MORE_SLOTS)
    while sent[-1] != LAST_PAGE:
        sent += server.hear(WAIT)
    expected = [page(*held[at : at + 2]) for at in range(0, count, 2)]
    assert sent == [*expected, page(record(B0, 1)), LAST_PAGE]


def test_a_page_ends_at_its_limit_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [record(each, 1) for each in (A0, A1, A2)]
    size = sum(tree_server.LEAF_OVERHEAD_BYTES + len(each.entity.text) for each in held[:2])
    monkeypatch.setattr(tree_server, "PAGE_MAX_BYTES", size)
    server = begun(*held)
    assert server.hear(NO_MORE_SLOTS) == [page(*held[:2])]
    assert server.hear(WAIT) == [page(held[2])]
    assert server.hear(WAIT) == [LAST_PAGE]
    monkeypatch.setattr(tree_server, "PAGE_MAX_BYTES", size - 1)
    server = begun(*held)
    assert [server.hear(each) for each in (NO_MORE_SLOTS, WAIT, WAIT, WAIT)] == [
        *([page(each)] for each in held),
        [LAST_PAGE],
    ]


def test_a_page_holds_one_leaf_even_if_that_is_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_server, "PAGE_MAX_BYTES", 0)
    server = begun(record(A0, 1), record(A1, 1))
    assert server.hear(NO_MORE_SLOTS) == [page(record(A0, 1))]
    assert server.hear(WAIT) == [page(record(A1, 1))]


def test_a_page_counts_bytes_of_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [id_ for id_ in (f"ü{number}" for number in range(500)) if _slot(id_) == 3][:2]
    held = sorted((record(id_, 1) for id_ in ids), key=lambda each: each.entity)
    size = sum(tree_server.LEAF_OVERHEAD_BYTES + len(each.entity.text.encode()) for each in held)
    monkeypatch.setattr(tree_server, "PAGE_MAX_BYTES", size)
    assert begun(*held).hear(NO_MORE_SLOTS) == [page(*held)]
    monkeypatch.setattr(tree_server, "PAGE_MAX_BYTES", size - 1)
    assert begun(*held).hear(NO_MORE_SLOTS) == [page(held[0])]


def _slot(id_: str) -> int:
    return leaf_of(record(id_, 1)).slot


def test_a_slot_emptied_since_it_was_announced_is_passed_over() -> None:
    server = begun(record(A0, 1), record(B0, 1))
    del server.shelf.records[Entity("g", "n", A0)]
    assert server.hear(NO_MORE_SLOTS) == [page(record(B0, 1))]


def test_the_slots_that_the_server_lacks_come_on_one_page_behind_the_others() -> None:
    server = begun(record(A0, 1))
    server.hear(TreeSlots((SlotDigest(0, "x"), SlotDigest(3, "x"))), TreeSlots((SlotDigest(31, "x"),)))
    assert server.hear(NO_MORE_SLOTS) == [page(record(A0, 1))]
    assert server.hear(WAIT) == [DifferSummary((PageLeaf(0, False, "", ""), PageLeaf(31, False, "", "")))]
    assert server.hear(WAIT) == [LAST_PAGE]


def test_pages_do_not_run_ahead_of_the_wait() -> None:
    server = at_page(record(A0, 1), record(B0, 1))
    assert server.settle() == []
    assert server.hear(PropertyMissing(f"g/n/{A0}")) == [PropertyAnswer(AnswerTo.MISSING, record(A0, 1))]
    assert server.hear(WAIT) == [page(record(B0, 1))]


# Records of the client, and what is owed to it


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
    """It may ask on and on: the keys are kept, the records are read when the stream takes them."""
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
    """A foreign client answers our late answers even after its last wait (recorded)."""
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


# The end of the client's half


def test_a_client_may_end_its_half_after_the_root_alone() -> None:
    for tree_is_read in (False, True):
        shelf = Shelf([record(A0, 1)])
        server = TreeServer({"g": 1}, page_leaves=10)
        server.receive(ROOT)
        if tree_is_read:
            assert server.next_command() == ReadTree(SHARD)
        server.peer_ended()
        if not tree_is_read:
            assert server.next_command() == ReadTree(SHARD)
        assert server.tree_read(shelf.tree()) == (Send((DIFFER,)), Finish(SessionEnd.VERDICT))
        assert server.next_command() is None


def test_a_client_may_end_its_half_when_it_has_the_verdict() -> None:
    server = begun(record(A0, 1))
    server.session.peer_ended()
    assert server.session.next_command() == Finish(SessionEnd.VERDICT)


def test_a_client_may_not_end_its_half_in_the_middle_of_its_slots() -> None:
    server = begun(record(A0, 1))
    server.hear(TreeSlots((SlotDigest(3, "x"),)))
    with pytest.raises(SessionViolationError, match="the client ended the session: expected tree_slots"):
        server.session.peer_ended()


def test_answers_go_on_when_no_more_can_be_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "ANSWERED_MAX_ENTITIES", 1)
    server = at_page(record(A0, 5), record(A1, 5))
    server.hear(*syncs(record(A0, 1), record(A1, 1)))
    assert server.session.counts.skipped == 0
    assert server.session.counts.sent == 2


def test_a_client_may_end_its_half_after_the_last_wait() -> None:
    server = draining()
    server.session.peer_ended()
    server.settle()
    assert server.end is SessionEnd.REPAIRED
    server.session.peer_ended()


# What a client must not do, in each phase


def fresh() -> Side:
    shelf = Shelf()
    return Side(server_of(shelf), shelf)


def before_tree() -> Side:
    server = fresh()
    server.session.receive(ROOT)  # type: ignore[arg-type]
    return server


def reading_tree() -> Side:
    server = before_tree()
    assert server.session.next_command() == ReadTree(SHARD)
    return server


def before_page() -> Side:
    server = begun(record(A0, 1))
    server.session.receive(NO_MORE_SLOTS)  # type: ignore[arg-type]
    return server


def over_by_verdict() -> Side:
    server = fresh()
    assert server.hear(TreeRoot("g", 0, "")) == [EQUAL]
    assert server.finished
    return server


WAIT_TEXT = "property_missing, property_sync or wait_next_differ"
PHASES = {
    "root": (fresh, "tree_root", {"tree_root"}),
    "before tree": (before_tree, "nothing before root_compare", set()),
    "reading tree": (reading_tree, "nothing before root_compare", set()),
    "slots": (lambda: begun(record(A0, 1)), "tree_slots", {"tree_slots", "property_sync"}),
    "before page": (
        before_page,
        "property_missing or property_sync, and wait_next_differ only after the next page",
        {"property_missing", "property_sync"},
    ),
    "wait": (
        lambda: at_page(record(A0, 1)),
        WAIT_TEXT,
        {"property_missing", "property_sync", "wait_next_differ"},
    ),
    "last wait": (at_last_wait, WAIT_TEXT, {"property_missing", "property_sync", "wait_next_differ"}),
    "drain": (draining, "no more than property_sync after the last wait_next_differ", {"property_sync"}),
    "over": (over, "nothing after the end", {"property_sync"}),
    "over by verdict": (over_by_verdict, "nothing after the end", set()),
}
MESSAGES: dict[str, Message] = {
    "tree_root": ROOT,
    "tree_slots": TreeSlots((SlotDigest(1, "x"),)),
    "property_sync": PropertySync(record(C0, 1)),
    "property_missing": PropertyMissing(f"g/n/{C0}"),
    "wait_next_differ": WAIT,
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_out_of_order_ends_the_session_and_says_what_was_expected(phase: str, name: str) -> None:
    make, expected, allowed = PHASES[phase]
    session = make().session  # type: ignore[operator]
    if name in allowed:
        session.receive(MESSAGES[name])
        return
    with pytest.raises(SessionViolationError) as error:
        session.receive(MESSAGES[name])
    assert str(error.value) == f"expected {expected}, got {name}"


@pytest.mark.parametrize(
    "phase", sorted({*PHASES} - {"slots", "before tree", "reading tree", "drain", "over", "over by verdict"})
)
def test_an_early_end_of_the_clients_half_says_what_was_expected(phase: str) -> None:
    make, expected, _ = PHASES[phase]
    session = make().session  # type: ignore[operator]
    with pytest.raises(SessionViolationError) as error:
        session.peer_ended()
    assert str(error.value) == f"the client ended the session: expected {expected}"


@pytest.mark.parametrize(
    ("pages", "problem"),
    [
        ([[-1]], "slot -1 after -1"),
        ([[32]], "slot 32 after -1"),
        ([[31, 31]], "slot 31 after 31"),
        ([[5, 4]], "slot 4 after 5"),
        ([[5], [5]], "slot 5 after 5"),
        ([[0, 5], [6, 3]], "slot 3 after 6"),
        ([[0], [0]], "slot 0 after 0"),
    ],
)
def test_slots_out_of_range_or_order_end_the_session(pages: list[list[int]], problem: str) -> None:
    server = begun(record(A0, 1))
    *taken, wrong = [TreeSlots(tuple(SlotDigest(slot, "x") for slot in slots)) for slots in pages]
    server.hear(*taken)
    with pytest.raises(SessionViolationError) as error:
        server.session.receive(wrong)
    assert str(error.value) == f"tree_slots: {problem}: expected ascending, below 32"


def test_slots_from_the_first_to_the_last_are_taken() -> None:
    server = begun(record(A0, 1))
    server.hear(TreeSlots(tuple(SlotDigest(slot, "x") for slot in range(32))))
    assert server.hear(NO_MORE_SLOTS) == [page(record(A0, 1))]
    ((missing,),) = [server.hear(WAIT)]
    assert [leaf.slot for leaf in missing.leaves] == [slot for slot in range(32) if slot != 3]


def test_results_that_do_not_fit_what_was_asked_are_a_fault_of_the_caller() -> None:
    server = at_page(record(A0, 1)).session
    server.receive(PropertyMissing(f"g/n/{A0}"))
    assert isinstance(server.next_command(), FetchRecords)
    with pytest.raises(ValueError, match="shorter"):
        server.records_read([])
    server.receive(PropertySync(record(A1, 1)))
    assert server.next_write() is not None
    with pytest.raises(ValueError, match="shorter"):
        server.written([])


def test_nothing_that_the_client_says_matters_once_the_session_is_over() -> None:
    server = draining()
    assert not server.session.over
    server.settle()
    assert server.finished
    assert server.session.over
