"""A stock gRPC client of the compatible protocol against a real node: what its sessions bring about."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from google.protobuf import json_format

from tests.system.digests import leaf_sha, root_sha, slot_of, slot_shas
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.foreign.foreign_script import ForeignScript
from tests.system.foreign.foreign_session import MISSING, SYNC, WAIT_NEXT, ForeignSession, request_of
from tests.system.held_records import Held, held_by, held_record, sync_of
from tests.system.nodes import Nodes
from tests.system.processes import verify
from tests.system.stock_client import Stock
from tests.system.stock_messages import properties

pytestmark = pytest.mark.slow
TRANSCRIPTS = Path(__file__).parents[2] / "golden" / "transcripts"


def seed(stock: Stock, group: str, records: list[Held]) -> None:
    stock.import_versions(group, records)
    assert stock.root(group) == root_sha(records)


# --- sessions that end after the verdict ---


def test_the_root_is_equal(stock: Stock, group: str) -> None:
    records = [held_record(group, str(number), 1) for number in range(20)]
    seed(stock, group, records)
    session = ForeignSession(stock, ForeignReplica(records), group).run()
    assert (session.found, session.equal) == (True, True)
    assert len(session.heard) == 1


def test_an_empty_tree_is_a_tree(stock: Stock, group: str) -> None:
    session = ForeignSession(stock, ForeignReplica(), group).run()
    assert (session.found, session.equal) == (True, True)


@pytest.mark.parametrize(
    ("name", "shard"), [("nobody", 0), ("two", 2), ("two", 2**32 - 1), ("", 0), ("_system", 0)]
)
def test_no_tree_is_said_and_ends_the_stream(stock: Stock, name: str, shard: int) -> None:
    session = ForeignSession(stock, ForeignReplica([held_record("nobody", "x", 1)]), name, shard).run()
    assert (session.found, session.equal) == (False, False)
    assert len(session.heard) == 1


# --- the recorded situations ---


def recorded(name: str, group: str) -> tuple[list[Held], list[Held]]:
    """The records of client and server of a recorded session, moved to another group."""
    transcript = json.loads((TRANSCRIPTS / f"{name}.json").read_text(encoding="utf-8"))
    sides = []
    for side, before in zip(("client", "server"), transcript["before"], strict=True):
        records = []
        for as_json, delete_time in transcript[side] or []:
            message = json_format.ParseDict(as_json, properties.Property())
            records.append(Held(message, int(delete_time)))
        assert root_sha(records) == before["root"]
        for held in records:
            held.message.metadata.group = group
        sides.append(records)
    return sides[0], sides[1]


@pytest.mark.parametrize(
    "name",
    [
        "equal",
        "client-extra",
        "server-extra",
        "newer-on-client",
        "newer-on-server",
        "tombstone-on-client",
        "server-empty",
        "both-differ",
    ],
)
def test_a_recorded_situation_ends_equal(stock: Stock, group: str, name: str) -> None:
    ours, theirs = recorded(name, group)
    seed(stock, group, theirs)
    replica = ForeignReplica(ours)
    session = ForeignSession(stock, replica, group).run()
    check_pages(session, theirs)
    expected = newest([*ours, *theirs])
    assert replica.records == expected
    # No wait is needed: the server ends the stream only when all that it took is durable.
    assert held_by(stock, group) == expected
    assert stock.root(group) == replica.root
    again = ForeignSession(stock, replica, group).run()
    assert (again.found, again.equal, len(again.heard)) == (True, True, 1)


def newest(records: list[Held]) -> dict[str, Held]:
    found: dict[str, Held] = {}
    for held in sorted(records, key=ForeignReplica(total_order=True).version):
        found[held.text] = held
    return found


def check_pages(session: ForeignSession, theirs: list[Held], most: int = 7) -> None:
    """Check the pages: leaves of one slot each, then all slots that the server lacks, then an empty page."""
    pages = session.pages
    if session.equal:
        assert pages == []
        return
    assert list(pages[-1].nodes) == []
    assert all(page.nodes for page in pages[:-1])
    ours, here = slot_shas(session.before), slot_shas(theirs)
    lacking = [slot for slot in ours if slot not in here]
    naming = [page for page in pages[:-1] if not page.nodes[0].exists]
    leaves = [page for page in pages[:-1] if page.nodes[0].exists]
    assert pages[:-1] == [*leaves, *naming]
    assert [[node.slot_index for node in page.nodes] for page in naming] == ([lacking] if lacking else [])
    assert not any(node.exists or node.entity or node.sha for page in naming for node in page.nodes)
    for page in leaves:
        assert len({node.slot_index for node in page.nodes}) == 1
        assert len(page.nodes) <= most
    told = [(node.slot_index, node.entity, node.sha) for page in leaves for node in page.nodes]
    expected = [
        (slot_of(held.text), held.text, leaf_sha(held))
        for held in sorted(theirs, key=lambda held: (slot_of(held.text), *held.key))
        if ours.get(slot_of(held.text)) != here[slot_of(held.text)]
    ]
    assert told == expected


def test_same_revision_other_content_with_a_client_that_orders_them_too(stock: Stock, group: str) -> None:
    ours, theirs = recorded("same-revision-other-content", group)
    seed(stock, group, theirs)
    replica = ForeignReplica(ours, total_order=True)
    ForeignSession(stock, replica, group).run()
    (won,) = newest([*ours, *theirs]).values()
    won = won if won in ours else with_next_revision(won)
    assert replica.records == held_by(stock, group) == {won.text: won}
    assert ForeignSession(stock, replica, group).run().equal


def with_next_revision(held: Held) -> Held:
    """What the node makes of its own record where the peer has another content of the same revision."""
    message = properties.Property.FromString(held.message.SerializeToString())
    message.metadata.mod_revision += 1
    return Held(message, held.delete_time)


@pytest.mark.parametrize("ours_wins", [True, False])
def test_same_revision_other_content_with_a_client_that_does_not_yield(
    stock: Stock, group: str, ours_wins: bool
) -> None:
    low, high = sorted(
        (held_record(group, "x", 5, "a"), held_record(group, "x", 5, "b")),
        key=ForeignReplica(total_order=True).version,
    )
    ours, theirs = (high, low) if ours_wins else (low, high)
    seed(stock, group, [theirs])
    session = ForeignSession(stock, ForeignReplica([ours]), group).run()
    # The larger content wins. Where it is the node's, it is written once more with the next revision.
    won = high if ours_wins else with_next_revision(high)
    assert held_by(stock, group) == {won.text: won}
    assert session.answers == ([] if ours_wins else [(SYNC, won)])
    assert session.sent_kinds().count("property_sync") == 1


def test_no_delete_is_lost_to_a_live_record_of_the_same_revision(stock: Stock, group: str) -> None:
    dead = held_record(group, "x", 5, delete_time=1_900_000_000_000_000_000)
    # The stamp lies in the future. A peer, whose clock may differ, may send it.
    ForeignSession(stock, ForeignReplica([dead]), group).run()
    replica = ForeignReplica([held_record(group, "x", 5)])
    session = ForeignSession(stock, replica, group).run()
    assert session.answers == [(SYNC, dead)]
    assert held_by(stock, group) == replica.records == {dead.text: dead}


def mixed(group: str, count: int) -> tuple[list[Held], list[Held]]:
    """Records of two replicas that differ in every way, in many slots."""
    ours, theirs = [], []
    for number, kind in zip(range(count), itertools.cycle(range(7)), strict=False):
        id_ = f"{number:04}/ü{'x' * (number % 50)}"
        both = held_record(group, id_, 10)
        newer, dead = held_record(group, id_, 20, "newer"), held_record(group, id_, 20, delete_time=20)
        match kind:
            case 0 | 1:
                ours.append(both), theirs.append(both)
            case 2:
                ours.append(both)
            case 3:
                theirs.append(both)
            case 4:
                ours.append(newer), theirs.append(both)
            case 5:
                ours.append(both), theirs.append(newer)
            case _:
                ours.append(both), theirs.append(dead)
    return ours, theirs


def test_hundreds_that_differ_in_every_way(stock: Stock, group: str) -> None:
    ours, theirs = mixed(group, 700)
    seed(stock, group, theirs)
    replica = ForeignReplica(ours)
    session = ForeignSession(stock, replica, group).run()
    check_pages(session, theirs)
    expected = newest([*ours, *theirs])
    assert replica.records == expected == held_by(stock, group)
    assert sum(source == MISSING for source, _ in session.answers) == 100
    assert sum(source == SYNC for source, _ in session.answers) == 200
    assert ForeignSession(stock, replica, group).run().equal


def test_what_was_taken_when_the_stream_ends_survives_a_kill(nodes: Nodes) -> None:
    (node,) = nodes.start("a")
    records = [held_record("sw", str(number), 1) for number in range(500)]
    with Stock(node.address) as stock:
        ForeignSession(stock, ForeignReplica(records), "sw").run()
        node.kill()
    node.start()
    with Stock(node.address) as stock:
        assert ForeignSession(stock, ForeignReplica(records), "sw").run().equal
    assert node.stop() == 0
    assert verify(node)["records"] == 500


def test_answers_after_the_last_page_are_still_taken(stock: Stock, group: str) -> None:
    seed(stock, group, [held_record(group, "x", 1)])
    late = held_record(group, "late", 1)
    with ForeignScript(stock, group, [held_record(group, "x", 2)]) as script:
        script.begin()
        while script.next_page().nodes:
            script.say(WAIT_NEXT)
        script.say(request_of(property_sync=sync_of(late)), WAIT_NEXT)
        assert script.next() is None
    assert late.text in held_by(stock, group)
