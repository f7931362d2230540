"""Data directories that went back in time, and copies of them, with real processes and real disks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.system.members.shown import nothing_moves, status
from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Node, eventually
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of, tags_of

pytestmark = pytest.mark.slow


def apply(node: Node, value: int) -> None:
    with Stock(node.address, metadata=[("gossipnode-ack", "all")]) as stock:
        stock.apply(property_of("sw", "n", "1", {"k": value}))


def got(node: Node, level: str = "quorum") -> object:
    with Stock(node.address, metadata=[("gossipnode-ack", level)]) as stock:
        return [tags_of(record)["k"] for record in stock.query("sw", limit=1000)]


def birth(node: Node) -> str:
    (member,) = [each for each in status(node)["members"] if each["name"] == node.name]
    return str(member["birth"])


def settled(node: Node) -> bool:
    return status(node)["state"] == "ready" and nothing_moves(node)


def test_an_older_copy_that_is_put_back_fills_itself_before_it_counts(nodes: Nodes, tmp_path: Path) -> None:
    a, b, c = nodes.start("a", "b", "c")
    apply(a, 1)
    before = birth(b)
    b.kill()
    shutil.copytree(b.data_dir, tmp_path / "copy")
    b.start()
    apply(a, 2)
    b.kill()
    shutil.rmtree(b.data_dir)
    shutil.copytree(tmp_path / "copy", b.data_dir)
    b.start()
    b.wait_event("the data directory went back in time")
    b.wait_event("took the own place as a new store")
    eventually(lambda: settled(b), "b is filled")
    assert birth(b) != before
    c.kill()
    assert got(b) == [2]
    stop_all(a, b)


def test_a_log_that_lost_its_end_counts_as_time_that_went_back(nodes: Nodes) -> None:
    a, b, _ = nodes.start("a", "b", "c")
    for value in range(20):
        apply(a, value)
    b.kill()
    log = b.data_dir / "store.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 4] ^= 1
    log.write_bytes(content)
    b.start()
    b.wait_event("took the own place as a new store")
    eventually(lambda: settled(b), "b is filled")
    a.kill()
    assert got(b) == [19]


def test_a_copy_of_a_running_node_stops_and_says_why(nodes: Nodes, tmp_path: Path) -> None:
    a, b, c = nodes.start("a", "b", "c")
    apply(a, 1)
    shutil.copytree(b.data_dir, tmp_path / "copy")
    config = tmp_path / "copy.toml"
    config.write_text(b.config.read_text().replace(str(b.data_dir), str(tmp_path / "copy")))
    copy = Node("b", config, tmp_path / "copy", nodes.ports.address())
    ended = copy.try_start("--listen", copy.address)
    assert ended is not None
    assert ended.code == 1
    assert "b is running already, with another copy of this data directory" in ended.err
    apply(c, 2)
    assert got(b, "all") == [2]
    stop_all(a, b, c)


def test_a_node_that_starts_alone_says_whom_it_waits_for(nodes: Nodes) -> None:
    a, b, c = nodes.start("a", "b", "c")
    apply(a, 1)
    stop_all(a, b, c)
    b.start()
    shown = status(b)
    assert (shown["state"], shown["unheard"], shown["not_replaced"]) == ("starting", ["a", "c"], None)
    assert got(b, "local") == [1]
    a.start()
    eventually(lambda: status(b)["state"] == "ready", "b counts")
    assert got(b) == [1]
    stop_all(a, b)
