"""What callers hand to a store and are refused, by the same rules and in the same words for every store."""

from __future__ import annotations

from typing import NamedTuple

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.errors import CoreError, InvalidEntityError
from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS, TAG_KEY_MAX_BYTES
from gossipnode.core.model.property import SHARD_MAX, Record, ShardId, check_entity, check_record
from gossipnode.core.retention.marks import FROM_CLIENT, Entry
from gossipnode.store.interface import IndexRefusedError, RecordDamagedError

INDEXES_PER_SHARD_MAX = 32
"""Tags of a shard that may be indexed: twice what a group may declare, so that queries can add as many."""


class PreparedRecord(NamedTuple):
    """A record to be written, with the slot that it belongs to. One with a `problem` is refused."""

    shard: ShardId
    record: Record
    slot: int
    problem: str
    can_be_held: bool = True
    """Whether a store can hold anything under this shard and entity. If not, there is no slot either."""
    lineage: bytes = b""
    """What is kept beside the record, see `Store.write`."""
    arrival: bytes = b""
    """How the record came, see `Store.write`."""
    entry: Entry = FROM_CLIENT
    """By which way the record comes, which the marks of its shard may close."""


def prepare_record(
    shard: ShardId,
    record: Record,
    lineage: bytes = b"",
    arrival: bytes = b"",
    entry: Entry = FROM_CLIENT,
) -> PreparedRecord:
    """Judge a record and work out where it belongs."""
    problem = ""
    try:
        check_shard(shard)
        check_record(record)
    except CoreError as error:
        problem = str(error)
        if not _can_be_held(shard, record):
            return PreparedRecord(shard, record, 0, problem, can_be_held=False)
    slot = slot_of(record.entity)
    return PreparedRecord(shard, record, slot, problem, lineage=lineage, arrival=arrival, entry=entry)


def check_shard(shard: ShardId) -> None:
    """Refuse a shard that nothing can be kept under.

    Raises:
        InvalidEntityError: says what is wrong with the shard.
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
    """The error for wanting an index on a shard that has `INDEXES_PER_SHARD_MAX` already."""
    return IndexRefusedError(
        f"no index of tag {tag!r} in {shard}: it has {INDEXES_PER_SHARD_MAX} already; give one up first"
    )


def no_index(shard: ShardId, tag: str, *, building: bool) -> LookupError:
    """The error for reading an index that does not exist, or that is still being built."""
    reason = "it is still being built" if building else "it does not exist"
    return LookupError(f"index of tag {tag[:80]!r} in {shard}: {reason}")


def record_damaged(name: str) -> RecordDamagedError:
    """The error for reading a record that was set aside."""
    return RecordDamagedError(
        f"record {name} is damaged on this node's disk and set aside: the next repair round brings it back"
        " from a replica"
    )


def _can_be_held(shard: ShardId, record: Record) -> bool:
    try:
        check_shard(shard)
        check_entity(record.entity)
    except CoreError:
        return False
    return True
