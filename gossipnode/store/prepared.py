"""What callers hand a store, judged once, on their side, the same way for every store."""

from __future__ import annotations

from typing import NamedTuple

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.errors import CoreError, InvalidEntityError
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS, TAG_KEY_MAX_BYTES
from gossipnode.core.model.property import SHARD_MAX, Record, ShardId, check_entity, check_record
from gossipnode.store.entity_key import entity_key
from gossipnode.store.interface import IndexRefusedError

INDEXES_PER_SHARD_MAX = 32
"""Tags of a shard that are indexed: those that its group declares, and as many that queries asked for."""


class PreparedRecord(NamedTuple):
    """A record to be written. With a `problem` it is refused; `key` is then empty if nothing can be held."""

    shard: ShardId
    record: Record
    slot: int
    key: bytes
    problem: str


def prepare_record(shard: ShardId, record: Record) -> PreparedRecord:
    """Judge a record and work out where it belongs."""
    problem = ""
    try:
        check_shard(shard)
        check_record(record)
    except CoreError as error:
        problem = str(error)
        if not _can_be_held(shard, record):
            return PreparedRecord(shard, record, 0, b"", problem)
    return PreparedRecord(shard, record, slot_of(record.entity), entity_key(record.entity), problem)


def check_shard(shard: ShardId) -> None:
    """Refuse a shard that nothing can be kept under.

    Raises:
        InvalidEntityError: says what is wrong with it.
    """
    if not 0 <= shard.shard <= SHARD_MAX:
        raise InvalidEntityError(f"shard {shard.shard} is not between 0 and {SHARD_MAX}")
    if not 0 <= shard.incarnation <= STAMP_MAX_NANOSECONDS:
        raise InvalidEntityError(f"incarnation {shard.incarnation} is not between 0 and 2^62")
    try:
        shard.group.encode()
    except UnicodeEncodeError:
        raise InvalidEntityError(f"group {shard.group[:80]!r} is no valid Unicode text") from None


def check_index(shard: ShardId, tag: str) -> None:
    """Refuse an index that no shard can have.

    Raises:
        InvalidEntityError: nothing can be kept under the shard.
        IndexRefusedError: a client could not write a tag of this name.
    """
    check_shard(shard)
    try:
        size = len(tag.encode())
    except UnicodeEncodeError:
        raise IndexRefusedError(f"no index of tag {tag[:80]!r}: it is no valid Unicode text") from None
    if not 0 < size <= TAG_KEY_MAX_BYTES:
        raise IndexRefusedError(
            f"no index of tag {tag[:80]!r}: it is empty or over {TAG_KEY_MAX_BYTES} bytes"
        )


def too_many_indexes(shard: ShardId, tag: str) -> IndexRefusedError:
    """The error for an index more than a shard can have."""
    return IndexRefusedError(
        f"no index of tag {tag!r} in {shard}: it has {INDEXES_PER_SHARD_MAX} already; give one up first"
    )


def no_index(shard: ShardId, tag: str, *, building: bool) -> LookupError:
    """The error for asking an index that has no answer."""
    reason = "it is still being built" if building else "there is none"
    return LookupError(f"index of tag {tag[:80]!r} in {shard}: {reason}")


def _can_be_held(shard: ShardId, record: Record) -> bool:
    try:
        check_shard(shard)
        check_entity(record.entity)
    except CoreError:
        return False
    return True
