"""What an operator does to members and to the numbers of replicas, and what is shown of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.nodes import Nodes, start_all, stop_all
from tests.system.processes import Ended, Node, command, eventually
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of, tags_of

pytestmark = pytest.mark.slow

RECORDS = 40


def ask(node: Node, *arguments: str) -> Ended:
    return command(*arguments, "--at", node.address, "-o", "json")


def told(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended
    return [json.loads(line) for line in ended.out.splitlines()]


def members(node: Node) -> dict[str, dict[str, Any]]:
    return {member["name"]: member for member in told(ask(node, "members"))}


def write(node: Node, count: int = RECORDS) -> None:
    with Stock(node.address) as stock:
        for number in range(count):
            stock.apply(property_of("sw", "n", str(number), {"k": number}))


def held(node: Node, level: str = "quorum") -> dict[str, object]:
    with Stock(node.address, metadata=[("gossipnode-ack", level)]) as stock:
        return {record.id: tags_of(record)["k"] for record in stock.query("sw", limit=1000)}


ALL = {str(number): number for number in range(RECORDS)}


def settled(node: Node) -> bool:
    (status,) = told(ask(node, "status"))
    return all(shard["moving"] is None for shard in status["shards"]) and all(
        member["moves"] == 0 for member in status["members"]
    )


def test_members_are_shown_with_what_they_are(nodes: Nodes) -> None:
    a, b = nodes.start("a", "b")
    shown = members(a)
    assert {(each["state"], each["role"], each["moves"]) for each in shown.values()} == {("up", "member", 0)}
    assert members(b) == shown
    births = [each["birth"] for each in shown.values()]
    assert len({*births}) == 2
    assert {len(birth) for birth in births} == {16}
    assert {each["address"] for each in shown.values()} == {a.address, b.address}
    table = command("members", "--at", a.address).out
    assert table.splitlines()[-1] == "epoch 1"
    assert births[0] in table
    stop_all(a, b)


def test_a_healthy_member_hands_over_before_it_goes(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c", groups=["sw:4:1"])
    write(a)
    (answer,) = told(ask(a, "member", "forget", "c"))
    assert list(answer) == ["name", "epoch", "leaving", "acknowledged", "members"]
    assert (answer["name"], answer["epoch"], answer["leaving"], answer["members"]) == ("c", 2, True, 3)
    # It stops by itself, and each record has another home although its group has one replica only.
    assert c.wait() == 1
    assert any("the cluster has forgotten c" in line for line in c.lines)
    c.assert_no_defect()
    eventually(lambda: list(members(a)) == list(members(b)) == ["a", "b"], "members a and b")
    assert held(a) == held(b) == ALL
    # What stands already is answered as done, and what never was a member is not found.
    assert told(ask(b, "member", "forget", "c"))[0]["leaving"] is False
    ended = ask(b, "member", "forget", "zz")
    assert (ended.code, ended.out) == (3, "")
    assert "there is no member 'zz': see `members`" in ended.problem
    stop_all(a, b)


def test_a_dead_member_is_dropped_at_once_if_nothing_is_lost_by_it(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c", groups=["sw:4:2", "alone:8:1"])
    write(a)
    c.kill()
    ended = ask(a, "member", "forget", "c")
    assert (ended.code, ended.out) == (1, "")
    assert "c cannot be dropped without losing acknowledged writes: too few other copies of alone/" in (
        ended.problem
    )
    assert "--accept-loss" in ended.problem
    assert list(members(b)) == ["a", "b", "c"]
    (answer,) = told(ask(a, "member", "forget", "c", "--accept-loss"))
    assert (answer["leaving"], answer["members"], answer["acknowledged"]) == (False, 2, 2)
    eventually(lambda: settled(a) and settled(b), "settled shards")
    assert held(a, "all") == held(b, "local") == ALL
    # The node that was dropped finds that out when it starts, and serves no more.
    ended = c.try_start()
    if ended is None:
        assert c.wait() == 1
    assert any("the cluster has forgotten c" in line for line in c.lines)
    stop_all(a, b)


def test_changes_need_a_majority_of_the_members_and_reads_do_not(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    write(a, 3)
    b.kill()
    c.kill()
    for change in (
        ["group", "create", "new", "--shards", "1", "--replicas", "1"],
        ["group", "delete", "sw"],
        ["member", "forget", "c", "--accept-loss", "--force"],
    ):
        ended = ask(a, *change)
        assert (ended.code, ended.out) == (4, "")
        assert "1 of 3 members agreed (b: " in ended.problem
        assert "the change may still come" in ended.problem
    assert [group["name"] for group in told(ask(a, "group", "list"))] == ["sw"]
    assert len(held(a, "one")) == 3


def test_two_members_decide_nothing_without_each_other(nodes: Nodes) -> None:
    a, b = nodes.start("a", "b")
    b.kill()
    ended = ask(a, "member", "forget", "b", "--accept-loss", "--force")
    assert ended.code == 4
    assert "1 of 2 members agreed (b: " in ended.problem
    b.start()
    ended = ask(a, "member", "forget", "b")
    assert ended.code == 1
    assert "a quorum of group 'sw' needs 2: add a member first, or force it with --force" in ended.problem
    assert told(ask(a, "member", "forget", "b", "--force"))[0]["leaving"] is True
    assert b.wait() == 1
    eventually(lambda: list(members(a)) == ["a"], "cluster of one")


def test_another_number_of_replicas_moves_the_records(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c", groups=["sw:4:1"])
    write(a)
    ended = ask(a, "group", "alter", "sw", "--replicas", "4")
    assert ended.code == 1
    assert "to have 4 replicas, and the number of members is 3" in ended.problem
    (group,) = told(ask(a, "group", "alter", "sw", "--replicas", "3"))
    assert (group["replicas"], group["incarnation"]) == (3, 1)
    eventually(lambda: all(settled(node) for node in (a, b, c)), "three copies")
    assert [held(node, "local") for node in (a, b, c)] == [ALL] * 3
    told(ask(b, "group", "alter", "sw", "--replicas", "2"))
    eventually(lambda: all(settled(node) for node in (a, b, c)), "two copies")
    (status,) = told(ask(c, "status"))
    assert all(len(shard["replicas"]) == 2 for shard in status["shards"])
    assert held(c, "all") == ALL
    # The settings of a node that starts must say what the cluster has now.
    assert a.stop() == 0
    refused = a.try_start()
    assert refused is not None
    assert refused.code == 1
    assert "the cluster has sw:4:2, the settings say sw:4:1" in refused.err
    a.config.write_text(a.config.read_text().replace("replicas = 1", "replicas = 2"))
    a.start()
    stop_all(a, b, c)


def move(nodes: Nodes, node: Node) -> str:
    """Give a node that has stopped another port; gives its new address."""
    address = nodes.ports.address()
    node.config.write_text(
        node.config.read_text().replace(f'listen = "{node.address}"', f'listen = "{address}"')
    )
    return address


def test_a_node_whose_address_changed_is_found_again(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    write(a)
    assert c.stop() == 0
    address = move(nodes, c)
    c.start()
    assert c.address == address
    for node in (a, b):
        eventually(lambda node=node: members(node)["c"]["address"] == address, "new address of c")
        eventually(lambda node=node: members(node)["c"]["state"] == "up", "c that is up")
    with Stock(a.address, metadata=[("gossipnode-ack", "all")]) as stock:
        stock.apply(property_of("sw", "n", "more", {"k": 1}))
    # It was decided, so a member that was away meanwhile learns it, too.
    eventually(lambda: told(ask(a, "status"))[0]["epoch"] == 2, "epoch with the new address")
    stop_all(a, b, c)


def test_all_addresses_may_change_at_once_if_the_settings_say_so(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    write(a)
    stop_all(a, b, c)
    before = {node.name: node.address for node in (a, b, c)}
    after = {node.name: move(nodes, node) for node in (a, b, c)}
    for node in (a, b, c):
        text = node.config.read_text()
        for name, address in before.items():
            text = text.replace(f'"{name}": "{address}"', f'"{name}": "{after[name]}"')
            text = text.replace(f'"{name}" = "{address}"', f'"{name}" = "{after[name]}"')
        node.config.write_text(text)
    start_all(a, b, c)
    for node in (a, b, c):
        eventually(
            lambda node=node: {each["address"] for each in members(node).values()} == {*after.values()},
            "new addresses",
        )
        assert held(node) == ALL
    stop_all(a, b, c)
