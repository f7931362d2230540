"""The nodes of a configuration form a cluster once all of them are there; what is refused at a start."""

from __future__ import annotations

import json
import shutil

import grpc
import pytest

from tests.system.members.shown import status
from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Node, command, eventually
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import property_of, tags_of

pytestmark = pytest.mark.slow


def table(node: Node) -> str:
    return " ".join(command("status", "--at", node.address).out.split())


def test_a_cluster_is_formed_once_every_node_of_its_configuration_is_up(nodes: Nodes) -> None:
    a, b, c = nodes.plan("a", "b", "c")
    # What a node prints says that its port listens, and not that there is a cluster.
    a.start()
    b.start()
    nobody = f"{c.address} cannot be reached: connection refused"
    eventually(lambda: status(a)["forming"] == waits(c=nobody), "wait for c alone")
    found = status(a)
    assert (found["state"], found["epoch"], found["cluster_id"]) == ("starting", 0, None)
    assert "forming: waiting for c: " in table(a)
    assert "no cluster is formed yet" in command("members", "--at", b.address).out
    with Stock(a.address) as stock:
        with refused(grpc.StatusCode.UNAVAILABLE, "no cluster is formed yet"):
            stock.apply(property_of("sw", "n", "1"))
    ended = command("apply", "sw/n/1", "k=1", "--at", b.address)
    assert (ended.code, ended.out) == (4, "")
    assert "no cluster is formed yet" in ended.problem
    ended = command("group", "create", "new", "--shards", "1", "--replicas", "1", "--at", b.address)
    assert ended.code == 4
    assert "no cluster is formed yet" in ended.problem
    # The node asked takes a write at the level local, because it asks nobody.
    assert command("apply", "sw/n/early", "k=1", "--ack", "local", "--at", b.address).code == 0

    c.start()
    found = [status(node) for node in (a, b, c) if node.wait_event("epoch") is None]
    assert {(each["state"], each["epoch"], str(each["forming"])) for each in found} == {("ready", 1, "None")}
    assert len({each["cluster_id"] for each in found}) == 1
    assert "members and groups of epoch 1" in table(c)
    with Stock(c.address) as stock:
        stock.apply(property_of("sw", "n", "1", {"k": 1}))
        assert stock.repair("sw").outcome in ("repaired", "converged")
        assert [record.id for record in stock.query("sw", limit=9)] == ["1", "early"]
    # From now on a node serves without waiting for all.
    stop_all(a, b, c)
    b.start()
    c.start()
    # b was alone for a while, and no longer waits with each request for somebody to hear of its start.
    eventually(lambda: status(b)["state"] == "ready", "store of b that counts")
    with Stock(b.address) as stock:
        stock.apply(property_of("sw", "n", "2", {"k": 2}))
    stop_all(b, c)


def waits(**problems: str) -> dict[str, object]:
    """What a cluster of three waits for, in a status."""
    told = [f"{name}: {problem}" for name, problem in problems.items()]
    return {"waiting_for": list(problems), "needed": 3, "problems": told}


def test_a_node_that_wants_another_cluster_ends(nodes: Nodes) -> None:
    (a,) = nodes.plan("a", "b")[:1]
    a.start()
    b = nodes["b"]
    b.config.write_text(b.config.read_text().replace("shards = 1", "shards = 2"))
    ended = b.try_start()
    assert ended is not None
    assert ended.code == 1
    (said,) = [line for line in b.lines if line.startswith("gossipnode: ")]
    assert "a at " in said
    assert "is configured in another way" in said
    assert "sw:1:2" in said
    assert "sw:2:2" in said
    b.config.write_text(b.config.read_text().replace("shards = 2", "shards = 1"))
    b.start()
    for node in (a, b):
        node.wait_event("epoch")
    stop_all(a, b)


def test_settings_that_the_cluster_has_not_are_refused_or_told(nodes: Nodes) -> None:
    (a,) = nodes.start("a")
    right = a.config.read_text()
    assert a.stop() == 0
    for wrong, words in (
        ("shards = 2", ["the cluster has sw:1:1, the settings say sw:2:1", "correct the settings"]),
        ("shards = 1\nreplicas = 3", ["the cluster has sw:1:1, the settings say sw:1:3", "group alter sw"]),
    ):
        text = right.replace("replicas = 1\n", "") if "replicas" in wrong else right
        a.config.write_text(text.replace("shards = 1", wrong))
        ended = a.try_start()
        assert ended is not None
        assert ended.code == 1
        said = [line for line in ended.err.splitlines() if line.startswith("gossipnode: ")]
        assert len(said) == 1
        for word in words:
            assert word in said[0]
    a.config.write_text(right.replace('ack = "quorum"', 'ack = "all"') + "[groups.more]\nshards = 3\n")
    a.start()
    for words in (
        "`group create more --shards 3 --replicas 3` makes it",
        "group sw: ack is quorum in the cluster and all in the settings: `group alter sw --ack` changes it",
    ):
        eventually(lambda words=words: words in differences(a), words)
    with Stock(a.address) as stock, refused(grpc.StatusCode.NOT_FOUND, "more"):
        stock.query("more")
    shown = json.loads(command("group", "show", "sw", "--at", a.address, "-o", "json").out)
    assert (shown["shards"], shown["replicas"], shown["ack"]) == (1, 1, "quorum")
    assert a.stop() == 0


def differences(node: Node) -> str:
    told = node.events("the settings say something else than the cluster")
    return "\n".join(event["difference"] for event in told)


def test_a_configured_group_that_was_deleted_does_not_come_back(nodes: Nodes) -> None:
    (a,) = nodes.start("a")
    with Stock(a.address) as stock:
        stock.apply(property_of("sw", "n", "1"))
    assert command("group", "delete", "sw", "--at", a.address).code == 0
    a.kill()
    a.start()
    ended = command("get", "sw/n/1", "--at", a.address)
    assert ended.code == 3
    assert "'sw' is unknown here" in ended.problem
    created = command(
        "group", "create", "sw", "--shards", "1", "--replicas", "1", "--at", a.address, "-o", "json"
    )
    assert json.loads(created.out)["incarnation"] == 3
    with Stock(a.address) as stock:
        assert stock.query("sw", limit=9) == []


def fresh(nodes: Nodes, name: str, peer: Node) -> Node:
    """A node whose settings name a member of a running cluster of two as its peer."""
    (node,) = nodes.plan(name)
    text = node.config.read_text().replace("peers = {  }", f'peers = {{ {peer.name} = "{peer.address}" }}')
    node.config.write_text(text.replace("replicas = 1", "replicas = 2"))
    return node


def test_a_fresh_node_forms_no_cluster_beside_a_running_one(nodes: Nodes) -> None:
    a, _ = nodes.start("a", "b")
    d = fresh(nodes, "d", a)
    ended = d.try_start()
    assert ended is not None
    assert ended.code == 1
    assert f"the cluster of a at {a.address} has no member d: start it with --join" in ended.err
    # The very same file will do, once it is told to join.
    d.start("--join", a.address)
    members = command("members", "--at", a.address, "-o", "json").out.splitlines()
    assert [json.loads(member)["name"] for member in members] == ["a", "b", "d"]
    assert d.stop() == 0
    d.start()
    assert d.stop() == 0


def test_an_empty_disk_is_replaced_and_never_taken_for_the_member(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    with Stock(a.address) as stock:
        for number in range(50):
            stock.apply(property_of("sw", "n", str(number), {"k": number}))
    other = [
        "--name", "c", "--listen", nodes.ports.address(), "--data-dir", str(nodes.directory / "x"),
    ]  # fmt: skip
    ended = command("run", *other, "--join", a.address, "--replace")
    assert ended.code == 1
    assert "a member 'c' is running already" in ended.err
    c.kill()
    shutil.rmtree(c.data_dir)
    ended = c.try_start()
    assert ended is not None
    assert ended.code == 1
    assert "another data directory is the member c since epoch 1" in ended.err
    assert "--join --replace" in ended.err
    ended = c.try_start("--join", a.address)
    assert ended is not None
    assert "has another data directory" in ended.err
    c.start("--join", a.address, "--replace")
    with Stock(c.address) as stock:
        eventually(lambda: "moving" not in str(stock.status().shards), "copy in c")
    with Stock(c.address, metadata=[("gossipnode-ack", "local")]) as stock:
        found = stock.query("sw", limit=100)
    assert {record.id: tags_of(record)["k"] for record in found} == {str(n): n for n in range(50)}
    stop_all(a, b, c)


def test_a_replacement_that_loses_writes_has_to_be_accepted(nodes: Nodes) -> None:
    a, b = nodes.start("a", "b", groups=["one:1:1", "two:4:1"])
    b.kill()
    shutil.rmtree(b.data_dir)
    ended = b.try_start("--join", a.address, "--replace")
    assert ended is not None
    assert ended.code == 1
    assert "b cannot be replaced without losing acknowledged writes: too few other copies of " in ended.err
    assert "--accept-loss" in ended.err
    # Of two members one is no majority, so nobody can decide without b.
    ended = b.try_start("--join", a.address, "--replace", "--accept-loss")
    assert ended is not None
    assert "1 of 2 members agreed" in ended.err
