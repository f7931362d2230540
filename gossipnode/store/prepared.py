"""A record made ready for a store: judged once, on the caller's side, the same way for every store."""

from __future__ import annotations

from typing import NamedTuple

from gossipnode.core.errors import CoreError, InvalidEntityError
from gossipnode.core.property import Record, ShardId, check_entity, check_record
from gossipnode.core.slot_tree import slot_of
from gossipnode.store.entity_key import entity_key

SHARD_MAX = (1 << 32) - 1


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
        _check_shard(shard)
        check_record(record)
    except CoreError as error:
        problem = str(error)
        if not _can_be_held(shard, record):
            return PreparedRecord(shard, record, 0, b"", problem)
    return PreparedRecord(shard, record, slot_of(record.entity), entity_key(record.entity), problem)


def _check_shard(shard: ShardId) -> None:
    if not 0 <= shard.shard <= SHARD_MAX:
        raise InvalidEntityError(f"shard {shard.shard} is not between 0 and {SHARD_MAX}")
    try:
        shard.group.encode()
    except UnicodeEncodeError:
        raise InvalidEntityError(f"group {shard.group[:80]!r} is no valid Unicode text") from None


def _can_be_held(shard: ShardId, record: Record) -> bool:
    try:
        _check_shard(shard)
        check_entity(record.entity)
    except CoreError:
        return False
    return True
