"""The server alone: the course of its session, its pages, and the end of the client's half."""

from __future__ import annotations

import pytest

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.property import Entity, ShardId
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
)
from gossipnode.core.session.tree import SlotDigest, Tree
from gossipnode.core.session.tree_server import TreeServer
from tests.core.session.talk import DIFFER, EQUAL, LAST_PAGE, NO_MORE_SLOTS, NOT_FOUND, page
from tests.core.session.tree_server.server_side import (
    A0,
    A1,
    A2,
    B0,
    C0,
    ROOT,
    WAIT,
    at_page,
    begun,
    draining,
    syncs,
)
from tests.core.support import SHARD, Shelf, id_in_slot, leaf_of, record


def judging(tree: Tree) -> TreeServer:
    """A server that judges a root that differs, command by command."""
    server = TreeServer({"g": 1}, page_leaves=10)
    assert server.shard is None
    assert server.next_command() is None
    server.receive(ROOT)
    assert server.shard == SHARD
    assert server.next_command() == ReadTree(SHARD)
    assert server.next_command() is None
    assert server.tree_read(tree) == (Send((DIFFER,)),)
    assert server.next_command() is None
    return server


def test_the_commands_of_a_whole_session() -> None:
    a0, b0 = record(A0, 7), record(B0, 1)
    tree = Shelf([a0, b0]).tree()
    server = judging(tree)

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
def test_pages_are_bounded_in_leaves_and_stay_in_their_slot(count: int) -> None:
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


def test_the_slots_that_the_server_lacks_come_on_one_page_after_the_others() -> None:
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
