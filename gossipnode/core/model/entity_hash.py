"""The hash of an entity, and the shard and the slot that follow from it.

Both are taken from one hash and fixed by the wire protocol: every node must put a record into the same shard
of its group, and into the same slot of that shard's tree.
"""

from __future__ import annotations

import xxhash

from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.model.property import Entity


def entity_hash(entity: Entity) -> int:
    """The xxhash64 (seed 0) of the text form `group/name/id`."""
    return xxhash.xxh64_intdigest(entity.text.encode())


def shard_of(entity: Entity, shards: int) -> int:
    """The number of the shard that an entity belongs to, in a group of `shards` shards."""
    return entity_hash(entity) % shards


def slot_of(entity: Entity) -> int:
    """The slot of its shard's tree that an entity belongs to."""
    return entity_hash(entity) % SLOT_COUNT
