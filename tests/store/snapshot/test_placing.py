"""A snapshot comes into an empty data directory, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gossipnode.store.interface import StoreDamagedError, StoreError, StoreLockedError
from gossipnode.store.snapshot.manifest import (
    MANIFEST_NAME,
    Manifest,
    SnapshotError,
    encode_manifest,
    read_manifest,
)
from gossipnode.store.snapshot.placing import RESTORING_NAME, check_snapshot, placed_copy
from gossipnode.store.sqlite.disk.directory_lock import LOCK_NAME, DirectoryLock
from gossipnode.store.sqlite.disk.file import FILE_NAME
from tests.store.snapshot.taking import nothing, take_snapshot
from tests.store.support import SHARD, SqliteHandle, make_record, placed


@pytest.fixture
async def snapshot(tmp_path: Path) -> Path:
    handle = SqliteHandle(tmp_path / "source")
    await handle.open()
    await handle.store.write(placed(*[make_record(str(number)) for number in range(10)]))
    take_snapshot(handle.directory, tmp_path / "snapshots", "one")
    await handle.close()
    return tmp_path / "snapshots" / "one"


def restore(snapshot: Path, data_dir: Path) -> None:
    manifest = read_manifest(snapshot)
    check_snapshot(snapshot, manifest)
    with placed_copy(snapshot, manifest, data_dir, nothing):
        pass


@pytest.mark.parametrize("there", [None, (), (LOCK_NAME, "lost+found"), (LOCK_NAME, RESTORING_NAME)])
async def test_a_restored_store_opens(snapshot: Path, tmp_path: Path, there: tuple[str, ...] | None) -> None:
    """Also after a restore that a crash has cut off, and on a disk that was just made."""
    data_dir = tmp_path / "below" / "data"
    if there is not None:
        data_dir.mkdir(parents=True)
        for name in there:
            (data_dir / name).write_bytes(b"") if name == LOCK_NAME else (data_dir / name).mkdir()
    steps: list[int] = []
    manifest = read_manifest(snapshot)
    with placed_copy(snapshot, manifest, data_dir, steps.append) as restoring:
        assert (restoring / FILE_NAME).exists()
        assert not (data_dir / FILE_NAME).exists()
    assert sum(steps) == manifest.file.bytes
    assert not (data_dir / RESTORING_NAME).exists()
    handle = SqliteHandle(data_dir)
    await handle.open()
    assert (await handle.store.counts(SHARD)).records == 10
    await handle.close()


async def test_a_directory_in_use_or_with_anything_in_it(snapshot: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    with pytest.raises(SnapshotError, match=r"is not empty \(it has notes.txt\)"):
        restore(snapshot, full)
    assert os.listdir(full) == ["notes.txt"], "a directory of somebody else stays as it is"
    with pytest.raises(SnapshotError, match="is not empty"):
        restore(snapshot, tmp_path / "source")
    lock = DirectoryLock(tmp_path / "source")
    with pytest.raises(StoreLockedError, match="in use by another process"):
        restore(snapshot, tmp_path / "source")
    lock.release()


async def test_an_error_leaves_an_empty_directory(snapshot: Path, tmp_path: Path) -> None:
    manifest = read_manifest(snapshot)
    with pytest.raises(ZeroDivisionError), placed_copy(snapshot, manifest, tmp_path / "data", nothing):
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "data") == [LOCK_NAME]
    restore(snapshot, tmp_path / "data")


def write_manifest(snapshot: Path, **changes: object) -> None:
    changed = msgspec.structs.replace(read_manifest(snapshot), **changes)
    (snapshot / MANIFEST_NAME).write_bytes(encode_manifest(changed))


def flip_a_byte(snapshot: Path) -> None:
    content = bytearray((snapshot / FILE_NAME).read_bytes())
    content[5000] ^= 1
    (snapshot / FILE_NAME).write_bytes(content)


def write_text(snapshot: Path, text: str) -> None:
    (snapshot / MANIFEST_NAME).write_text(text)


@pytest.mark.parametrize(
    ("break_it", "kind", "words"),
    [
        (lambda it: (it / MANIFEST_NAME).unlink(), SnapshotError, "has no manifest.json"),
        (lambda it: write_text(it, "{"), SnapshotError, "no manifest of a snapshot, or it is torn"),
        (lambda it: write_text(it, '{"format": 1}'), SnapshotError, "no manifest"),
        (lambda it: write_text(it, '{"format": 2}'), SnapshotError, "has format 2.*reads up to 1.*newer"),
        (lambda it: write_manifest(it, schema=999), SnapshotError, "schema version 999.*newer"),
        (lambda it: (it / FILE_NAME).unlink(), SnapshotError, "has no store.db"),
        (lambda it: os.truncate(it / FILE_NAME, 5000), StoreDamagedError, "torn: it has 5,000 bytes"),
        (flip_a_byte, StoreDamagedError, "torn: its SHA-256"),
    ],
)
async def test_what_is_no_whole_snapshot(
    snapshot: Path,
    tmp_path: Path,
    break_it: Callable[[Path], object],
    kind: type[StoreError],
    words: str,
) -> None:
    break_it(snapshot)
    with pytest.raises(kind, match=words):
        restore(snapshot, tmp_path / "data")
    assert not (tmp_path / "data" / FILE_NAME).exists()


async def test_a_manifest_of_this_version_is_read_as_it_was_written(snapshot: Path) -> None:
    manifest = read_manifest(snapshot)
    assert isinstance(manifest, Manifest)
    assert encode_manifest(manifest) == (snapshot / MANIFEST_NAME).read_bytes()
