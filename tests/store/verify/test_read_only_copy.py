"""The offline check of a copy that cannot be written to, such as a backup."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gossipnode.store.interface import StoreError, StoreLockedError, StoreSummary
from gossipnode.store.sqlite.disk.directory_lock import DirectoryLock
from gossipnode.store.verify.check_store import verify_store
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
