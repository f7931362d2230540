"""A member that breaks its sessions, in one way or another, is left out, and the round goes on without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.system.digests import slot_of
from tests.system.foreign.foreign_peer import ForeignPeer, HeardRequests
from tests.system.foreign.foreign_ring import held_at, hops, repair_at, start_ring
from tests.system.nodes import Nodes
from tests.system.processes import Node
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of, repairs

pytestmark = pytest.mark.slow


def _verdict(**fields: bool) -> Any:
    return repairs.RepairResponse(root_compare=repairs.RootCompare(**fields))


def _page(*leaves: tuple[int, bool, str, str]) -> Any:
    nodes = [repairs.TreeLeafNode(slot_index=s, exists=e, entity=t, sha=sha) for s, e, t, sha in leaves]
    return repairs.RepairResponse(differ_tree_summary=repairs.DifferTreeSummary(nodes=nodes))


class BrokenServer:
    """Each method serves a session in another wrong way, as `ForeignPeer.serve` would."""

    def __init__(self, peer: ForeignPeer) -> None:
        self.stopping = peer.stopping

    def no_tree(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=False)
        context.abort(grpc.StatusCode.UNKNOWN, "tree is not built")

    def no_tree_in_order(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=False)

    def unimplemented(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        yield

    def never_ends(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page()
        self._hang(context)

    def hangs_before_the_verdict(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        self._hang(context)
        yield

    def hangs_after_a_page(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page((slot_of("sw/n/x"), True, "sw/n/x", "0" * 128))
        self._hang(context)

    def _hang(self, context: Any) -> None:
        """Say nothing more until the client has given up."""
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(30)

    def garbage(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield b"\xff" * 100

    def garbage_after_a_verdict(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield b"\x12\xff\xff\xff\x7f"

    def a_page_before_the_verdict(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _page()

    def two_verdicts(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _verdict(tree_found=True)

    def a_slot_out_of_range(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page((32, True, "sw/n/x", "0" * 128))
        self._hang(context)

    def a_slot_that_comes_back(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        slots = [(slot_of(f"sw/n/{id_}"), True, f"sw/n/{id_}", "0") for id_ in "xy"]
        yield _page(*slots, slots[0])
        self._hang(context)

    def pages_without_end(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        while not self.stopping.is_set():
            yield _page((1, False, "", ""))

    def an_end_before_the_last_page(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)

    def an_end_without_a_word(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        return
        yield

    def another_number_of_slots(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        yield _page((slot_of("sw/n/x") + 1, True, "sw/n/x", "0"))
        self._hang(context)

    def a_message_over_10_mib(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield bytes(11 << 20)

    def an_error(self, requests: HeardRequests, context: Any) -> Iterator[Any]:
        requests.next()
        yield _verdict(tree_found=True)
        raise RuntimeError("a defect of the peer")


@pytest.fixture(scope="module")
def broken_ring(module_nodes: Nodes) -> Iterator[tuple[ForeignPeer, Node, Node]]:
    """A ring of a, b and c. Each test has the foreign member b serve sessions in another wrong way."""
    foreign = ForeignPeer("b", None)
    first, second = start_ring(module_nodes, foreign)
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
    ("a_slot_out_of_range", "failed", "b uses another number of slots"),
    ("another_number_of_slots", "failed", "b uses another number of slots"),
    ("a_slot_that_comes_back", "failed", "came again"),
    ("pages_without_end", "failed", ""),
    ("an_end_before_the_last_page", "failed", "before its last page"),
    ("an_end_without_a_word", "failed", ""),
    ("a_message_over_10_mib", "failed", "exceeds the limit"),
    ("an_error", "failed", "a defect of the peer"),
]


@pytest.mark.parametrize(("way", "outcome", "reason"), BROKEN, ids=[way for way, _, _ in BROKEN])
def test_a_broken_member_is_left_out_and_the_round_goes_on(
    broken_ring: tuple[ForeignPeer, Node, Node], way: str, outcome: str, reason: str
) -> None:
    foreign, first, second = broken_ring
    foreign.serve = getattr(BrokenServer(foreign), way)
    with Stock(first.address, metadata=[("gossipnode-ack", "local")]) as stock:
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
    # What the broken member said has left no difference between the other two.
    assert held_at(first) == held_at(second)
    assert f"sw/news/{way}" in held_at(second)
