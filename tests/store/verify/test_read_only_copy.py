"""The offline check of a copy that cannot be written to, such as a backup."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from gossipnode.store.interface import StoreError, StoreLockedError, StoreSummary
from gossipnode.store.sqlite.disk.directory_lock import LOCK_NAME, DirectoryLock
from gossipnode.store.verify.check_store import verify_store
from tests.store.sqlite.disk.small_disk import mounted_disk
from tests.store.support import SqliteHandle, leaf_digest, make_record, placed

NOBODY = 65534


@pytest.fixture
def copy() -> Iterator[Path]:
    """An empty directory that every user can reach."""
    directory = Path(tempfile.mkdtemp())
    yield directory
    directory.chmod(0o700)
    shutil.rmtree(directory)


@contextmanager
def without_privilege() -> Generator[None]:
    """Be a user whom the modes of files bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def fill(sqlite: SqliteHandle, copy: Path, *, lock: bool = True) -> None:
    await sqlite.store.write(placed(*[make_record(str(number)) for number in range(40)]))
    await sqlite.close()
    for file in sqlite.directory.iterdir():
        if lock or not file.name.endswith(".lock"):
            shutil.copy(file, copy)


def verify(copy: Path) -> StoreSummary:
    for file in copy.iterdir():
        file.chmod(0o444)
    copy.chmod(0o555)
    before = sorted(copy.iterdir())
    with without_privilege():
        summary = verify_store(copy, lambda _dialect: leaf_digest)
    assert sorted(copy.iterdir()) == before
    return summary


@pytest.mark.parametrize("lock", [True, False])
async def test_a_copy_that_is_read_only(sqlite: SqliteHandle, copy: Path, lock: bool) -> None:
    await fill(sqlite, copy, lock=lock)
    summary = verify(copy)
    assert (summary.records, summary.wrong_count) == (40, 0)


def times(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in [directory, *directory.iterdir()]}


async def test_nothing_is_written_where_it_could_be(sqlite: SqliteHandle, copy: Path) -> None:
    await fill(sqlite, copy, lock=False)
    before = times(copy)
    assert verify_store(copy, lambda _dialect: leaf_digest).records == 40
    assert times(copy) == before


async def test_files_that_could_be_written_to(sqlite: SqliteHandle, copy: Path) -> None:
    """Beside them nothing can be made."""
    await fill(sqlite, copy)
    os.chmod(copy / "store.db", 0o666)
    os.chmod(copy / LOCK_NAME, 0o666)
    os.chmod(copy, 0o555)
    with without_privilege():
        assert verify_store(copy, lambda _dialect: leaf_digest).records == 40


async def test_a_disk_that_is_read_only(sqlite: SqliteHandle, tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", 8) as disk:
        await fill(sqlite, disk)
        await trio.run_process(["mount", "-o", "remount,ro", str(disk)])
        assert verify_store(disk, lambda _dialect: leaf_digest).records == 40


async def test_a_copy_with_a_log_beside_it(sqlite: SqliteHandle, copy: Path) -> None:
    await fill(sqlite, copy)
    (copy / "store.db-wal").write_bytes(b"writes")
    with pytest.raises(StoreError, match=r"store.db-wal holds writes, .*: copy the directory first"):
        verify(copy)


async def test_a_directory_of_another_user_whose_node_runs(sqlite: SqliteHandle, copy: Path) -> None:
    await fill(sqlite, copy)
    lock = DirectoryLock(copy)
    try:
        with pytest.raises(StoreLockedError, match="is in use by another process"):
            verify(copy)
    finally:
        lock.release()
