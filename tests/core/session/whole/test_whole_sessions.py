"""Whole tree sessions: what both sides held, every message, and what both hold afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Record
from gossipnode.core.ring.turn import Cause, EndRound, Forward, HolderTurn, HopEnd, RepairWith, RoundMessage
from gossipnode.core.session.commands import (
    FetchRecords,
    Finish,
    ReadLeaves,
    ReadTree,
    Send,
    SessionCounts,
    SessionEnd,
)
from gossipnode.core.session.lanes import READ_BATCH_RECORDS
from gossipnode.core.session.messages import RootCompare, TreeRoot
from gossipnode.core.session.tree_client import SEND_BATCH_MESSAGES
from tests.core.session.talk import NOT_FOUND, Side, Talk, client_of, repair, talk
from tests.core.support import SHARD, Shelf, examples, id_in_slot, record

# Ids by slot: a0 and a1 are both in slot 3, and so on. In one slot, "i12" sorts before "i7".
A0, A1, A2 = sorted(id_in_slot(3, nth) for nth in range(3))
B0, B1 = sorted(id_in_slot(8, nth) for nth in range(2))
C0 = id_in_slot(20)


def lines_of(done: Talk, side: str) -> list[str]:
    return [line.removeprefix(f"{side}: ") for line in done.lines if line.startswith(f"{side}: ")]


# The three rules that everything else rests on (the second is in test_tree.py)


def test_the_client_sends_its_root_alone_and_nothing_else_before_the_verdict() -> None:
    shelf = Shelf([record(A0, 1), record(B0, 1)])
    client = Side(client_of(shelf), shelf)
    assert client.settle() == [TreeRoot("g", 0, shelf.tree().root)]
    assert client.commands == [Send((TreeRoot("g", 0, shelf.tree().root),))]
    # However often it is asked, there is no more to do before the server has spoken.
    for _ in range(3):
        assert client.settle() == []
    assert client.hear(RootCompare(tree_found=True, root_match=False)) != []


def test_a_peer_whose_tree_is_missing_is_skipped_and_the_next_one_repaired() -> None:
    shelves = {
        "a": Shelf([record(A0, 1)]),
        "b": Shelf(),
        "c": Shelf([record(B0, 1)]),
        "d": Shelf(),
    }
    turn = HolderTurn(RoundMessage("r", SHARD, "a", ("a", "b", "c", "d"), 0, Cause.ASKED), "a")

    step = turn.next_step()
    assert step == RepairWith("b", 0)
    with_b = talk(shelves["a"], shelves["b"], tree_found=False).run()
    assert with_b.server_sent == [NOT_FOUND]
    assert with_b.client_sent == [TreeRoot("g", 0, shelves["a"].tree().root)]
    assert (with_b.client.end, with_b.server.end) == (SessionEnd.NO_TREE, SessionEnd.NO_TREE)
    assert shelves["b"].records == {}

    step = turn.repaired(HopEnd.SKIPPED)
    assert step == RepairWith("c", 0)
    with_c = repair(shelves["a"], shelves["c"])
    assert (with_c.client.end, with_c.server.end) == (SessionEnd.REPAIRED, SessionEnd.REPAIRED)
    assert shelves["a"].records == shelves["c"].records
    assert len(shelves["c"].records) == 2

    step = turn.repaired(HopEnd.REPAIRED)
    assert step == Forward("c", RoundMessage("r", SHARD, "a", ("a", "b", "c", "d"), 1, Cause.ASKED))
    assert HolderTurn(step.message, "c").next_step() == RepairWith("d", 0)


def test_a_round_in_which_no_peer_has_a_tree_ends_and_says_so() -> None:
    turn = HolderTurn(RoundMessage("r", SHARD, "a", ("a", "b", "c"), 0, Cause.ASKED), "a")
    assert turn.repaired(HopEnd.SKIPPED) == RepairWith("c", 0)
    assert turn.repaired(HopEnd.SKIPPED) == EndRound("no successor is left")


# What goes over the wire


def test_equal_stores_exchange_two_messages() -> None:
    held = [record(A0, 1), record(B0, 2)]
    done = repair(Shelf(held), Shelf(held))
    assert done.lines == ["client: tree_root g/0 root", "server: root_compare equal"]
    assert (done.client.end, done.server.end) == (SessionEnd.EQUAL, SessionEnd.EQUAL)
    assert not done.client.half_closed


def test_two_empty_stores_are_equal() -> None:
    done = repair(Shelf(), Shelf())
    assert done.lines == ["client: tree_root g/0 empty", "server: root_compare equal"]
    assert done.client.end is SessionEnd.EQUAL


def test_every_kind_of_difference_in_one_session() -> None:
    """In slot 3 one differs and each side has one alone. The server alone has slot 8, the client slot 20."""
    client = Shelf([record(A0, 5), record(A1, 1), record(C0, 1)])
    server = Shelf([record(A0, 7), record(A2, 1), record(B0, 1), record(B1, 2, deleted=9)])
    done = repair(client, server)
    assert lines_of(done, "client") == [
        "tree_root g/0 root",
        "tree_slots [3, 20]",
        "tree_slots []",
        # Page of slot 3
        f"property_sync g/n/{A0}@5",
        f"property_sync g/n/{A1}@1",
        f"property_missing g/n/{A2}",
        "wait_next_differ",
        # Page of slot 8
        f"property_missing g/n/{B0}",
        f"property_missing g/n/{B1}",
        "wait_next_differ",
        # The slots that the server lacks
        f"property_sync g/n/{C0}@1",
        "wait_next_differ",
        # After the last page
        "wait_next_differ",
    ]
    pages = [line for line in lines_of(done, "server") if not line.startswith("property_sync")]
    assert pages == [
        "root_compare differ",
        f"differ_tree_summary {[f'g/n/{A0}', f'g/n/{A2}']}",
        f"differ_tree_summary {[f'g/n/{B0}', f'g/n/{B1}']}",
        "differ_tree_summary [20]",
        "differ_tree_summary []",
    ]
    answers = [line for line in lines_of(done, "server") if line.startswith("property_sync")]
    assert sorted(answers) == sorted(
        [
            f"property_sync SYNC g/n/{A0}@7",
            f"property_sync MISSING g/n/{A2}@1",
            f"property_sync MISSING g/n/{B0}@1",
            f"property_sync MISSING g/n/{B1}@2x",
        ]
    )
    assert client.records == server.records
    assert len(client.records) == 6
    assert (done.client.end, done.server.end) == (SessionEnd.REPAIRED, SessionEnd.REPAIRED)
    assert done.client.session.counts == SessionCounts(sent=3, received=4)
    assert done.server.session.counts == SessionCounts(sent=4, received=3)


def test_an_empty_client_takes_everything() -> None:
    client, server = Shelf(), Shelf([record(A0, 1), record(B0, 2, deleted=3)])
    done = repair(client, server)
    assert lines_of(done, "client") == [
        "tree_root g/0 empty",
        "tree_slots []",
        f"property_missing g/n/{A0}",
        "wait_next_differ",
        f"property_missing g/n/{B0}",
        "wait_next_differ",
        "wait_next_differ",
    ]
    assert client.records == server.records


def test_an_empty_server_takes_everything() -> None:
    client, server = Shelf([record(A0, 1), record(A1, 1), record(B0, 2)]), Shelf()
    done = repair(client, server)
    assert lines_of(done, "server") == [
        "root_compare differ",
        "differ_tree_summary [3, 8]",
        "differ_tree_summary []",
    ]
    assert client.records == server.records


def test_leaves_left_over_when_the_pages_move_on_or_end_are_sent() -> None:
    """They sort after the server's last leaf of their slot, which is a slot in the middle or the last one."""
    client = Shelf([record(A0, 1), record(A1, 1), record(A2, 1), record(B0, 1), record(B1, 1)])
    server = Shelf([record(A0, 1), record(B0, 1)])
    done = repair(client, server)
    assert lines_of(done, "client")[3:] == [
        "wait_next_differ",
        f"property_sync g/n/{A1}@1",
        f"property_sync g/n/{A2}@1",
        "wait_next_differ",
        f"property_sync g/n/{B1}@1",
        "wait_next_differ",
    ]
    assert client.records == server.records


def test_names_that_sort_unlike_their_joined_text_are_merged_by_tuples() -> None:
    """`a-b` sorts before `a/` as joined text, but after it as a tuple. Both are in one slot here."""
    in_slot = {
        name: next(
            f"x{number}"
            for number in range(10_000)
            if Shelf([record(f"x{number}", 1, name=name)]).tree().slots[0].slot == 3
        )
        for name in ("a", "a-b")
    }
    shared = [record(in_slot["a-b"], 1, name="a-b")]
    client, server = Shelf(shared), Shelf([*shared, record(in_slot["a"], 1, name="a")])
    done = repair(client, server)
    assert lines_of(done, "client")[3] == f"property_missing g/a/{in_slot['a']}"
    assert len(done.records_sent) == 1
    assert client.records == server.records


def test_a_tombstone_wins_over_a_live_record_of_the_same_revision_on_either_side() -> None:
    for on_client, on_server in ((0, 8), (8, 0)):
        client = Shelf([record(A0, 5, deleted=on_client)])
        server = Shelf([record(A0, 5, deleted=on_server)])
        repair(client, server)
        assert client.records == server.records
        assert client.records[record(A0, 5).entity].version.delete_time == 8


def test_the_same_revision_with_other_content_converges_to_one_of_the_two() -> None:
    one, other = record(A0, 5, "one"), record(A0, 5, "other")
    for client_holds, server_holds in ((one, other), (other, one)):
        client, server = Shelf([client_holds]), Shelf([server_holds])
        repair(client, server)
        assert client.records == server.records
        assert client.records[one.entity] == max(one, other, key=lambda each: each.version)


# Many records, small pages, small channels


def many(count: int, revision: int = 1, *, start: int = 0, content: str = "v") -> list[Record]:
    return [record(f"r{number}", revision, content) for number in range(start, start + count)]


@pytest.mark.parametrize("page_leaves", [1, 2, 7, 1000])
@pytest.mark.parametrize("capacity", [1, 3])
def test_pages_and_channels_of_any_size_repair_the_same(page_leaves: int, capacity: int) -> None:
    client = Shelf([*many(60), *many(20, 5, start=200), *many(40, 2, start=300)])
    server = Shelf([*many(60), *many(20, 9, start=200), *many(40, 1, start=300), *many(30, start=400)])
    done = talk(client, server, capacity=capacity, page_leaves=page_leaves).run()
    assert client.records == server.records
    assert len(client.records) == 150
    assert done.client.session.counts.skipped == done.server.session.counts.skipped == 0
    # 20 + 40 differing records go up, 20 come back as newer, 30 as missing.
    assert (done.client.session.counts.sent, done.server.session.counts.sent) == (60, 50)
    assert repair(client, server).client.end is SessionEnd.EQUAL


@pytest.mark.slow
def test_more_to_say_on_both_sides_than_the_channels_hold_does_not_block() -> None:
    """All records differ, all are newer on the server, and a channel holds one message."""
    client, server = Shelf(many(2000)), Shelf(many(2000, 2))
    done = talk(client, server, capacity=1, page_leaves=256).run()
    assert client.records == server.records
    assert done.server.session.counts.sent == 2000


def test_records_are_read_and_keys_asked_for_in_batches() -> None:
    client, server = Shelf(many(400)), Shelf(many(300, 2))
    done = talk(client, server, page_leaves=1000).run()
    sizes = [len(each.entities) for each in done.client.commands if isinstance(each, FetchRecords)]
    assert max(sizes) == READ_BATCH_RECORDS == 16
    sizes = [len(each.entities) for each in done.server.commands if isinstance(each, FetchRecords)]
    assert max(sizes) <= READ_BATCH_RECORDS


@pytest.mark.slow
def test_missing_keys_go_out_in_batches_and_none_is_lost() -> None:
    ids = [id_ for id_ in (f"m{number}" for number in range(40 * SEND_BATCH_MESSAGES)) if in_slot_3(id_)]
    ids = ids[: SEND_BATCH_MESSAGES + 10]
    client, server = Shelf(), Shelf([record(id_, 1) for id_ in ids])
    done = talk(client, server, page_leaves=1000).run()
    sizes = [len(each.messages) for each in done.client.commands if isinstance(each, Send)]
    assert sizes == [1, 1, SEND_BATCH_MESSAGES, 10, 1, 1]
    assert client.records == server.records


def in_slot_3(id_: str) -> bool:
    return Shelf([record(id_, 1)]).tree().slots[0].slot == 3


def test_leaves_are_read_with_a_cursor() -> None:
    ids = sorted(id_in_slot(3, nth) for nth in range(4))
    held = [record(id_, 1) for id_ in ids]
    client, server = Shelf(held), Shelf([*held, record(id_in_slot(3, 4), 1)])
    done = talk(client, server, page_leaves=2).run()
    for side in (done.client, done.server):
        reads = [each for each in side.commands if isinstance(each, ReadLeaves)]
        assert {each.limit for each in reads} == {2}
        assert [each.after for each in reads][:1] == [None]
        assert len({each.after for each in reads}) == len(reads) >= 3
    assert [each for each in done.server.commands if isinstance(each, ReadTree)] == [ReadTree(SHARD)]
    assert done.server.commands[-1] == Finish(SessionEnd.REPAIRED)


# Anything at all converges


contents = st.tuples(
    st.integers(0, 9), st.integers(1, 3), st.sampled_from("ab"), st.sampled_from([0, 0, 1, 2])
)
stores = st.lists(contents, max_size=25).map(
    lambda all_: Shelf(
        [
            record(f"i{number}", revision, content, deleted=deleted)
            for number, revision, content, deleted in all_
        ]
    )
)


@pytest.mark.slow
@given(stores, stores, st.integers(1, 4), st.integers(1, 3))
@examples(100)
def test_one_session_makes_any_two_stores_equal_to_their_join(
    client: Shelf, server: Shelf, page_leaves: int, capacity: int
) -> None:
    join = Shelf([*client.records.values(), *server.records.values()]).records
    differing = {entity for entity in join if client.records.get(entity) != server.records.get(entity)}
    done = talk(client, server, page_leaves=page_leaves, capacity=capacity).run()
    assert client.records == server.records == join
    # At most one record each way for each entity that differs, and none for the others.
    assert len(done.records_sent) <= 2 * len(differing)
    assert done.client.session.counts.skipped == done.server.session.counts.skipped == 0
    again = talk(client, server).run()
    assert again.records_sent == []
    assert (again.client.end, again.server.end) == (SessionEnd.EQUAL, SessionEnd.EQUAL)
