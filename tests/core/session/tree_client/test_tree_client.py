"""The client alone: the course of its session, and how it merges pages with its own leaves."""

from __future__ import annotations

import pytest

from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.model.property import Entity
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import FetchRecords, Finish, HalfClose, ReadLeaves, Send, SessionEnd
from gossipnode.core.session.messages import (
    AnswerTo,
    DifferSummary,
    PageLeaf,
    PropertyMissing,
    PropertySync,
    TreeRoot,
    TreeSlots,
)
from gossipnode.core.session.tree_client import MERGE_STEP_LEAVES, TreeClient
from tests.core.session.talk import (
    DIFFER,
    EQUAL,
    LAST_PAGE,
    NO_MORE_SLOTS,
    NOT_FOUND,
    Message,
    Side,
    client_of,
    page,
)
from tests.core.session.tree_client.client_side import (
    A0,
    A1,
    A2,
    B0,
    B1,
    WAIT,
    begun,
    in_pages,
    slot_page,
    sync,
)
from tests.core.support import SHARD, Shelf, leaf_of, record


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


@pytest.mark.parametrize(("leaves", "rests"), [(512, 0), (513, 1), (5000, 9)])
def test_a_large_page_is_compared_in_steps(leaves: int, rests: int) -> None:
    client = in_pages(record(A0, 1))
    nothing = PageLeaf(3, True, "", "")
    assert client.hear(DifferSummary((nothing,) * leaves)) == [WAIT]
    assert client.rests == rests
    assert client.session.counts.skipped == leaves


def test_no_step_compares_more_than_its_leaves() -> None:
    client = in_pages(record(A0, 1)).session
    client.receive(DifferSummary((PageLeaf(3, True, "", ""),) * 5000))  # type: ignore[arg-type]
    before = 0
    while not isinstance(command := client.next_command(), Send):
        if isinstance(command, ReadLeaves):
            client.leaves_read(command, ())
        assert client.counts.skipped - before <= MERGE_STEP_LEAVES
        before = client.counts.skipped
    assert client.counts.skipped == 5000
