"""`restore`: what it makes of a data directory, what it says, and what it refuses."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import trio

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.core.model.property import ShardId
from gossipnode.node.identity.birth import BIRTH_NOTE, noted_birth
from gossipnode.node.identity.owner import take_store
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.store.interface import Store
from gossipnode.store.sqlite.disk.directory_lock import DirectoryLock
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from gossipnode.wire.epochs.epoch_codec import encode_state
from tests.cli.conftest import Cli, lines
from tests.core.cluster.clusters import formed
from tests.records import record
from tests.store.snapshot.taking import take_snapshot
from tests.store.support import leaf_digest

OLD = formed("abc", Group("alone", shards=2, replicas=1), Group("sw", shards=1, replicas=3))
Result = TypeVar("Result")


def in_store(directory: Path, work: Callable[[Store], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_sqlite_store(directory, leaf_digest=leaf_digest, dialect="commas") as store:
            return await work(store)

    return trio.run(run)


def made(tmp_path: Path, value: ClusterMetadata | None, name: str = "a") -> Path:
    """A snapshot of a node of a cluster."""

    async def fill(store: Store) -> None:
        await take_store(store, name, tmp_path)
        await store.keep_note(BIRTH_NOTE, b"0")
        if value is not None:
            await store.keep_note(CLUSTER_NOTE, encode_state(AcceptorState(0, value)))
        await store.write([(ShardId("sw", 0), record(f"n/{number}")) for number in range(3)])

    in_store(tmp_path / "source", fill)
    take_snapshot(tmp_path / "source", tmp_path / "snapshots", "one")
    return tmp_path / "snapshots" / "one"


def test_one_lost_node(cli: Cli, tmp_path: Path) -> None:
    snapshot, data_dir = made(tmp_path, OLD), tmp_path / "data"
    (told,) = lines(cli("restore", str(snapshot), "--data-dir", str(data_dir), "-o", "json"))
    assert told == {
        "data_dir": str(data_dir),
        "snapshot": "one",
        "taken_at": "2026-01-02T03:04:05Z",
        "name": "a",
        "new_cluster": False,
        "epoch": OLD.epoch,
        "cluster_id": OLD.cluster_id.hex(),
        "members": ["a", "b", "c"],
        "groups": ["alone", "sw"],
        "records": 3,
        "tombstones": 0,
        "no_copy": [],
        "one_copy_of_several": [],
        "run_here": f"gossipnode run --name a --listen {OLD.members['a'].address} --data-dir {data_dir}",
        "run_others": [],
    }
    birth = in_store(data_dir, noted_birth)
    assert birth is not None
    assert birth.takes_over
    ended = cli("restore", str(snapshot), "--data-dir", str(tmp_path / "other"))
    assert (ended.code, ended.err) == (0, "")
    assert "is that of a as of 2026-01-02T03:04:05Z, with 3 records and 0 tombstones" in ended.out
    assert "takes its own place again" in ended.out
    assert in_store(tmp_path / "other", noted_birth) != birth, "two restores are two stores"


def test_the_first_node_of_a_new_cluster(cli: Cli, tmp_path: Path) -> None:
    snapshot, data_dir = made(tmp_path, OLD), tmp_path / "data"
    (told,) = lines(cli("restore", str(snapshot), "--data-dir", str(data_dir), "--new-cluster", "-o", "json"))
    assert (told["new_cluster"], told["members"], told["epoch"]) == (True, ["a"], OLD.epoch + 1_000_000)
    assert told["cluster_id"] != OLD.cluster_id.hex()
    assert told["one_copy_of_several"] == ["sw/0"]
    others = told["run_others"]
    assert isinstance(others, list)
    assert [line.partition(" --data-dir")[0] for line in others] == [
        f"gossipnode run --name {name} --listen {OLD.members[name].address}" for name in "bc"
    ]
    assert all(line.endswith(f"--join {OLD.members['a'].address} --as-new") for line in others)
    ended = cli("restore", str(snapshot), "--data-dir", str(tmp_path / "other"), "--new-cluster")
    assert ended.code == 0
    assert "a is the only member of a new cluster" in ended.out
    assert "others may have more of sw/0" in ended.err


def test_a_node_without_a_cluster(cli: Cli, tmp_path: Path) -> None:
    snapshot = made(tmp_path, None)
    ended = cli("restore", str(snapshot), "--data-dir", str(tmp_path / "data"))
    assert ended.code == 0
    assert "was no member of a cluster" in ended.out
    ended = cli("restore", str(snapshot), "--data-dir", str(tmp_path / "other"), "--new-cluster")
    assert ended.code == 1
    assert "knows no epoch" in ended.problem
    assert not (tmp_path / "other" / "store.db").exists()


def test_the_only_member_of_its_cluster(cli: Cli, tmp_path: Path) -> None:
    snapshot = made(tmp_path, formed("a", Group("sw", replicas=1)))
    ended = cli("restore", str(snapshot), "--data-dir", str(tmp_path / "data"))
    assert ended.code == 1
    assert "restore with --new-cluster" in ended.problem
    assert cli("restore", str(snapshot), "--data-dir", str(tmp_path / "data"), "--new-cluster").code == 0


def test_what_is_refused_in_one_line(cli: Cli, tmp_path: Path) -> None:
    snapshot, source = made(tmp_path, OLD), tmp_path / "source"

    def problem(code: int, directory: Path, data_dir: Path) -> str:
        ended = cli("restore", str(directory), "--data-dir", str(data_dir))
        assert (ended.code, ended.out) == (code, "")
        return ended.problem

    assert "no such directory" in problem(2, tmp_path / "absent", tmp_path / "data")
    assert "it is no directory" in problem(2, snapshot, snapshot / "store.db")
    assert "has no manifest.json" in problem(1, source, tmp_path / "data")
    assert f"{source} is not empty" in problem(1, snapshot, source)
    lock = DirectoryLock(source)
    assert "in use by another process" in problem(1, snapshot, source)
    lock.release()
    os.truncate(snapshot / "store.db", 4096)
    assert "is torn" in problem(1, snapshot, tmp_path / "data")
    assert not (tmp_path / "data").exists()
