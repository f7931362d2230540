"""The server alone: what a client must not do, in each phase."""

from __future__ import annotations

import pytest

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.session.commands import FetchRecords, ReadTree
from gossipnode.core.session.messages import PropertyMissing, PropertySync, TreeRoot, TreeSlots
from gossipnode.core.session.tree import SlotDigest
from tests.core.session.talk import EQUAL, NO_MORE_SLOTS, Message, Side, page, server_of
from tests.core.session.tree_server.server_side import (
    A0,
    A1,
    C0,
    ROOT,
    WAIT,
    at_last_wait,
    at_page,
    begun,
    draining,
    over,
)
from tests.core.support import SHARD, Shelf, record


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
