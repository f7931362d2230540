"""A stock gRPC client of the compatible protocol against a real node: sessions, and what breaks them."""

from __future__ import annotations

import itertools
import json
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from tests.system.digests import Held, leaf_sha, root_sha, slot_of, slot_shas
from tests.system.foreign import (
    MISSING,
    SYNC,
    WAIT_NEXT,
    ClientSession,
    Replica,
    request_of,
    root_request,
    slot_requests,
    sync_of,
)
from tests.system.support import Node, Nodes, Stock, properties, property_of, refused, repairs, verify

pytestmark = pytest.mark.slow

TRANSCRIPTS = Path(__file__).parent.parent / "golden" / "transcripts"
GROUPS = [f"g{number}" for number in range(60)]
_fresh = iter(GROUPS)


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> Node:
    groups = [f"{group}:1:3" for group in GROUPS]
    (node,) = module_nodes.start("a", groups=[*groups, "two:2:3"], settings={"repair": {"page_leaves": 7}})
    return node


@pytest.fixture
def stock(node: Node) -> Iterator[Stock]:
    with Stock(node.address) as stock:
        yield stock


@pytest.fixture
def group() -> str:
    """A group that no other test has used."""
    return next(_fresh)


def seed(stock: Stock, group: str, records: list[Held]) -> None:
    stock.import_versions(group, records)
    assert stock.root(group) == root_sha(records)


def held_by(stock: Stock, group: str) -> dict[str, Held]:
    return {held.text: held for held in (Held(*pair) for pair in stock.export(group).values())}


def record(group: str, id_: str, revision: int, value: str = "v", delete_time: int = 0) -> Held:
    return Held(property_of(group, "n", id_, {"k": value}, revision=revision), delete_time)


# --- no session, or none needed ---


def test_the_root_is_equal(stock: Stock, group: str) -> None:
    records = [record(group, str(number), 1) for number in range(20)]
    seed(stock, group, records)
    session = ClientSession(stock, Replica(records), group).run()
    assert (session.found, session.equal) == (True, True)
    assert len(session.heard) == 1


def test_an_empty_tree_is_a_tree(stock: Stock, group: str) -> None:
    session = ClientSession(stock, Replica(), group).run()
    assert (session.found, session.equal) == (True, True)


@pytest.mark.parametrize(
    ("name", "shard"), [("nobody", 0), ("two", 2), ("two", 2**32 - 1), ("", 0), ("_system", 0)]
)
def test_no_tree_is_said_and_ends_the_stream(stock: Stock, name: str, shard: int) -> None:
    session = ClientSession(stock, Replica([record("nobody", "x", 1)]), name, shard).run()
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
    replica = Replica(ours)
    session = ClientSession(stock, replica, group).run()
    check_pages(session, theirs)
    expected = newest([*ours, *theirs])
    assert replica.records == expected
    # At once: the server ends the stream only when all that it took is durable.
    assert held_by(stock, group) == expected
    assert stock.root(group) == replica.root
    again = ClientSession(stock, replica, group).run()
    assert (again.found, again.equal, len(again.heard)) == (True, True, 1)


def newest(records: list[Held]) -> dict[str, Held]:
    found: dict[str, Held] = {}
    for held in sorted(records, key=Replica(total_order=True).version):
        found[held.text] = held
    return found


def check_pages(session: ClientSession, theirs: list[Held], most: int = 7) -> None:
    """Pages of leaves, of one slot each; one page with all slots the server lacks; an empty one."""
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
    replica = Replica(ours, total_order=True)
    ClientSession(stock, replica, group).run()
    assert replica.records == newest([*ours, *theirs]) == held_by(stock, group)
    assert ClientSession(stock, replica, group).run().equal


@pytest.mark.parametrize("ours_wins", [True, False])
def test_same_revision_other_content_with_a_client_that_does_not_yield(
    stock: Stock, group: str, ours_wins: bool
) -> None:
    low, high = sorted(
        (record(group, "x", 5, "a"), record(group, "x", 5, "b")), key=Replica(total_order=True).version
    )
    ours, theirs = (high, low) if ours_wins else (low, high)
    seed(stock, group, [theirs])
    session = ClientSession(stock, Replica([ours]), group).run()
    # The larger version wins here, and a peer that insists is answered once, not for ever.
    assert held_by(stock, group) == {high.text: high}
    assert session.answers == ([] if ours_wins else [(SYNC, high)])
    assert session.sent_kinds().count("property_sync") == (1 if ours_wins else 2)


def test_no_delete_is_lost_to_a_live_record_of_the_same_revision(stock: Stock, group: str) -> None:
    dead = record(group, "x", 5, delete_time=1_900_000_000_000_000_000)
    # A stamp from the future, as a peer with another clock may send it, and a client may not.
    ClientSession(stock, Replica([dead]), group).run()
    replica = Replica([record(group, "x", 5)])
    session = ClientSession(stock, replica, group).run()
    assert session.answers == [(SYNC, dead)]
    assert held_by(stock, group) == replica.records == {dead.text: dead}


def mixed(group: str, count: int) -> tuple[list[Held], list[Held]]:
    """Records of two replicas that differ in every way, in many slots."""
    ours, theirs = [], []
    for number, kind in zip(range(count), itertools.cycle(range(7)), strict=False):
        id_ = f"{number:04}/ü{'x' * (number % 50)}"
        both = record(group, id_, 10)
        newer, dead = record(group, id_, 20, "newer"), record(group, id_, 20, delete_time=20)
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
    replica = Replica(ours)
    session = ClientSession(stock, replica, group).run()
    check_pages(session, theirs)
    expected = newest([*ours, *theirs])
    assert replica.records == expected == held_by(stock, group)
    assert sum(source == MISSING for source, _ in session.answers) == 100
    assert sum(source == SYNC for source, _ in session.answers) == 200
    assert ClientSession(stock, replica, group).run().equal


def test_what_was_taken_when_the_stream_ends_survives_a_kill(nodes: Nodes) -> None:
    (node,) = nodes.start("a")
    records = [record("sw", str(number), 1) for number in range(500)]
    with Stock(node.address) as stock:
        ClientSession(stock, Replica(records), "sw").run()
        node.kill()
    node.start()
    with Stock(node.address) as stock:
        assert ClientSession(stock, Replica(records), "sw").run().equal
    assert node.stop() == 0
    assert verify(node)["records"] == 500


def test_answers_behind_the_last_page_are_still_taken(stock: Stock, group: str) -> None:
    seed(stock, group, [record(group, "x", 1)])
    late = record(group, "late", 1)
    with Script(stock, group, [record(group, "x", 2)]) as script:
        script.begin()
        while script.next_page().nodes:
            script.say(WAIT_NEXT)
        script.say(request_of(property_sync=sync_of(late)), WAIT_NEXT)
        assert script.next() is None
    assert late.text in held_by(stock, group)


# --- what is skipped ---


def test_records_that_do_not_belong_are_skipped_and_the_session_goes_on(stock: Stock, group: str) -> None:
    good = record(group, "good", 1)
    alive = property_of(group, "n", "x", {"k": "v"}, revision=1)
    odd: list[Held] = [
        record("nobody", "other-group", 1),
        record("two", "other-group-that-is-here", 1),
        Held(property_of(group, "a/b", "slash", revision=1)),
        Held(property_of(group, "", "no-name", revision=1)),
        Held(property_of(group, "n", "", revision=1)),
        Held(property_of(group, "n" * 256, "long-name", revision=1)),
        Held(property_of(group, "n", "i" * 4097, revision=1)),
        Held(property_of(group, "n", "future", revision=2**62 + 1)),
        Held(property_of(group, "n", "negative", revision=-1)),
        Held(alive, 2**62 + 1),
        Held(alive, -1),
        Held(property_of(group, "n", "large", {"k": "v" * (1 << 20)}, revision=1)),
        Held(properties.Property(id="no-metadata")),
    ]
    with Script(stock, group, [good]) as script:
        script.begin()
        for held in odd:
            script.say(request_of(property_sync=sync_of(held)))
        script.say(request_of(property_missing=repairs.PropertyMissing(entity="no slashes")))
        script.say(request_of(property_missing=repairs.PropertyMissing(entity="nobody/n/x")))
        script.say(request_of(property_missing=repairs.PropertyMissing(entity=f"{group}/n/not-there")))
        while (page := script.next_page()).nodes:
            assert not page.nodes[0].exists
            script.say(request_of(property_sync=sync_of(good)), WAIT_NEXT)
        script.say(WAIT_NEXT)
        assert script.next() is None
        trailing = dict(script.call.trailing_metadata())
    assert held_by(stock, group) == {good.text: good}
    assert int(trailing["gossipnode-skipped"]) == len(odd) + 2


def test_a_record_of_another_shard_is_skipped(stock: Stock) -> None:
    ids = [str(number) for number in range(40)]
    records = [record("two", id_, 1) for id_ in ids]
    with Script(stock, "two", records, shard=1) as script:
        script.begin()
        for held in records:
            script.say(request_of(property_sync=sync_of(held)))
        while script.next_page().nodes:
            script.say(WAIT_NEXT)
        script.say(WAIT_NEXT)
        assert script.next() is None
        trailing = dict(script.call.trailing_metadata())
    kept = held_by(stock, "two")
    assert 0 < len(kept) < len(ids)
    assert int(trailing["gossipnode-skipped"]) == len(ids) - len(kept)


# --- out of order ---


class Script:
    """A session step by step."""

    def __init__(self, stock: Stock, group: str, records: list[Held], *, shard: int = 0) -> None:
        self.group, self.shard, self.records = group, shard, records
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.call = stock.repair_stream(iter(self._outgoing.get, None))

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *_: object) -> None:
        self._outgoing.put(None)
        self.call.cancel()

    def say(self, *messages: Any) -> None:
        for message in messages:
            self._outgoing.put(message)

    def half_close(self) -> None:
        self._outgoing.put(None)

    def next(self) -> Any | None:
        return next(self.call, None)

    def next_page(self) -> Any:
        """The next page, over what else is said."""
        while (message := self.next()) is not None:
            if message.WhichOneof("data") == "differ_tree_summary":
                return message.differ_tree_summary
        raise AssertionError("the server ended the stream")

    def verdict(self) -> None:
        self.say(root_request(self.group, self.shard, root_sha(self.records)))
        message = self.next()
        assert message is not None
        assert message.root_compare.tree_found
        assert not message.root_compare.root_sha_match

    def begin(self) -> None:
        """Up to the slots."""
        self.verdict()
        self.say(*slot_requests(slot_shas(self.records)))


def slots(*numbers: int) -> Any:
    made = [repairs.TreeSlotSHA(slot=number, value="0" * 128) for number in numbers]
    return request_of(tree_slots=repairs.TreeSlots(slot_sha=made))


ROOT = root_request("g", 0, "0" * 128)
ASKED = request_of(property_missing=repairs.PropertyMissing(entity="g/n/x"))
GIVEN = request_of(property_sync=sync_of(record("g", "x", 1)))
NOTHING = repairs.RepairRequest()


@pytest.mark.parametrize(
    "message", [slots(1), WAIT_NEXT, ASKED, GIVEN], ids=["slots", "wait", "missing", "sync"]
)
def test_the_root_comes_first(stock: Stock, group: str, message: Any) -> None:
    with Script(stock, group, []) as script:
        script.say(message)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "expected tree_root"):
            script.next()


@pytest.mark.parametrize("message", [ROOT, WAIT_NEXT, ASKED], ids=["root", "wait", "missing"])
def test_slots_come_after_the_verdict(stock: Stock, group: str, message: Any) -> None:
    with Script(stock, group, [record(group, "x", 1)]) as script:
        script.verdict()
        script.say(message)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "expected tree_slots"):
            script.next()


@pytest.mark.parametrize("numbers", [(3, 3), (4, 3), (-1,), (32,), (2**31 - 1,), (-(2**31),)], ids=str)
def test_slots_that_are_none(stock: Stock, group: str, numbers: tuple[int, ...]) -> None:
    with Script(stock, group, [record(group, "x", 1)]) as script:
        script.verdict()
        script.say(slots(*numbers))
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "tree_slots", "expected ascending"):
            script.next()


@pytest.mark.parametrize("message", [ROOT, slots(1), slots()], ids=["root", "slots", "no slots"])
def test_the_wait_comes_after_a_page(stock: Stock, group: str, message: Any) -> None:
    with Script(stock, group, [record(group, "x", 1)]) as script:
        script.begin()
        assert script.next_page().nodes
        script.say(message)
        with refused(
            grpc.StatusCode.INVALID_ARGUMENT, "expected property_missing, property_sync or wait_next_differ"
        ):
            script.next()


@pytest.mark.parametrize("message", [ROOT, slots(1), slots()], ids=["root", "slots", "no slots"])
def test_the_wait_comes_after_the_last_page(stock: Stock, group: str, message: Any) -> None:
    with Script(stock, group, [record(group, "x", 1)]) as script:
        script.begin()
        while script.next_page().nodes:
            script.say(WAIT_NEXT)
        script.say(message)
        with refused(
            grpc.StatusCode.INVALID_ARGUMENT, "expected property_missing, property_sync or wait_next_differ"
        ):
            script.next()


def _before_anything(script: Script) -> None:
    script.half_close()


def _after_some_slots(script: Script) -> None:
    script.verdict()
    script.say(slots(1))
    script.half_close()


def _before_a_wait(script: Script) -> None:
    script.begin()
    assert script.next_page().nodes
    script.half_close()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (_before_anything, "tree_root"),
        (_after_some_slots, "tree_slots"),
        (_before_a_wait, "wait_next_differ"),
    ],
)
def test_a_client_that_ends_too_early(
    stock: Stock, group: str, steps: Callable[[Script], None], expected: str
) -> None:
    with Script(stock, group, [record(group, "x", 1)]) as script:
        steps(script)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "the client ended the session", expected):
            script.next()


def test_a_message_that_says_nothing(stock: Stock, group: str) -> None:
    with Script(stock, group, []) as script:
        script.say(NOTHING)
        with refused(grpc.StatusCode.INVALID_ARGUMENT):
            script.next()


def test_a_client_that_only_wants_to_know(stock: Stock, group: str) -> None:
    """It ends its half right behind the root: it gets the verdict, and an end in order."""
    with Script(stock, group, [record(group, "x", 1)]) as script:
        script.verdict()
        script.half_close()
        assert script.next() is None
        assert script.call.code() is grpc.StatusCode.OK
