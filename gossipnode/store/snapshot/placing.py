"""Brings the copy of a snapshot into a data directory: checked on the way, and there whole or not at all.

It is made ready in a directory of its own, and gets the name of a store last. All of it blocks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from gossipnode.store.interface import StoreDamagedError, StoreFullError
from gossipnode.store.snapshot.manifest import Manifest, SnapshotError
from gossipnode.store.snapshot.snapshot_files import sync_directory
from gossipnode.store.sqlite.disk.directory_lock import LOCK_NAME, DirectoryLock
from gossipnode.store.sqlite.disk.file import FILE_NAME
from gossipnode.store.sqlite.disk.schema import MIGRATIONS
from gossipnode.store.sqlite.sqlite_errors import NO_SPACE

RESTORING_NAME = "restoring"
"""The directory within a data directory in which a store is made ready."""

COPY_CHUNK_BYTES = 1 << 20

_MAY_BE_THERE = frozenset((LOCK_NAME, RESTORING_NAME, "lost+found"))
"""What an empty data directory may have: remains of a restore that was cut off, or of making a disk."""


def check_snapshot(snapshot: Path, manifest: Manifest) -> None:
    """Look at a snapshot as far as that is quick.

    Raises:
        SnapshotError: its store is missing, or a newer gossipnode wrote it.
        StoreDamagedError: it has another size than its manifest says.
    """
    copy = snapshot / manifest.file.name
    if manifest.file.name != FILE_NAME or not copy.is_file():
        raise SnapshotError(f"{snapshot} has no {FILE_NAME}: a part of the snapshot is missing")
    if manifest.schema > len(MIGRATIONS):
        raise SnapshotError(
            f"{copy} has schema version {manifest.schema}, this gossipnode knows up to {len(MIGRATIONS)}: "
            "restore it with the newer gossipnode that took it"
        )
    size = copy.stat().st_size
    if size != manifest.file.bytes:
        raise StoreDamagedError(
            f"{copy} is torn: it has {size:,} bytes, and its manifest says {manifest.file.bytes:,}"
        )


@contextmanager
def placed_copy(
    snapshot: Path, manifest: Manifest, data_dir: Path, advance: Callable[[int], None]
) -> Generator[Path]:
    """Copy a snapshot's store into an empty data directory, or one that is not there.

    Yields a directory in which the store may be opened. It must be closed when the block ends; if that is
    without an error, the store becomes that of the data directory. After an error nothing of it is left.
    `advance` is called with the number of bytes of each step.

    Raises:
        StoreLockedError: a node runs on the data directory.
        SnapshotError: the data directory is not empty, or writes to the store are still in its log.
        StoreDamagedError: the copy is not what its manifest says.
        StoreFullError: there is no space.
        OSError: a directory cannot be read, or written to.
    """
    _refuse_used(data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock(data_dir)
    restoring = data_dir / RESTORING_NAME
    try:
        _refuse_used(data_dir)
        shutil.rmtree(restoring, ignore_errors=True)
        restoring.mkdir(mode=0o700)
        _copy(snapshot / manifest.file.name, restoring / FILE_NAME, manifest, advance)
        yield restoring
        if (restoring / f"{FILE_NAME}-wal").exists():
            raise SnapshotError(
                f"{data_dir}: the store was not closed in order, and is not restored: try again"
            )
        (restoring / FILE_NAME).rename(data_dir / FILE_NAME)
        sync_directory(data_dir)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise StoreFullError(
            f"no space left in {data_dir}: it takes {manifest.file.bytes:,} bytes; nothing of it is left"
        ) from error
    finally:
        shutil.rmtree(restoring, ignore_errors=True)
        lock.release()


def _refuse_used(data_dir: Path) -> None:
    """Refuse a directory that holds anything, and say it if a node runs there."""
    if not data_dir.exists():
        return
    found = sorted(set(os.listdir(data_dir)) - _MAY_BE_THERE)
    if FILE_NAME in found:
        # The lock says whose it is, if a node runs there.
        DirectoryLock(data_dir).release()
    if found:
        raise SnapshotError(
            f"{data_dir} is not empty (it has {found[0]}): restore into an empty directory, and move this "
            "one aside if it is to be replaced"
        )


def _copy(source: Path, target: Path, manifest: Manifest, advance: Callable[[int], None]) -> None:
    """Copy a file durably, and compare what was read with the checksum."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(COPY_CHUNK_BYTES))
    made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with source.open("rb", buffering=0) as read, os.fdopen(made, "wb", buffering=0) as written:
        while count := read.readinto(buffer):
            digest.update(buffer[:count])
            rest = buffer[:count]
            while rest:
                rest = rest[written.write(rest) or 0 :]
            advance(count)
        os.fsync(written.fileno())
    if digest.hexdigest() != manifest.file.sha256:
        raise StoreDamagedError(
            f"{source} is torn: its SHA-256 is {digest.hexdigest()}, and its manifest says "
            f"{manifest.file.sha256}: take another snapshot"
        )
