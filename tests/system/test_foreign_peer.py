"""A foreign member in the ring of two real nodes: as server, as holder, without a tree, and broken."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from tests.system.digests import Held, root_sha, slot_of
from tests.system.foreign import ForeignPeer, Replica, Requests
from tests.system.support import Nodes, Stock, property_of, repairs

pytestmark = pytest.mark.slow

FOREIGN_SILENCE_SECONDS = 1
"""The deadline of sessions and of rounds with a foreign holder, in these tests."""
SETTINGS = {"repair": {"schedule": "", "session_deadline_seconds": FOREIGN_SILENCE_SECONDS}}

Peers = Callable[..., ForeignPeer]


@pytest.fixture
def peers() -> Iterator[Peers]:
    """Foreign members, ended with the test."""
    made: list[ForeignPeer] = []

    def make(name: str, replica: Replica | None = None) -> ForeignPeer:
        made.append(ForeignPeer(name, replica))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


HELLO = "/gossipnode.v1.ReplicaService/Hello"


def record(id_: str, revision: int, value: str = "v", delete_time: int = 0) -> Held:
    return Held(property_of("sw", "n", id_, {"k": value}, revision=revision), delete_time)


def of_member(name: str) -> list[Held]:
    """Records that differ from those of every other member in every way."""
    order = {"a": 0, "b": 1, "c": 2}[name]
    records = [record(f"same-{number}", 1) for number in range(30)]
    records += [record(f"only-{name}-{number}", 5) for number in range(40)]
    records += [record(f"newest-at-{at}", 30 if at == name else 10 + order, name) for at in "abc"]
    records += [record(f"deleted-at-{at}", 30, delete_time=30 if at == name else 0) for at in "abc"]
    return records


def joined() -> dict[str, Held]:
    replica = Replica(total_order=True)
    for name in "abc":
        for held in of_member(name):
            replica.take(held)
    return replica.records


def held_by(node: Any) -> dict[str, Held]:
    with Stock(node.address) as stock:
        return {held.text: held for held in (Held(*pair) for pair in stock.export("sw").values())}


def ring(nodes: Nodes, foreign: ForeignPeer, *, seeded: bool = True) -> list[Any]:
    """Two real nodes beside the foreign one, each with records of its own."""
    names = [name for name in "abc" if name != foreign.name]
    started = nodes.start(*names, ack="local", others={foreign.name: foreign.address}, settings=SETTINGS)
    foreign.members = {node.name: node.address for node in started}
    if seeded:
        for node in started:
            with Stock(node.address) as stock:
                stock.import_versions("sw", of_member(node.name))
    return started


def repair_at(node: Any) -> Any:
    with Stock(node.address) as stock:
        return stock.repair("sw")


def hops(finished: Any) -> list[tuple[str, str, str]]:
    return [(getattr(hop, "from"), hop.to, hop.outcome) for hop in finished.hops]


@pytest.mark.parametrize("place", ["a", "b", "c"])
def test_a_ring_with_a_foreign_member_ends_equal(nodes: Nodes, peers: Peers, place: str) -> None:
    foreign = peers(place, Replica(of_member(place), total_order=True))
    first, second = ring(nodes, foreign)
    finished = repair_at(second)
    # All are equal; the round is incomplete only because the foreign holder says nothing of its hop.
    assert finished.outcome == "incomplete"
    ours = [(getattr(hop, "from"), hop.to, hop.outcome, hop.reason) for hop in finished.hops]
    assert ours[-1] == (place, "", "skipped", f"holder {place} does not report")
    assert [hop[2:] for hop in ours[:-1]] == [("repaired", "")] * (len(ours) - 1)
    expected = joined()
    assert held_by(first) == held_by(second) == expected == foreign.replica.records
    (message,) = foreign.propagations
    assert list(message.context.nodes) == ["a", "b", "c"]
    assert message.context.max_propagation_count == 3
    assert message.context.current_propagation_count == "abc".index(place)
    assert message.context.origin_node == second.name
    assert (message.group, message.shard_id) == ("sw", 0)
    # Reports go to origins, and no foreign member is one. All that it is asked of ours is whether it is one
    # of us: once by each node that starts, and again when the members have changed.
    assert set(foreign.unknown) <= {HELLO}
    assert len(foreign.unknown) <= 6
    with Stock(second.address) as stock:
        assert {member.state for member in stock.status().members} == {"up"}


def test_the_second_round_sends_nothing(nodes: Nodes, peers: Peers) -> None:
    foreign = peers("c", Replica(of_member("c"), total_order=True))
    _, second = ring(nodes, foreign)
    assert [hop.outcome for hop in repair_at(second).hops] == ["repaired", "repaired", "skipped"]
    sessions = len(foreign.sessions)
    again = repair_at(second)
    assert [hop.outcome for hop in again.hops] == ["equal", "equal", "skipped"]
    assert foreign.client_sessions[-1].equal
    assert all(len(session.heard) == 1 for session in foreign.sessions[sessions:])


def test_the_client_sends_the_root_alone_before_the_verdict(nodes: Nodes, peers: Peers) -> None:
    foreign = peers("b", Replica(of_member("b")))
    foreign.takes_turns = False
    before: list[list[Any]] = []

    def before_verdict(requests: Requests) -> None:
        with pytest.raises(queue.Empty):
            requests.next(0.5)
        before.append(list(requests.heard))

    foreign.serve = lambda requests, context: foreign.serve_session(
        requests, context, before_verdict=before_verdict
    )
    first, _ = ring(nodes, foreign)
    repair_at(first)
    assert before
    for heard in before:
        (root,) = heard
        assert (root.tree_root.group, root.tree_root.shard_id) == ("sw", 0)
        assert root.tree_root.root_sha == root_sha(of_member("a"))


def test_the_client_ends_its_half_at_once_and_waits_for_the_servers_end(nodes: Nodes, peers: Peers) -> None:
    foreign = peers("b", Replica(of_member("b")))
    foreign.takes_turns = False
    ended: list[bool] = []

    def before_end(requests: Requests) -> None:
        assert requests.next() is None
        # Nothing is over before the server says so.
        ended.append(any(event["peer"] == "b" for event in first.events("hop ended")))

    # All answers come behind the last wait, when the client has ended its half.
    foreign.serve = lambda requests, context: foreign.serve_session(
        requests, context, late_answers=True, before_end=before_end
    )
    first, _ = ring(nodes, foreign)
    finished = repair_at(first)
    assert ended == [False]
    assert hops(finished)[0] == ("a", "b", "repaired")
    assert not foreign.problems
    missing = [text for text in foreign.replica.records if "only-b" in text]
    assert missing
    assert set(missing) <= set(held_by(first))
    (requests,) = foreign.sessions
    kinds = [message.WhichOneof("data") for message in requests.heard]
    assert kinds[0] == "tree_root"
    assert kinds[-1] == "wait_next_differ"
    assert kinds.count("tree_slots") >= 2


def _verdict(**fields: bool) -> Any:
    return repairs.RepairResponse(root_compare=repairs.RootCompare(**fields))


def _page(*leaves: tuple[int, bool, str, str]) -> Any:
    nodes = [repairs.TreeLeafNode(slot_index=s, exists=e, entity=t, sha=sha) for s, e, t, sha in leaves]
    return repairs.RepairResponse(differ_tree_summary=repairs.DifferTreeSummary(nodes=nodes))


class Broken:
    """What a server of sessions may do instead of its work."""

    def __init__(self, peer: ForeignPeer) -> None:
        self.stopping = peer.stopping

    def no_tree(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=False)
        context.abort(grpc.StatusCode.UNKNOWN, "tree is not built")

    def no_tree_in_order(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=False)

    def unimplemented(self, requests: Requests, context: Any) -> Iterator[Any]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield

    def never_ends(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page()
        self._hang(context)

    def hangs_before_the_verdict(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        self._hang(context)
        yield

    def hangs_after_a_page(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page((slot_of("sw/n/x"), True, "sw/n/x", "0" * 128))
        self._hang(context)

    def _hang(self, context: Any) -> None:
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(30)

    def garbage(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield b"\xff" * 100

    def garbage_after_a_verdict(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield b"\x12\xff\xff\xff\x7f"

    def a_page_before_the_verdict(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _page()

    def two_verdicts(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _verdict(tree_found=True)

    def a_slot_that_is_none(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page((32, True, "sw/n/x", "0" * 128))
        self._hang(context)

    def a_slot_that_comes_back(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page((1, True, "sw/n/x", "0"), (2, True, "sw/n/y", "0"), (1, True, "sw/n/z", "0"))
        self._hang(context)

    def pages_without_end(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        while not self.stopping.is_set():
            yield _page((1, False, "", ""))

    def an_end_before_the_last_page(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)

    def an_end_without_a_word(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        return
        yield

    def a_message_over_4_mib(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield bytes(5 << 20)

    def an_error(self, requests: Requests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        raise RuntimeError("a defect of the peer")


@pytest.fixture(scope="module")
def broken_ring(module_nodes: Nodes) -> Iterator[tuple[ForeignPeer, Any, Any]]:
    """A ring whose middle is broken, in another way in each test."""
    foreign = ForeignPeer("b", None)
    first, second = ring(module_nodes, foreign)
    repair_at(first)
    yield foreign, first, second
    foreign.close()


BROKEN = [
    ("no_tree", "skipped", "no tree"),
    ("no_tree_in_order", "skipped", "no tree"),
    ("unimplemented", "skipped", "not here"),
    ("never_ends", "failed", "no answer within"),
    ("hangs_before_the_verdict", "failed", "no answer within"),
    ("hangs_after_a_page", "failed", "no answer within"),
    ("garbage", "failed", ""),
    ("garbage_after_a_verdict", "failed", ""),
    ("a_page_before_the_verdict", "failed", "expected root_compare"),
    ("two_verdicts", "failed", "expected one root_compare"),
    ("a_slot_that_is_none", "failed", "slot 32"),
    ("a_slot_that_comes_back", "failed", "slot 1 came again"),
    ("pages_without_end", "failed", ""),
    ("an_end_before_the_last_page", "failed", "before its last page"),
    ("an_end_without_a_word", "failed", ""),
    ("a_message_over_4_mib", "failed", "exceeds the limit"),
    ("an_error", "failed", "a defect of the peer"),
]


@pytest.mark.parametrize(("way", "outcome", "reason"), BROKEN, ids=[way for way, _, _ in BROKEN])
def test_a_broken_member_is_left_out_and_the_round_goes_on(
    broken_ring: tuple[ForeignPeer, Any, Any], way: str, outcome: str, reason: str
) -> None:
    foreign, first, second = broken_ring
    foreign.serve = getattr(Broken(foreign), way)
    with Stock(first.address) as stock:
        stock.apply(property_of("sw", "news", way))
    finished = repair_at(first)
    assert finished.outcome == "incomplete"
    left_out = [hop for hop in finished.hops if hop.to == "b"]
    assert left_out
    for hop in left_out:
        assert (hop.outcome, hop.session) == (outcome, "tree")
        assert hop.reason
        assert reason in hop.reason
    assert ("a", "c", "repaired") in hops(finished)
    # Nothing that the broken one said has come between the other two.
    assert held_by(first) == held_by(second)
    assert f"sw/news/{way}" in held_by(second)
