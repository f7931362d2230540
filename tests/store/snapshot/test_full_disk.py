"""A snapshot that finds no space leaves nothing of itself, and the store its part of the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipnode.store.interface import StoreFullError
from gossipnode.store.snapshot.manifest import read_manifest
from gossipnode.store.snapshot.placing import placed_copy
from gossipnode.store.sqlite.disk.directory_lock import LOCK_NAME
from tests.store.snapshot.taking import nothing, take_snapshot
from tests.store.sqlite.disk.small_disk import fill_disk, free_bytes, mounted_disk
from tests.store.support import SqliteHandle, make_record, placed

pytestmark = pytest.mark.slow

DISK_MEGABYTES = 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", DISK_MEGABYTES) as mounted:
        yield mounted


async def test_a_snapshot_takes_nothing_that_the_store_needs(disk: Path, tmp_path: Path) -> None:
    """Its size is known before it begins, and what others take meanwhile ends it."""
    handle = SqliteHandle(disk / "data")
    await handle.open()
    records = [make_record(str(number), payload=bytes(20_000)) for number in range(500)]
    await handle.store.write(placed(*records[:400]))
    with pytest.raises(StoreFullError, match=r"no space left for a snapshot.*nothing is left"):
        take_snapshot(handle.directory, disk / "snapshots", "one")
    assert os.listdir(disk / "snapshots") == []
    await handle.store.write(placed(*records[400:420]))
    take_snapshot(handle.directory, tmp_path / "elsewhere", "one")
    await handle.close()


async def test_a_restore_that_finds_no_space(disk: Path, tmp_path: Path) -> None:
    handle = SqliteHandle(tmp_path / "data")
    await handle.open()
    await handle.store.write(placed(*[make_record(str(n), payload=bytes(20_000)) for n in range(100)]))
    take_snapshot(handle.directory, tmp_path / "snapshots", "one")
    await handle.close()
    snapshot = tmp_path / "snapshots" / "one"
    (disk / "data").mkdir()
    more = fill_disk(disk)
    os.truncate(more, more.stat().st_size - (1 << 20))
    with (
        pytest.raises(StoreFullError, match="no space left"),
        placed_copy(snapshot, read_manifest(snapshot), disk / "data", nothing),
    ):
        pytest.fail("it was copied")
    assert os.listdir(disk / "data") == [LOCK_NAME]
    assert free_bytes(disk) > 0
