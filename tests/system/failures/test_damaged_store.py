"""A store whose file is damaged, or is not a store at all, or is in use by another process."""

from __future__ import annotations

import contextlib
import sqlite3

import grpc
import pytest

from tests.system.nodes import Nodes
from tests.system.processes import Node, command, eventually, verify
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of

pytestmark = pytest.mark.slow

BIG = "v" * 20_000


def damage(node: Node) -> None:
    """Overwrite some bytes of every page but the first."""
    path = node.data_dir / "store.db"
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 64] = b"\xa5" * 64
    path.write_bytes(content)


def test_a_damaged_file_is_refused_moved_aside_and_filled_again(nodes: Nodes) -> None:
    a, b, _ = nodes.start("a", "b", "c")
    with Stock(a.address) as stock:
        stock.import_versions("sw", [(property_of("sw", "n", str(n), revision=1), 0) for n in range(500)])
        assert stock.repair("sw").outcome == "repaired"
    assert b.stop() == 0
    damage(b)
    before = (b.data_dir / "store.db").read_bytes()
    ended = b.try_start()
    assert ended is not None
    assert ended.code == 1
    assert str(b.data_dir) in ended.problem
    assert "--reseed" in ended.problem
    assert (b.data_dir / "store.db").read_bytes() == before

    # What is left of b is an empty node, and the cluster has another one of that name.
    ended = b.try_start("--reseed")
    assert ended is not None
    assert ended.code == 1
    assert "another data directory is the member b since epoch 1" in ended.err
    assert "--join --replace" in ended.err
    aside = b.data_dir / "store.db.damaged-1"
    assert aside.read_bytes() == before
    assert any(str(aside) in line for line in b.lines)
    b.start("--join", a.address, "--replace")
    with Stock(a.address) as to_a, Stock(b.address) as to_b:
        # It counts as a new member, and needs no round to fill itself.
        eventually(lambda: to_a.root("sw") == to_b.root("sw"), "copy in b")
        assert to_a.repair("sw").outcome == "converged"
        assert len(to_b.export("sw")) == 500
    assert b.stop() == 0
    assert verify(b)["records"] == 500


def test_damage_that_shows_only_when_it_is_read_stops_the_node(nodes: Nodes) -> None:
    """After a clean stop a node starts without a look at every page. It stops at the first damaged one."""
    (node,) = nodes.start("a")
    with Stock(node.address) as stock:
        records = [property_of("sw", "n", str(number), {"k": BIG}, revision=1) for number in range(50)]
        stock.import_versions("sw", [(record, 0) for record in records])
        stock.root("sw")
    assert node.stop() == 0
    path = node.data_dir / "store.db"
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content), 4096):
        content[at : at + 64] = b"\xa5" * 64
    path.write_bytes(content)
    ended = node.try_start()
    if ended is None:
        # Either the call meets the damage, or something in the background has met it just before.
        with Stock(node.address) as stock, pytest.raises(grpc.RpcError) as caught:
            stock.export("sw")
        assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
        assert str(path) in caught.value.details()
        assert "--reseed" in caught.value.details()
        assert node.wait() == 1
    else:
        assert ended.code == 1
    (said,) = [line for line in node.lines if line.startswith("gossipnode: ")]
    assert str(path) in said
    assert "--reseed" in said
    node.start("--reseed")
    node.assert_no_defect()


def test_a_rotten_payload_is_set_aside_and_comes_back_from_a_replica(nodes: Nodes) -> None:
    """SQLite does not notice a changed payload. The node does, when it computes the digest of the record."""
    a, b = nodes.start("a", "b", ack="local")
    with Stock(a.address) as stock:
        for number in range(3):
            stock.apply(property_of("sw", "n", str(number), {"k": "v" * 500}))
        assert stock.repair("sw").outcome in ("repaired", "converged")
    assert b.stop() == 0
    rotten_through_sqlite(b, "1")
    b.start()
    with Stock(a.address) as to_a, Stock(b.address) as to_b:
        # Without a foreign member, digests are computed when somebody asks for them.
        eventually(lambda: to_b.root("sw") and "record set aside" in "\n".join(b.lines), "a record set aside")
        (said,) = [line for line in b.lines if "record set aside" in line]
        assert "sw/n/1" in said
        eventually(lambda: to_a.repair("sw").outcome == "converged", "round without a difference")
        assert to_a.root("sw") == to_b.root("sw")
        assert len(to_b.export("sw")) == 3
    assert b.stop() == 0
    assert verify(b)["records"] == 3
    b.assert_no_defect()


def rotten_through_sqlite(node: Node, id_: str) -> None:
    """Change the payload of one record, and have all digests computed once more."""
    with contextlib.closing(sqlite3.connect(node.data_dir / "store.db")) as connection, connection:
        changed = connection.execute(
            "UPDATE payload SET bytes = zeroblob(100) WHERE rid IN (SELECT rid FROM leaf WHERE entity = ?)",
            (b"sw\0n\0" + id_.encode(),),
        )
        assert changed.rowcount == 1
        connection.execute("UPDATE leaf SET sha = NULL")
        connection.execute("UPDATE slot SET sha = NULL, unhashed = records + tombstones")


@pytest.mark.parametrize("content", [b"", b"no database", b"\0" * 8192], ids=["empty", "text", "zeros"])
def test_a_file_that_is_no_store(nodes: Nodes, content: bytes) -> None:
    (node,) = nodes.plan("a")
    node.data_dir.mkdir()
    (node.data_dir / "store.db").write_bytes(content)
    ended = node.try_start()
    assert ended is not None
    assert ended.code == 1
    assert "--reseed" in ended.problem
    assert (node.data_dir / "store.db").read_bytes() == content


def test_a_directory_in_use(nodes: Nodes) -> None:
    (node,) = nodes.start("a")
    for arguments in (
        ("run", "--name", "b", "--listen", "127.0.0.1:0", "--data-dir", str(node.data_dir)),
        ("verify", "--data-dir", str(node.data_dir)),
    ):
        ended = command(*arguments)
        assert ended.code == 1
        assert f"{node.data_dir} is in use" in ended.problem
    with Stock(node.address) as stock:
        assert stock.apply(property_of("sw", "n", "1")).created
