"""What stands beside the copy in a snapshot: what it is a copy of, when it was taken, and its checksum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gossipnode.store.interface import StoreError

MANIFEST_NAME = "manifest.json"
MANIFEST_FORMAT = 1
"""The format of snapshots that this version writes, and the newest one that it reads."""

TAKEN_AT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""Of `taken_at`: RFC 3339, UTC."""

MANIFEST_MAX_BYTES = 8 << 20
"""A longer file is no manifest. One with all groups of a large cluster has less than half of this."""


class SnapshotError(StoreError):
    """A snapshot cannot be taken, or cannot be brought back; the text says why, and what to do."""


class SnapshotNameError(SnapshotError):
    """A name that no snapshot can have."""


class SnapshotExistsError(SnapshotError):
    """There is a snapshot of this name."""


class CopiedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The copy of the database."""

    name: str
    bytes: int
    sha256: str
    """Of the whole file, in hex."""


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """How far the store had come."""

    boot: int
    """How often it had been started."""
    commit: int
    """The number of its last commit in the copy."""
    last_stamp: int
    """The largest stamp that its clock had given, in nanoseconds."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself. Whatever counts for a restore is in the copy as well."""

    format: int = MANIFEST_FORMAT
    gossipnode: str
    """The version that took it."""
    schema: int
    """The version of the database's schema."""
    snapshot: str
    """Its name."""
    taken_at: str
    """RFC 3339, UTC."""
    node: str
    birth: str | None
    """Of its store, in hex."""
    cluster_id: str | None
    """In hex; None if the node's cluster was not formed yet."""
    epoch: int
    members: tuple[str, ...]
    groups: tuple[str, ...]
    marks: Marks
    records: int
    tombstones: int
    file: CopiedFile


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON, for people to read as well."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def manifest_shape(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain values."""
    shape: dict[str, Any] = msgspec.to_builtins(manifest)
    return shape


def decode_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest; `where` names it in errors.

    Raises:
        SnapshotError: the bytes are not a manifest, or a newer gossipnode wrote it.
    """
    try:
        found = msgspec.json.decode(data, type=_Format)
        if found.format > MANIFEST_FORMAT:
            raise SnapshotError(
                f"{where} has format {found.format}, this gossipnode reads up to {MANIFEST_FORMAT}: restore "
                "it with the newer gossipnode that took it"
            )
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{where} is no manifest of a snapshot, or it is torn: {error}") from None


def read_manifest(snapshot: Path) -> Manifest:
    """The manifest of a snapshot's directory.

    Raises:
        SnapshotError: the manifest is missing, it is damaged, or a newer gossipnode wrote it.
        OSError: it cannot be read.
    """
    path = snapshot / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MANIFEST_MAX_BYTES)
    except FileNotFoundError:
        raise SnapshotError(
            f"{snapshot} has no {MANIFEST_NAME}, so it is no snapshot, or not a whole one: name the "
            "directory that `gossipnode snapshot` made"
        ) from None
    return decode_manifest(data, str(path))


class _Format(msgspec.Struct):
    """As much of a manifest as every format has."""

    format: int
