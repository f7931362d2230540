"""Nodes join, are killed while shards move, and are forgotten; groups are made and deleted by command."""

from __future__ import annotations

import json

import grpc
import pytest

from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Node, command, eventually
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import property_of, tags_of

pytestmark = pytest.mark.slow

RECORDS = 120


def joiner(nodes: Nodes, name: str, through: Node) -> Node:
    """A node that no other node's configuration names, and whose own names no group."""
    address = nodes.ports.address()
    config = nodes.directory / f"{name}.toml"
    config.write_text(
        f'[node]\nname = "{name}"\nlisten = "{address}"\ndata_dir = "{nodes.directory / name}"\n'
        f'[cluster]\njoin = ["{through.address}"]\n[repair]\nschedule = ""\n'
    )
    nodes.nodes[name] = Node(name, config, nodes.directory / name, address)
    return nodes.nodes[name]


def write(node: Node, numbers: range, group: str = "sw") -> None:
    with Stock(node.address) as client:
        for number in numbers:
            client.apply(property_of(group, "n", str(number), {"k": number}))


def all_there(node: Node, count: int = RECORDS, group: str = "sw") -> None:
    with Stock(node.address) as client:
        found = client.query(group, limit=10 * count)
    assert {record.id: tags_of(record)["k"] for record in found} == {
        str(number): number for number in range(count)
    }


def settled(node: Node, members: str) -> bool:
    with Stock(node.address) as client:
        status = client.status()
    return [member.name for member in status.members] == list(members) and not any(
        shard.HasField("moving") for shard in status.shards
    )


def run(*arguments: str, at: Node) -> dict[str, object]:
    ended = command(*arguments, "--at", at.address, "-o", "json")
    assert ended.code == 0, ended
    found: dict[str, object] = json.loads(ended.out)
    return found


def test_a_cluster_grows_and_shrinks_under_kill_and_loses_nothing(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c", groups=["sw:8:2"])
    write(a, range(RECORDS))
    d = joiner(nodes, "d", through=b).start()
    d.kill()
    d.start()
    c.kill()
    c.start()
    for node in (a, b, c, d):
        eventually(lambda node=node: settled(node, "abcd"), f"settled view at {node.name}")
        all_there(node)
    assert run("member", "forget", "b", at=d)["leaving"] is True
    assert b.wait() == 1
    assert any("the cluster has forgotten b" in line for line in b.lines)
    for node in (a, c, d):
        eventually(lambda node=node: settled(node, "acd"), f"settled view at {node.name}")
        all_there(node)
    ended = b.try_start()
    assert ended is not None
    # It has met the others before they told it, and the log says so.
    said = ended.err.splitlines()[-1]
    assert said.startswith("gossipnode: ")
    assert "forgotten b" in said
    stop_all(a, c, d)


def test_a_group_is_made_and_deleted_by_command_also_where_a_member_is_away(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    run("group", "create", "new", "--shards", "2", "--replicas", "3", at=a)
    write(b, range(20), "new")
    c.kill()
    run("group", "delete", "new", at=b)
    run("group", "create", "new", "--shards", "3", "--replicas", "3", at=a)
    with Stock(b.address) as client:
        client.apply(property_of("new", "n", "fresh", {"k": 1}))
    c.start()
    for node in (a, b, c):
        with Stock(node.address) as client:
            assert [record.id for record in client.query("new", limit=100)] == ["fresh"]
            with refused(grpc.StatusCode.PERMISSION_DENIED, "the system's own"):
                client.apply(property_of("_gossipnode", "member", "x"))
    for node in (a, b, c):
        node.assert_no_defect()


def test_a_node_joins_through_one_that_took_any_free_port(nodes: Nodes) -> None:
    (a,) = nodes.plan("a")
    a.config.write_text(a.config.read_text().replace(f'listen = "{a.address}"', 'listen = "127.0.0.1:0"'))
    a.start()
    write(a, range(3))
    d = joiner(nodes, "d", through=a).start()
    for node in (a, d):
        eventually(lambda node=node: settled(node, "ad"), f"settled view at {node.name}")
        all_there(node, 3)
        with Stock(node.address) as client:
            assert [member.address for member in client.status().members] == [a.address, d.address]
    # With another port after a start it is found again, too.
    before = a.address
    assert a.stop() == 0
    a.start()
    assert a.address != before
    eventually(lambda: works(d), "a at its new address")
    stop_all(a, d)


def works(node: Node) -> bool:
    try:
        all_there(node, 3)
    except grpc.RpcError:
        return False
    with Stock(node.address) as client:
        return {member.state for member in client.status().members} == {"up"}
