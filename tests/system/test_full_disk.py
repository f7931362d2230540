"""A full disk, a damaged file, a directory in use."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.system.support import Node, Nodes, Stock, command, eventually, own, property_of, refused, verify

pytestmark = pytest.mark.slow

BIG = "v" * 20_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    target = tmp_path / "disk"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs here: {mounted.stderr.strip()}")
    yield target
    subprocess.run(["umount", "--lazy", str(target)], check=True)


@pytest.fixture
def nodes_on(small_disk: Path, tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    made.end_all()


def test_a_full_disk(nodes_on: Nodes, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    (node,) = nodes_on.start("a", data_dir=small_disk / "a")
    with Stock(node.address) as stock:
        acknowledged = []
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "no space left", str(small_disk)):
            for number in range(1000):
                stock.apply(property_of("sw", "n", str(number), {"k": BIG}))
                acknowledged.append(str(number))
        assert acknowledged
        ended = command("apply", "sw/n/one-more", f"k={BIG}", "--at", node.address)
        assert ended.code == 1
        assert "no space left" in ended.problem
        lines = "".join(f'{{"name": "m", "id": "{n}", "tags": {{"k": "{BIG}"}}}}\n' for n in range(300))
        ended = command("import", "sw", "-", "--at", node.address, input=lines.encode())
        assert ended.code == 1
        assert "no space left" in ended.problem
        record = own.Record(property=property_of("sw", "m", "1", {"k": BIG}))
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "no space left"):
            list(stock.import_stream([own.ImportRequest(group="sw", records=[record] * 100)] * 3))
        # Reads go on, and nothing half-written is seen.
        assert sorted(p.id for p in stock.query("sw", name="n", limit=1000)) == sorted(acknowledged)
        found = stock.export("sw")
        assert stock.root("sw")

        ballast.unlink()
        assert stock.apply(property_of("sw", "n", "later", {"k": BIG})).created
        assert set(found) < set(stock.export("sw"))
    assert node.stop() == 0
    assert verify(node)["records"] == len(found) + 1
    node.assert_no_defect()


def test_a_node_that_starts_and_stops_on_a_full_disk(nodes_on: Nodes, small_disk: Path) -> None:
    (node,) = nodes_on.start("a", data_dir=small_disk / "a")
    with Stock(node.address) as stock:
        stock.apply(property_of("sw", "n", "1"))
        ballast = fill(small_disk)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "no space left"):
            for number in range(1000):
                stock.apply(property_of("sw", "n", f"more-{number}", {"k": BIG}))
    assert node.stop() == 0
    fill(small_disk, "second")
    ended = node.try_start()
    if ended is None:
        with Stock(node.address) as stock:
            assert stock.query("sw", name="n", ids=["1"])
        assert node.stop() == 0
    else:
        assert ended.code == 1
        assert "no space left" in ended.problem.lower()
    ballast.unlink()
    node.start()
    with Stock(node.address) as stock:
        assert stock.apply(property_of("sw", "n", "2")).created
        assert len(stock.query("sw", name="n", ids=["1", "2"])) == 2
    assert node.stop() == 0
    verify(node)
    node.assert_no_defect()


def fill(disk: Path, name: str = "ballast") -> Path:
    """Fill a disk to the last page."""
    ballast = disk / name
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return ballast


def test_a_peer_whose_disk_is_full_is_left_out(nodes_on: Nodes, small_disk: Path) -> None:
    """A session that meets a full disk fails with a reason; the round says so."""
    a, b = nodes_on.plan("a", "b", ack="local")
    text = b.config.read_text().replace(str(b.data_dir), str(small_disk / "b"))
    b.config.write_text(text)
    b.data_dir = small_disk / "b"
    a.start()
    b.start()
    with Stock(a.address) as to_a, Stock(b.address) as to_b:
        to_b.apply(property_of("sw", "n", "mine"))
        ballast = fill(small_disk)
        for number in range(100):
            to_a.apply(property_of("sw", "n", str(number), {"k": BIG}))
        finished = to_a.repair("sw")
        assert finished.outcome == "incomplete"
        assert [hop.outcome for hop in finished.hops] == ["failed"]
        assert "no space left" in finished.hops[0].reason
        assert [record.id for record in to_b.query("sw", ids=["mine"])] == ["mine"]
        ballast.unlink()
        assert to_a.repair("sw").outcome == "repaired"
        assert to_a.root("sw") == to_b.root("sw")
    for node in (a, b):
        assert node.stop() == 0
        node.assert_no_defect()


# --- damage ---


def damage(node: Node) -> None:
    """Bits rot all over the file."""
    path = node.data_dir / "store.db"
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 64] = b"\xa5" * 64
    path.write_bytes(content)


def test_a_damaged_file_is_refused_moved_aside_and_filled_again(nodes: Nodes) -> None:
    a, b = nodes.start("a", "b", ack="local")
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

    assert a.stop() == 0
    b.start("--reseed")
    aside = b.data_dir / "store.db.damaged-1"
    assert aside.read_bytes() == before
    assert any(str(aside) in line for line in b.lines)
    with Stock(b.address) as to_b:
        assert to_b.query("sw") == []
        a.start()
        with Stock(a.address) as to_a:
            # It counts as a new member, and needs no round to fill itself.
            eventually(lambda: to_a.root("sw") == to_b.root("sw"), "copy in b")
            assert to_a.repair("sw").outcome == "converged"
        assert len(to_b.export("sw")) == 500
    assert b.stop() == 0
    assert verify(b)["records"] == 500


def test_damage_that_shows_only_when_it_is_read_stops_the_node(nodes: Nodes) -> None:
    """After a clean stop nobody looks at every page: whoever meets the damage first is told what to do."""
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
        with Stock(node.address) as stock, refused(grpc.StatusCode.INTERNAL, str(path), "--reseed"):
            stock.export("sw")
        assert node.wait() == 1
    else:
        assert ended.code == 1
    (said,) = [line for line in node.lines if line.startswith("gossipnode: ")]
    assert str(path) in said
    assert "--reseed" in said
    node.start("--reseed")
    node.assert_no_defect()


def test_a_rotten_payload_is_named(nodes: Nodes) -> None:
    """Bits that SQLite does not look at: in the middle of a record whose digest is still to be computed."""
    (node,) = nodes.start("a")
    with Stock(node.address) as stock:
        stock.apply(property_of("sw", "n", "1", {"k": "v" * 500}))
    assert node.stop() == 0
    rotten_through_sqlite(node)
    ended = node.try_start()
    if ended is None:
        assert node.wait() == 1
    (said,) = [line for line in node.lines if line.startswith("gossipnode: ")]
    assert str(node.data_dir) in said
    assert "defect" not in said


def rotten_through_sqlite(node: Node) -> None:
    """As bit rot in a page would do it, but where exactly we want it."""
    with contextlib.closing(sqlite3.connect(node.data_dir / "store.db")) as connection, connection:
        connection.execute("UPDATE payload SET bytes = zeroblob(100)")
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
