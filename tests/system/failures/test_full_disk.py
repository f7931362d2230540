"""A node whose disk is full says so, serves reads, loses nothing, and goes on when there is room again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.system.nodes import Nodes, start_all, stop_all
from tests.system.processes import command, verify
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import own, property_of

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
        # Reads go on, and show no write in part.
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
    """Fill a disk to its last page."""
    ballast = disk / name
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return ballast


def test_a_peer_whose_disk_is_full_is_left_out(nodes_on: Nodes, small_disk: Path) -> None:
    """A session that meets a full disk fails, and the round tells the reason."""
    a, b = nodes_on.plan("a", "b", ack="local")
    text = b.config.read_text().replace(str(b.data_dir), str(small_disk / "b"))
    b.config.write_text(text)
    b.data_dir = small_disk / "b"
    start_all(a, b)
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
    stop_all(a, b)
