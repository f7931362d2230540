"""Stamps and versions of records, as the replicas of a cluster tell them to each other."""

from __future__ import annotations

from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.version import Version
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.wire_errors import WireError

_DIGEST_BYTES = 32


def decode_stamp(field: str, stamp: int) -> int:
    """The stamp that a field has.

    Raises:
        WireError: no record can have it.
    """
    if not 0 <= stamp <= STAMP_MAX_NANOSECONDS:
        raise WireError(f"{field}: {stamp}, expected 0 to 2^62")
    return stamp


def fill_version(message: pb.Stamp, version: Version) -> None:
    """Write a version into a message."""
    message.mod_revision, message.delete_time, message.digest = version


def decode_version(message: pb.Stamp) -> Version | None:
    """A version; None for one that is all zero and empty.

    Raises:
        WireError: no record can have it.
    """
    version = Version(message.mod_revision, message.delete_time, message.digest)
    if version == _NO_VERSION:
        return None
    if len(version.digest) != _DIGEST_BYTES:
        raise WireError(f"Stamp.digest: {len(version.digest)} bytes, expected {_DIGEST_BYTES}")
    if not (
        0 <= version.mod_revision <= STAMP_MAX_NANOSECONDS
        and 0 <= version.delete_time <= STAMP_MAX_NANOSECONDS
    ):
        raise WireError("Stamp: not between 0 and 2^62")
    return version


_NO_VERSION = Version(0, 0, b"")
