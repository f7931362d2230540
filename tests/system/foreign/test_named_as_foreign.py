"""A foreign peer is named as one: it stands in rings, and has no say in what the cluster is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.system.foreign.foreign_peer import ForeignPeer
from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.nodes import Nodes, start_all, stop_all
from tests.system.processes import Node, command, eventually
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of

pytestmark = pytest.mark.slow


@pytest.fixture
def foreign() -> Iterator[ForeignPeer]:
    peer = ForeignPeer("p", ForeignReplica(total_order=True))
    yield peer
    peer.close()


def roles(node: Node) -> dict[str, str]:
    ended = command("members", "--at", node.address, "-o", "json")
    shown = [json.loads(line) for line in ended.out.splitlines()]
    return {member["name"]: member["role"] for member in shown}


def test_a_foreign_peer_named_by_an_option(nodes: Nodes, foreign: ForeignPeer) -> None:
    a, b, c = nodes.plan("a", "b", "c", groups=["sw:1:1"])
    for node in (a, b, c):
        node.start("--foreign-peer", f"p={foreign.address}")
    foreign.members = {node.name: node.address for node in (a, b, c)}
    for node in (a, b, c):
        node.wait_event("epoch")
    assert roles(b) == {"a": "member", "b": "member", "c": "member", "p": "foreign"}
    with Stock(a.address) as stock:
        (shard,) = stock.status().shards
        # Each member of ours holds every shard of a group in whose ring the foreign one stands.
        assert list(shard.replicas) == ["a", "b", "c"]
        stock.apply(property_of("sw", "n", "1", {"k": 1}))
        finished = stock.repair("sw")
    assert "p" in {hop.to for hop in finished.hops}
    assert [held.message.id for held in foreign.replica.records.values()] == ["1"]
    # A group that is made later is none of the foreign peer's.
    made = ["group", "create", "own", "--shards", "1", "--replicas", "2", "--at", b.address]
    assert command(*made).code == 0
    with Stock(a.address) as stock:
        stock.apply(property_of("own", "n", "1", {"k": 1}))
        assert "own" not in {propagation.group for propagation in foreign.propagations}
    # It votes on nothing: two of the three others are a majority without it.
    foreign.close()
    c.kill()
    ended = command("member", "forget", "c", "--at", a.address, "-o", "json")
    assert ended.code == 0, ended
    assert json.loads(ended.out)["members"] == 2
    eventually(lambda: roles(b) == {"a": "member", "b": "member", "p": "foreign"}, "members without c")
    stop_all(a, b)


def test_a_foreign_peer_named_as_one_of_ours_keeps_the_cluster_waiting(
    nodes: Nodes, foreign: ForeignPeer
) -> None:
    (a,) = nodes.plan("a")
    a.start("--peer", f"p={foreign.address}")

    def waits() -> str:
        return command("status", "--at", a.address).out

    eventually(lambda: "name it in [cluster] foreign" in waits(), "hint in the status")
    assert "forming: waiting for p: it is no gossipnode" in " ".join(waits().split())
    assert a.stop() == 0
    a.start("--foreign-peer", f"p={foreign.address}")
    a.wait_event("epoch")
    assert a.stop() == 0


def test_nodes_that_name_other_foreign_peers_form_no_cluster(nodes: Nodes, foreign: ForeignPeer) -> None:
    a, b = nodes.plan("a", "b")
    a.start("--foreign-peer", f"p={foreign.address}")
    ended = b.try_start()
    assert ended is not None
    assert ended.code == 1
    assert "is configured in another way: its foreign members are p, ours are none" in ended.err
    assert a.stop() == 0
    start_all(a, b)
    for node in (a, b):
        node.wait_event("epoch")
    stop_all(a, b)
