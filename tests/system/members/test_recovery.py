"""Two of three nodes are killed and one disk is lost: the survivor goes on, and the others come back."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.system.members.shown import nothing_moves, status
from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Ended, Node, command, eventually, verify
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of, tags_of

pytestmark = pytest.mark.slow

RECORDS = 60
SHARDS = 4
GROUPS = ("sw:4:3", "alone:4:1")


def write(node: Node, group: str, numbers: range) -> None:
    with Stock(node.address) as stock:
        for number in numbers:
            stock.apply(property_of(group, "n", str(number), {"k": number}))


def found(node: Node, group: str, level: str) -> dict[str, object]:
    with Stock(node.address, metadata=[("gossipnode-ack", level)]) as stock:
        return {record.id: tags_of(record)["k"] for record in stock.query(group, limit=1000)}


def settled(node: Node, members: list[str]) -> bool:
    return [each["name"] for each in status(node)["members"]] == members and nothing_moves(node)


def recover(node: Node, *arguments: str) -> Ended:
    return command("recover", "--data-dir", str(node.data_dir), *arguments)


def test_a_majority_is_gone_for_good(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c", groups=GROUPS)
    write(a, "sw", range(RECORDS))
    write(a, "alone", range(RECORDS))
    kept = found(a, "alone", "local") | found(c, "alone", "local")
    assert 0 < len(found(c, "alone", "local")) < len(kept) < RECORDS
    # The survivor was away for the last writes, which the other two acknowledged.
    a.kill()
    write(b, "sw", range(RECORDS, RECORDS + 10))
    b.kill()
    c.kill()
    shutil.rmtree(b.data_dir)

    ended = recover(a, "--yes", "-o", "json")
    assert ended.code == 0, ended
    told = json.loads(ended.out)
    assert (told["name"], told["epoch"], told["members_before"]) == ("a", 1_000_001, ["a", "b", "c"])
    assert told["one_copy_of_several"] == [f"sw/{shard}" for shard in range(SHARDS)]
    a.start()
    assert [each["name"] for each in status(a)["members"]] == ["a"]
    assert recover(a, "--yes").code == 1  # it runs

    c.start("--join", a.address, "--as-new")
    b.start("--join", a.address)
    for node in (a, b, c):
        eventually(lambda node=node: settled(node, ["a", "b", "c"]), "three members that are settled")
    c.wait_event("every replica has what this node brought along")
    everything = {str(number): number for number in range(RECORDS + 10)}
    assert [found(node, "sw", "local") for node in (a, b, c)] == [everything] * 3
    # Only what b alone had is lost.
    assert [found(node, "alone", "quorum") for node in (a, b, c)] == [kept] * 3
    write(b, "sw", range(1000, 1001))
    assert len(found(c, "sw", "all")) == RECORDS + 11
    births = {each["name"]: each["birth"] for each in status(a)["members"]}

    assert c.stop() == 0
    c.start("--join", a.address, "--as-new")
    assert {each["name"]: each["birth"] for each in status(c)["members"]} == births
    stop_all(a, b, c)
    for node in (a, b, c):
        verify(node)


def test_what_a_forgotten_member_alone_has_comes_back_with_it(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    with Stock(c.address, metadata=[("gossipnode-ack", "local")]) as stock:
        stock.apply(property_of("sw", "n", "lonely", {"k": 7}))
    c.kill()
    assert command("member", "forget", "c", "--at", a.address).code == 0
    refused = c.try_start()
    if refused is None:
        assert c.wait() == 1
    assert any("--join ADDR --as-new" in line for line in c.lines)
    assert found(b, "sw", "quorum") == {}
    c.start("--join", a.address, "--as-new")
    for node in (a, b, c):
        eventually(lambda node=node: found(node, "sw", "local") == {"lonely": 7}, "the record of c")
    stop_all(a, b, c)
