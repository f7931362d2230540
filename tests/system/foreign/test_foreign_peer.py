"""A foreign member in a ring with two real nodes: it serves sessions, and holds the message in its turn."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.system.digests import root_sha
from tests.system.foreign.foreign_peer import ForeignPeer, HeardRequests
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.foreign.foreign_ring import held_at, hops, joined, of_member, repair_at, start_ring
from tests.system.held_records import Held
from tests.system.nodes import Nodes, nodes_without_defect
from tests.system.processes import Node
from tests.system.stock_client import Stock

pytestmark = pytest.mark.slow

Peers = Callable[..., ForeignPeer]
HELLO = "/gossipnode.v1.ReplicaService/Hello"


@pytest.fixture
def peers() -> Iterator[Peers]:
    """Makes foreign members, which are ended with the test."""
    made: list[ForeignPeer] = []

    def make(name: str, replica: ForeignReplica) -> ForeignPeer:
        made.append(ForeignPeer(name, replica))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


@dataclass(frozen=True)
class FirstRound:
    """A ring, and what was seen of it at the end of its first round."""

    foreign: ForeignPeer
    nodes: list[Node]
    finished: Any
    held: list[dict[str, Held]]
    """The records of both nodes and of the foreign member."""
    propagations: list[Any]
    """The messages that the foreign member was handed."""


def first_round(foreign: ForeignPeer, nodes: list[Node]) -> FirstRound:
    """Have the last one of the nodes start a round."""
    finished = repair_at(nodes[-1])
    held = [*map(held_at, nodes), foreign.replica.records]
    return FirstRound(foreign, nodes, finished, held, list(foreign.propagations))


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FirstRound]]:
    """Three rings, by the place of the foreign member.

    Their first rounds go on side by side.
    """
    with ExitStack() as stack, ThreadPoolExecutor(3) as threads:
        clusters = [stack.enter_context(nodes_without_defect(tmp_path_factory.mktemp(at))) for at in "abc"]
        peers = [ForeignPeer(at, ForeignReplica(of_member(at), total_order=True)) for at in "abc"]
        for peer in peers:
            stack.callback(peer.close)
        started = list(threads.map(start_ring, clusters, peers))
        yield dict(zip("abc", threads.map(first_round, peers, started), strict=True))


@pytest.mark.parametrize("place", ["a", "b", "c"])
def test_a_ring_with_a_foreign_member_ends_equal(rings: dict[str, FirstRound], place: str) -> None:
    ring = rings[place]
    origin = ring.nodes[-1]
    # The foreign holder says nothing of its hop, but the node that it met has seen it.
    assert ring.finished.outcome == "repaired"
    assert (
        hops(ring.finished)
        == {
            "a": [("b", "c", "repaired"), ("c", "a", "repaired"), ("a", "b", "repaired")],
            "b": [("a", "b", "repaired"), ("b", "c", "repaired"), ("c", "a", "repaired")],
            "c": [("a", "b", "repaired"), ("b", "c", "repaired"), ("c", "a", "repaired")],
        }[place]
    )
    assert ring.held == [joined()] * 3
    (message,) = ring.propagations
    assert list(message.context.nodes) == ["a", "b", "c"]
    assert message.context.max_propagation_count == 3
    # An own node begins.
    assert message.context.current_propagation_count == {"a": 2, "b": 1, "c": 2}[place]
    assert message.context.origin_node == origin.name
    assert (message.group, message.shard_id) == ("sw", 0)
    # Reports go to the origin alone, and the foreign member is not the origin. All that a node asks of it is
    # whether it is a gossipnode: when the node starts, and again when the members have changed.
    assert set(ring.foreign.unknown) <= {HELLO}
    assert len(ring.foreign.unknown) <= 6
    with Stock(origin.address) as stock:
        assert {member.state for member in stock.status().members} == {"up"}


def test_the_second_round_sends_nothing(rings: dict[str, FirstRound]) -> None:
    ring = rings["c"]
    sessions = len(ring.foreign.sessions)
    again = repair_at(ring.nodes[-1])
    assert again.outcome == "converged"
    assert [hop.outcome for hop in again.hops] == ["equal", "equal", "equal"]
    assert ring.foreign.client_sessions[-1].equal
    assert all(len(session.heard) == 1 for session in ring.foreign.sessions[sessions:])


def test_the_client_sends_the_root_alone_before_the_verdict(nodes: Nodes, peers: Peers) -> None:
    foreign = peers("b", ForeignReplica(of_member("b")))
    foreign.takes_turns = False
    before: list[list[Any]] = []

    def before_verdict(requests: HeardRequests) -> None:
        with pytest.raises(queue.Empty):
            requests.next(0.5)
        before.append(list(requests.heard))

    foreign.serve = lambda requests, context: foreign.serve_session(
        requests, context, before_verdict=before_verdict
    )
    first, _ = start_ring(nodes, foreign)
    repair_at(first)
    assert before
    for heard in before:
        (root,) = heard
        assert (root.tree_root.group, root.tree_root.shard_id) == ("sw", 0)
        assert root.tree_root.root_sha == root_sha(of_member("a"))


def test_the_client_ends_its_half_at_once_and_waits_for_the_servers_end(nodes: Nodes, peers: Peers) -> None:
    foreign = peers("b", ForeignReplica(of_member("b")))
    foreign.takes_turns = False
    ended: list[bool] = []

    def before_end(requests: HeardRequests) -> None:
        assert requests.next() is None
        # The hop is not over before the server has ended the stream.
        ended.append(any(event["peer"] == "b" for event in first.events("hop ended")))

    # All answers come after the last wait, when the client has ended its half already.
    foreign.serve = lambda requests, context: foreign.serve_session(
        requests, context, late_answers=True, before_end=before_end
    )
    first, _ = start_ring(nodes, foreign)
    finished = repair_at(first)
    assert ended == [False]
    assert hops(finished)[0] == ("a", "b", "repaired")
    assert not foreign.problems
    missing = [text for text in foreign.replica.records if "only-b" in text]
    assert missing
    assert set(missing) <= set(held_at(first))
    (requests,) = foreign.sessions
    kinds = [message.WhichOneof("data") for message in requests.heard]
    assert kinds[0] == "tree_root"
    assert kinds[-1] == "wait_next_differ"
    assert kinds.count("tree_slots") >= 2


def test_a_foreign_holder_that_drops_the_message_is_passed_over(nodes: Nodes, peers: Peers) -> None:
    """It answers OK and does nothing more: the node before it goes on, and both own nodes become equal."""
    foreign = peers("c", ForeignReplica(of_member("c")))
    foreign.takes_turns = False
    first, second = start_ring(nodes, foreign)
    finished = repair_at(first)
    assert hops(finished) == [
        ("a", "b", "repaired"),
        ("b", "c", "repaired"),
        ("b", "c", "failed"),
        ("b", "a", "repaired"),
    ]
    assert finished.outcome == "incomplete"
    assert held_at(first) == held_at(second) == joined()
    # What it does too late is done already: the session finds equal roots, and the message is dropped.
    foreign.hold(foreign.propagations[0])
    assert foreign.client_sessions[-1].equal
    assert len(foreign.sessions) == 1
