"""Snapshots of real nodes, and three ways of bringing them back: a node, a cluster, into another cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.members.shown import nothing_moves, status
from tests.system.nodes import Nodes, stop_all
from tests.system.processes import COMMAND, ENVIRONMENT, WAIT_SECONDS, Node, command, eventually, verify
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of, tags_of

pytestmark = pytest.mark.slow

BIG = "v" * 10_000


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Nodes]:
    """The nodes of another cluster."""
    (tmp_path / "elsewhere").mkdir()
    made = Nodes(tmp_path / "elsewhere")
    yield made
    made.end_all()


def start(nodes: Nodes, *names: str, **options: Any) -> list[Node]:
    settings = {"node": {"snapshot_dir": str(nodes.directory / "snapshots")}}
    return nodes.start(*names, settings=settings, **options)


def write(node: Node, **values: int) -> None:
    with Stock(node.address) as stock:
        for key, number in values.items():
            stock.apply(property_of("sw", "n", key, {"k": number}))


def delete(node: Node, key: str) -> None:
    assert command("delete", f"sw/n/{key}", "--at", node.address).code == 0


def found(node: Node, level: str) -> dict[str, object]:
    with Stock(node.address, metadata=[("gossipnode-ack", level)]) as stock:
        return {record.id: tags_of(record)["k"] for record in stock.query("sw", limit=1000)}


def snapshot(node: Node, name: str) -> Path:
    ended = command("snapshot", name, "--at", node.address, "-o", "json")
    assert ended.code == 0, ended
    return Path(json.loads(ended.out)["path"])


def restore(taken: Path, data_dir: Path, *arguments: str) -> dict[str, Any]:
    ended = command("restore", str(taken), "--data-dir", str(data_dir), *arguments, "-o", "json")
    assert ended.code == 0, ended
    told: dict[str, Any] = json.loads(ended.out)
    return told


def lose(*nodes: Node) -> None:
    for node in nodes:
        node.kill()
        shutil.rmtree(node.data_dir)


def settled(node: Node, *, members: int = 3) -> bool:
    shown = status(node)
    return len(shown["members"]) == members and shown["state"] == "ready" and nothing_moves(node)


def test_one_lost_node(nodes: Nodes) -> None:
    a, b, c = start(nodes, "a", "b", "c")
    write(a, old=1, gone=1, kept=1)
    taken = snapshot(c, "nightly")
    again = command("snapshot", "nightly", "--at", c.address)
    assert (again.code, again.problem) == (1, f"{taken} is there already: choose another name, or remove it")
    running = command("restore", str(taken), "--data-dir", str(c.data_dir))
    assert running.code == 1
    assert f"in use by another process (pid {c.pid})" in running.problem
    write(a, old=2, late=2)
    delete(a, "gone")
    lose(c)
    assert restore(taken, c.data_dir)["records"] == 3
    c.start()
    c.wait_event("took the own place as a new store")
    eventually(lambda: settled(c), "c is filled")
    b.kill()
    for node in (a, c):
        assert found(node, "quorum") == {"old": 2, "late": 2, "kept": 1}
    stop_all(a, c)
    verify(c)
    checked = command("verify", "--data-dir", str(taken), "-o", "json")
    assert (checked.code, json.loads(checked.out)["records"]) == (0, 3)
    assert sorted(os.listdir(taken)) == ["manifest.json", "store.db"]


def test_a_whole_cluster(nodes: Nodes) -> None:
    a, b = start(nodes, "a", "b")
    write(a, one=1, gone=1)
    taken = {"a": snapshot(a, "all-a")}
    write(b, two=2)
    delete(b, "gone")
    taken["b"] = snapshot(b, "all-b")
    lose(a, b)
    assert restore(taken["a"], a.data_dir, "--new-cluster")["members"] == ["a"]
    restore(taken["b"], b.data_dir)
    a.start()
    b.start("--join", a.address, "--as-new")
    for node in (a, b):
        eventually(lambda node=node: settled(node, members=2), "two members that are settled")
        eventually(lambda node=node: found(node, "local") == {"one": 1, "two": 2}, "all of the snapshots")
    stop_all(a, b)


def test_into_another_cluster(nodes: Nodes, elsewhere: Nodes) -> None:
    """It has groups of its own, so a node alone gives what the snapshot has."""
    (a,) = start(nodes, "a", groups=("sw:1:1",))
    write(a, one=1, gone=1)
    delete(a, "gone")
    taken = snapshot(a, "nightly")
    (alone,) = elsewhere.plan("a", groups=())
    assert "restore with --new-cluster" in refused_restore(taken, alone.data_dir)
    restore(taken, alone.data_dir, "--new-cluster")
    alone.start()
    (other,) = nodes.start("x", groups=("sw:2:1",))
    write(other, gone=0, two=2)
    exported = command("export", "sw", "--tombstones", "--ack", "one", "--at", alone.address)
    assert exported.code == 0, exported
    arguments = ("import", "sw", "-", "--keep-versions", "--at", other.address)
    imported = command(*arguments, input=exported.out.encode())
    assert imported.code == 0, imported
    assert found(other, "quorum") == {"gone": 0, "one": 1, "two": 2}, "the newer version of each record"
    stop_all(a, other, alone)


def refused_restore(taken: Path, data_dir: Path) -> str:
    ended = command("restore", str(taken), "--data-dir", str(data_dir))
    assert ended.code == 1
    return ended.problem


def test_a_crash_in_the_middle_leaves_no_half_snapshot(nodes: Nodes) -> None:
    (a,) = start(nodes, "a", groups=("sw:1:1",))
    with Stock(a.address) as stock:
        for number in range(300):
            stock.apply(property_of("sw", "n", str(number), {"k": BIG}))
    directory = nodes.directory / "snapshots"
    for number in range(20):
        asking = subprocess.Popen(
            [*COMMAND, "snapshot", f"try-{number}", "--at", a.address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )
        name = first_partial(directory, f"try-{number}")
        a.kill()
        asking.wait(WAIT_SECONDS)
        if name is not None and (directory / name).exists():
            break
        a.start()
    else:
        raise AssertionError("each snapshot was whole before the node was killed")
    assert not (directory / f"try-{number}").exists()
    a.start()
    eventually(lambda: not (directory / name).exists(), "the remains are removed")
    assert len(os.listdir(directory)) == number
    restored = nodes.directory / "restored"
    restore(snapshot(a, "whole"), restored, "--new-cluster")
    stop_all(a)
    assert command("verify", "--data-dir", str(restored)).code == 0


def first_partial(directory: Path, name: str) -> str | None:
    """Wait until a snapshot is begun: the name that it has until it is whole. None if it is whole already."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if directory.exists():
            there = os.listdir(directory)
            partial = [each for each in there if each.startswith(".partial-")]
            if partial or name in there:
                return partial[0] if partial else None
    raise AssertionError("no snapshot was begun")
