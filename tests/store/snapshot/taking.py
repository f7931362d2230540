"""A snapshot as a node takes it, of the store in a directory."""

from __future__ import annotations

from pathlib import Path

from gossipnode.node.snapshots.snapshots import describe_copy
from gossipnode.store.snapshot.database_copy import copy_database, copy_facts, file_sha256
from gossipnode.store.snapshot.manifest import MANIFEST_NAME, CopiedFile, Manifest, encode_manifest
from gossipnode.store.snapshot.snapshot_files import partial_snapshot, write_durably
from gossipnode.store.sqlite.disk.file import FILE_NAME


def nothing(_done: int, _in_all: int = 0) -> None:
    """Progress that nobody looks at."""


def take_snapshot(data_dir: Path, directory: Path, name: str) -> Manifest:
    """Take a snapshot in this thread."""
    with partial_snapshot(directory, name) as partial:
        copy = partial / FILE_NAME
        copy_database(data_dir / FILE_NAME, copy, nothing)
        file = CopiedFile(name=FILE_NAME, bytes=copy.stat().st_size, sha256=file_sha256(copy, nothing))
        manifest = describe_copy(
            copy_facts(copy), file, snapshot=name, node="a", taken_at="2026-01-02T03:04:05Z"
        )
        write_durably(partial / MANIFEST_NAME, encode_manifest(manifest))
    return manifest
