"""Snapshots over the wire: the status of what is refused, and the events of one that is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.store.snapshot.manifest import decode_manifest
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from tests.node.asking import asked, every_answer
from tests.store.support import SqliteHandle, make_record, placed


def cluster_of(**settings: object) -> Cluster:
    return Cluster(("a",), ("sw:1:1",), overrides={f"node.{key}": value for key, value in settings.items()})


async def take(channel: Any, name: str) -> list[v1.SnapshotEvent]:
    return await every_answer(channel, services.NODE_SNAPSHOT, v1.SnapshotRequest(name=name))


async def test_what_is_refused(tmp_path: Path) -> None:
    async with asked(cluster_of()) as channel:
        with pytest.raises(RpcError, match="has no directory for snapshots") as caught:
            await take(channel, "one")
        assert caught.value.status is Status.FAILED_PRECONDITION
        with pytest.raises(RpcError, match="is no name of a snapshot") as caught:
            await take(channel, "../one")
        assert caught.value.status is Status.INVALID_ARGUMENT
    async with asked(cluster_of(snapshot_dir=str(tmp_path))) as channel:
        with pytest.raises(RpcError, match="cannot be copied") as caught:
            await take(channel, "one")
        assert caught.value.status is Status.FAILED_PRECONDITION
        (tmp_path / "there").mkdir()
        with pytest.raises(RpcError, match="is there already") as caught:
            await take(channel, "there")
        assert caught.value.status is Status.ALREADY_EXISTS


async def test_the_last_event_has_the_manifest(tmp_path: Path) -> None:
    """The nodes of these tests have their stores in memory, so a store is put where its file would be."""
    handle = SqliteHandle(tmp_path / "data")
    await handle.open()
    await handle.store.write(placed(make_record("1")))
    directories = {"data_dir": str(handle.directory), "snapshot_dir": str(tmp_path / "snapshots")}
    async with asked(cluster_of(**directories)) as channel:
        last = (await take(channel, "one"))[-1]
    await handle.close()
    assert last.path == str(tmp_path / "snapshots" / "one")
    manifest = decode_manifest(last.manifest.encode(), "it")
    assert manifest.records == 1
    assert last.bytes_done == last.bytes_estimated == manifest.file.bytes
