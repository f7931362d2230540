"""A stranger forges the message of a round. The node refuses it, or keeps to what it knows itself."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator, Sequence

import grpc
import pytest

from tests.ports import LOOPBACK
from tests.system.foreign.foreign_peer import ForeignPeer
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.nodes import Nodes
from tests.system.processes import Node, eventually
from tests.system.stock_client import PROPAGATION, Stock, refused
from tests.system.stock_messages import gossip, property_of

pytestmark = pytest.mark.slow

INVALID = grpc.StatusCode.INVALID_ARGUMENT
INT32_MAX = 2**31 - 1


def forged(
    nodes: Sequence[str] = ("a", "b", "c"),
    *,
    count: int = 0,
    most: int = 3,
    origin: str = "c",
    group: str = "sw",
    shard: int = 0,
) -> gossip.PropagationRequest:
    context = gossip.PropagationContext(
        nodes=nodes, max_propagation_count=most, current_propagation_count=count, origin_node=origin
    )
    return gossip.PropagationRequest(context=context, group=group, shard_id=shard)


@pytest.fixture(scope="module")
def ring(module_nodes: Nodes) -> Iterator[tuple[Node, Node, ForeignPeer]]:
    """Two real nodes, a and b, and a foreign member c, which only keeps what it is sent."""
    watcher = ForeignPeer("c", ForeignReplica())
    watcher.takes_turns = False
    a, b = module_nodes.start(
        "a", "b", others={"c": watcher.address}, groups=["sw:1:3", "two:2:3"], ack="local"
    )
    yield a, b, watcher
    watcher.close()


@pytest.fixture
def stock(ring: tuple[Node, Node, ForeignPeer]) -> Iterator[Stock]:
    with Stock(ring[0].address) as stock:
        yield stock


WRONG = [
    ("a negative count", forged(count=-1), "current_propagation_count"),
    ("the smallest count", forged(count=-(2**31)), "current_propagation_count"),
    ("a count at the limit", forged(count=3), "current_propagation_count"),
    ("a huge count", forged(count=INT32_MAX - 1, most=INT32_MAX), "current_propagation_count"),
    ("a count beyond the true limit", forged(("a", "b"), count=1, most=100), "current_propagation_count"),
    ("doubles that raise the limit", forged(("a", "b", "a", "b") * 100, count=5, most=999), "current_"),
    ("strangers that raise the limit", forged(("a", "b", "x", "y"), count=3, most=999), "current_"),
    ("an origin from elsewhere", forged(origin="stranger"), "stranger"),
    ("an address as origin", forged(origin=f"{LOOPBACK}:9"), LOOPBACK),
    ("no origin", forged(origin=""), "origin"),
    ("no nodes", forged(()), "nodes"),
    ("not our round", forged(("b", "c")), "'a'"),
    ("strangers alone", forged(("x", "y", "z")), "'a'"),
    ("too many nodes", forged([f"n{number}" for number in range(2000)]), "2000 nodes"),
    ("no context", gossip.PropagationRequest(group="sw"), "origin"),
]


@pytest.mark.parametrize(("request_", "word"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_cannot_be_is_refused(stock: Stock, request_: gossip.PropagationRequest, word: str) -> None:
    with refused(INVALID, word):
        stock.propagation(request_)


@pytest.mark.parametrize(
    ("group", "shard"), [("nobody", 0), ("", 0), ("sw", 1), ("sw", 2**32 - 1), ("_gossipnode", 1), ("_", 0)]
)
def test_unknown_groups_and_shards_are_refused(stock: Stock, group: str, shard: int) -> None:
    with refused(grpc.StatusCode.NOT_FOUND):
        stock.propagation(forged(group=group, shard=shard))


def test_names_that_no_text_may_hold(stock: Stock) -> None:
    for nodes in (["a\0b"], ["\u202e"], ["a" * 100_000]):
        with refused(INVALID):
            stock.propagation(forged(nodes))


def hops(*nodes: Node) -> int:
    return sum(
        event["outcome"] in ("equal", "repaired") for node in nodes for event in node.events("hop ended")
    )


LIES = [
    ("the limit", forged(most=INT32_MAX)),
    ("a negative limit", forged(most=-1)),
    ("no limit", forged(most=0)),
    ("doubles", forged(["a", "b", "c"] * 300, most=INT32_MAX)),
    ("strangers", forged(["x", "a", "y", "b", "z", "c"] * 100, most=INT32_MAX)),
]


@pytest.mark.parametrize("request_", [case[1] for case in LIES], ids=[case[0] for case in LIES])
def test_no_round_makes_more_than_2n_3_hops(
    ring: tuple[Node, Node, ForeignPeer], stock: Stock, request_: gossip.PropagationRequest
) -> None:
    """a repairs with b, and b with c. Then c hands a the message with the same lies, for a last hop."""
    a, b, c = ring
    before, told = hops(a, b), len(c.propagations)
    stock.propagation(request_)
    c.wait(lambda: len(c.propagations) > told, "message at c")
    message = c.propagations[-1]
    assert list(message.context.nodes) == ["a", "b", "c"]
    assert message.context.max_propagation_count == 3
    assert message.context.current_propagation_count == 2
    eventually(lambda: hops(a, b) - before == 2, "two hops")
    # c claims that the round may go on for ever. After its third hop the round is at its end all the same.
    back = forged(["a", "b", "c"] * 2, count=2, most=INT32_MAX)
    stock.propagation(back)
    for _ in range(10):
        with refused(INVALID):
            stock.propagation(forged(count=3, most=INT32_MAX))
    # Rounds of one shard follow each other, so when another round has begun the forged one is over.
    stock.apply(property_of("sw", "n", "1", {"k": str(before)}))
    _ask(a, c)
    stock.propagation(forged(count=2, origin="a"))
    eventually(lambda: hops(a, b) - before >= 3 + 3, "third hop, and three of another round")
    assert hops(a, b) - before == 3 + 3


def _ask(a: Node, c: ForeignPeer) -> None:
    """Have a start a round, and wait until its message is at c."""
    told = len(c.propagations)
    with Stock(a.address) as stock:
        events = stock.start_repair("sw")
        next(events)
        c.wait(lambda: len(c.propagations) > told, "message at c")
        events.cancel()


def test_an_address_in_a_message_is_never_dialed(ring: tuple[Node, Node, ForeignPeer], stock: Stock) -> None:
    a, _, c = ring
    with socket.create_server((LOOPBACK, 0)) as trap:
        address = f"{LOOPBACK}:{trap.getsockname()[1]}"
        told = len(c.propagations)
        stock.propagation(forged(["a", address, "b", address, f"http://{address}", "c"], most=100))
        c.wait(lambda: len(c.propagations) > told, "message at c")
        with refused(INVALID, address):
            stock.propagation(forged(["a", address], origin=address))
        _ask(a, c)
        assert select.select([trap], [], [], 0)[0] == []


def test_another_cluster_is_refused(ring: tuple[Node, Node, ForeignPeer]) -> None:
    with Stock(ring[0].address, metadata=(("gossipnode-cluster", "other"),)) as stock:
        for call in (
            lambda: stock.propagation(forged()),
            lambda: stock.status(),
            lambda: stock.apply(property_of("sw", "n", "x")),
            lambda: list(stock.repair_stream([])),
        ):
            with refused(grpc.StatusCode.PERMISSION_DENIED, "'main'", "'other'"):
                call()
    with Stock(ring[0].address, metadata=(("gossipnode-cluster", "main"),)) as stock:
        assert stock.status().node == "a"


def test_forged_metadata(ring: tuple[Node, Node, ForeignPeer], stock: Stock) -> None:
    """Ids and causes that make no sense count as absent, or are cut."""
    call = stock.channel.unary_unary(
        PROPAGATION,
        request_serializer=gossip.PropagationRequest.SerializeToString,
        response_deserializer=gossip.PropagationResponse.FromString,
    )
    for metadata in (
        (("gossipnode-cause", "nonsense"), ("gossipnode-round", "r" * 8000)),
        (("gossipnode-round", "1"), ("gossipnode-round", "2"), ("gossipnode-hop", "-1")),
        (("gossipnode-node", "b"), ("gossipnode-hop", "x" * 1000)),
    ):
        call(forged(("a",)), timeout=10, metadata=metadata)
    assert stock.status().state == "ready"
