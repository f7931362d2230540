"""Where snapshots lie, and how one appears whole or not at all.

A snapshot is a directory below the directory of snapshots, with the copy and its manifest. It is written
under a name that no snapshot can have, made durable, and renamed last. A crash leaves remains of that other
name, which the next start or the next snapshot removes. Whoever writes one holds a lock on it, so that the
remains of a node that runs are never taken for those of a crash.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from gossipnode.store.interface import StoreFullError
from gossipnode.store.snapshot.manifest import (
    MANIFEST_NAME,
    TAKEN_AT_FORMAT,
    SnapshotError,
    SnapshotExistsError,
    SnapshotNameError,
    read_manifest,
)
from gossipnode.store.sqlite.sqlite_errors import NO_SPACE

NAME_MAX_BYTES = 200
"""The longest name of a snapshot in UTF-8: file systems take 255 bytes."""

MANIFESTS_LOOKED_AT = 64
"""Of snapshots that lie there when a node starts, to find the newest of its own."""

_PARTIAL_PREFIX = ".partial-"


def check_snapshot_name(name: str) -> None:
    """Let a name pass that a snapshot may have.

    Raises:
        SnapshotNameError: it is empty, too long, begins with a dot, or has a slash or control characters.
    """
    shown = ascii(name[:80])
    if not name or "/" in name or not name.isprintable():
        raise SnapshotNameError(
            f"{shown} is no name of a snapshot: it has a slash, control characters or nothing"
        )
    if name.startswith("."):
        raise SnapshotNameError(f"{shown} is no name of a snapshot: it begins with a dot")
    if len(name.encode()) > NAME_MAX_BYTES:
        raise SnapshotNameError(f"{shown} is no name of a snapshot: it is longer than {NAME_MAX_BYTES} bytes")


def check_is_free(directory: Path, name: str) -> None:
    """See to it that there is no snapshot of this name.

    Raises:
        SnapshotExistsError: there is one.
    """
    if os.path.lexists(directory / name):
        raise SnapshotExistsError(f"{directory / name} is there already: choose another name, or remove it")


@contextmanager
def partial_snapshot(directory: Path, name: str) -> Generator[Path]:
    """A directory to write a snapshot into, which gets its name when the block has ended without an error.

    The files in it must be durable by then. After an error nothing is left of it.

    Raises:
        SnapshotExistsError: there is a snapshot of this name.
        StoreFullError: there is no space.
        SnapshotError: the directory cannot be written to.
    """
    check_is_free(directory, name)
    with _naming_errors(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_remains(directory)
        partial = directory / f"{_PARTIAL_PREFIX}{uuid4().hex}"
        partial.mkdir(mode=0o700)
        lock = _lock(partial)
        try:
            yield partial
            sync_directory(partial)
            check_is_free(directory, name)
            partial.rename(directory / name)
            sync_directory(directory)
        finally:
            # After the rename nothing is there any longer.
            shutil.rmtree(partial, ignore_errors=True)
            if lock is not None:
                os.close(lock)


def remove_remains(directory: Path) -> list[str]:
    """Remove what crashes have left of snapshots that never got their names; returns what was removed.

    Raises:
        OSError: the directory cannot be read.
    """
    removed: list[str] = []
    try:
        found = sorted(os.listdir(directory))
    except FileNotFoundError:
        return removed
    for name in found:
        if not name.startswith(_PARTIAL_PREFIX):
            continue
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            lock = _lock(directory / name)
            if lock is not None:
                shutil.rmtree(directory / name, ignore_errors=True)
                os.close(lock)
                removed.append(name)
    return removed


def newest_taken_at(directory: Path, node: str) -> datetime | None:
    """When the newest snapshot of `node` in a directory was taken; None if none is found.

    Others may have put there what they like: what cannot be read as a snapshot is passed over, and no more
    than the newest `MANIFESTS_LOOKED_AT` are looked at.
    """
    manifests: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            if not entry.name.startswith("."):
                with contextlib.suppress(OSError):
                    manifests.append(((entry / MANIFEST_NAME).stat().st_mtime, entry))
    found: list[datetime] = []
    for _, entry in sorted(manifests, reverse=True)[:MANIFESTS_LOOKED_AT]:
        with contextlib.suppress(SnapshotError, OSError, ValueError):
            manifest = read_manifest(entry)
            if manifest.node == node:
                found.append(datetime.strptime(manifest.taken_at, TAKEN_AT_FORMAT).replace(tzinfo=UTC))
    return max(found, default=None)


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file, and return once it is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_space_for_snapshot(directory: Path) -> StoreFullError:
    """The error for a snapshot that there is no space for."""
    return StoreFullError(
        f"no space left for a snapshot in {directory}: free some, or set another [node] snapshot_dir; "
        "nothing is left of this one"
    )


def _lock(partial: Path) -> int | None:
    """Lock a directory that a snapshot is written into; None if that cannot be had.

    Somebody else has it, or the file system locks no directories: some of the network lock only what is open
    for writing. Remains then stay, because they may be what another node is just writing.
    """
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _naming_errors(directory: Path) -> Generator[None]:
    """Turn an error of the operating system into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space_for_snapshot(directory) from error
        where = error.filename or directory
        raise SnapshotError(
            f"{where}: {error.strerror or error}: [node] snapshot_dir must be a directory that the node can "
            "write to"
        ) from error
