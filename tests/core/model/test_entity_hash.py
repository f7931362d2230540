from __future__ import annotations

import xxhash

from gossipnode.core.model.entity_hash import entity_hash, shard_of, slot_of
from gossipnode.core.model.property import Entity


def test_the_hash_is_xxhash64_with_seed_0() -> None:
    assert entity_hash(Entity("g", "n", "x")) == xxhash.xxh64(b"g/n/x", seed=0).intdigest()
    assert slot_of(Entity("g", "n", "x")) == 13
    assert slot_of(Entity("g", "n", "y")) == 22


def test_a_shard_is_the_hash_modulo_the_number_of_shards() -> None:
    entity = Entity("g", "n", "x")
    assert shard_of(entity, 1) == 0
    assert shard_of(entity, 7) == entity_hash(entity) % 7
    assert {shard_of(Entity("g", "n", str(number)), 3) for number in range(50)} == {0, 1, 2}
