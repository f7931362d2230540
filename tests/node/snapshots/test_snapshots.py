"""Snapshots that a node takes of its store while it runs, in real time: they are taken in a thread."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from gossipnode.config.address import parse_address
from gossipnode.config.settings import NodeSettings
from gossipnode.node.snapshots.snapshots import SnapshotOutcomes, SnapshotProgress, Snapshots
from gossipnode.store.interface import StoreError
from gossipnode.store.snapshot.manifest import (
    SnapshotError,
    SnapshotExistsError,
    SnapshotNameError,
    read_manifest,
)
from tests.store.support import SqliteHandle, make_record, placed

NOW = 1_767_323_045_000_000_000
ADDRESS = parse_address("a:7400")


def snapshots_of(tmp_path: Path, directory: Path | None) -> Snapshots:
    settings = NodeSettings(
        name="a", listen=ADDRESS, advertise=ADDRESS, data_dir=tmp_path / "data", snapshot_dir=directory
    )
    return Snapshots(settings, lambda: NOW)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteHandle]:
    handle = SqliteHandle(tmp_path / "data")
    await handle.open()
    await handle.store.write(placed(make_record("1"), make_record("2", deleted=9)), stamp=5)
    yield handle
    await handle.close()


async def test_a_snapshot_and_its_manifest(store: SqliteHandle, tmp_path: Path) -> None:
    snapshots = snapshots_of(tmp_path, tmp_path / "snapshots")
    taken = await snapshots.take("one", SnapshotProgress())
    assert taken.path == tmp_path / "snapshots" / "one"
    assert sorted(os.listdir(taken.path)) == ["manifest.json", "store.db"]
    manifest = read_manifest(taken.path)
    assert manifest == taken.manifest
    assert (manifest.snapshot, manifest.node, manifest.taken_at) == ("one", "a", "2026-01-02T03:04:05Z")
    assert (manifest.records, manifest.tombstones) == (1, 1)
    assert (manifest.marks.commit, manifest.marks.last_stamp) == (store.store.commit_number, 5)
    with pytest.raises(SnapshotExistsError, match="is there already"):
        await snapshots.take("one", SnapshotProgress())
    with pytest.raises(SnapshotNameError):
        await snapshots.take("a/b", SnapshotProgress())


async def test_one_at_a_time_and_none_without_a_directory(store: SqliteHandle, tmp_path: Path) -> None:
    snapshots = snapshots_of(tmp_path, tmp_path / "snapshots")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(snapshots.take, "one", SnapshotProgress())
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(SnapshotError, match="is taking the snapshot 'one' already"):
            await snapshots.take("two", SnapshotProgress())
    await snapshots.take("two", SnapshotProgress())
    with pytest.raises(SnapshotError, match=r"set \[node\] snapshot_dir"):
        await snapshots_of(tmp_path, None).take("one", SnapshotProgress())
    await snapshots_of(tmp_path, None).remove_remains()


async def test_one_that_is_given_up_leaves_nothing(store: SqliteHandle, tmp_path: Path) -> None:
    snapshots = snapshots_of(tmp_path, tmp_path / "snapshots")
    with trio.CancelScope() as scope:
        scope.cancel()
        await snapshots.take("one", SnapshotProgress())
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(snapshots.take, "one", SnapshotProgress())
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not (tmp_path / "snapshots").exists() or not os.listdir(tmp_path / "snapshots")
    await snapshots.take("one", SnapshotProgress())


async def test_remains_are_removed_at_the_start(tmp_path: Path) -> None:
    remains = tmp_path / "snapshots" / ".partial-1"
    remains.mkdir(parents=True)
    await snapshots_of(tmp_path, tmp_path / "snapshots").remove_remains()
    assert not remains.exists()
    (tmp_path / "file").write_bytes(b"")
    await snapshots_of(tmp_path, tmp_path / "file").remove_remains()


async def test_what_became_of_snapshots_is_known_also_after_a_restart(
    store: SqliteHandle, tmp_path: Path
) -> None:
    directory = tmp_path / "snapshots"
    snapshots = snapshots_of(tmp_path, directory)
    await snapshots.recall()
    assert snapshots.outcomes == SnapshotOutcomes()
    await snapshots.take("one", SnapshotProgress())
    assert snapshots.outcomes == SnapshotOutcomes(taken=1, taken_at=NOW)
    with pytest.raises(SnapshotExistsError):
        await snapshots.take("one", SnapshotProgress())
    assert snapshots.outcomes == SnapshotOutcomes(1, 1, NOW, NOW)
    # What can have no such name never began.
    with pytest.raises(SnapshotNameError):
        await snapshots.take("a/b", SnapshotProgress())
    assert snapshots.outcomes.failed == 1

    # Snapshots of other nodes, and what is no snapshot, say nothing of this one.
    for name, content in (("rot", "{"), ("empty", ""), ("b", _of_node(directory / "one", "b"))):
        (directory / name).mkdir()
        (directory / name / "manifest.json").write_text(content)
    (directory / "file").touch()
    again = snapshots_of(tmp_path, directory)
    await again.recall()
    assert again.outcomes == SnapshotOutcomes(taken_at=NOW)


def _of_node(snapshot: Path, node: str) -> str:
    """The manifest of a snapshot as that of another node, taken later."""
    text = (snapshot / "manifest.json").read_text()
    return text.replace('"node": "a"', f'"node": "{node}"').replace("2026-01-02", "2027-01-02")


async def test_a_store_in_memory_has_no_snapshots(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be copied"):
        await snapshots_of(tmp_path, tmp_path / "snapshots").take("one", SnapshotProgress())
