"""What the tests of the core share: records, and a store of one shard that is a dict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from hypothesis import HealthCheck, Phase, settings

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.tree import Leaf, SlotDigest, Tree, leaf_digest, make_tree, slot_sha
from tests.records import bare_record

EXAMPLES_FACTOR = float(os.environ.get("GOSSIPNODE_EXAMPLES", "1"))
"""Multiplies the examples of every property test here: small for mutants, large for a long night."""

SHARD = ShardId("g", 0)


def examples(count: int, *, steps: int = 50) -> settings:
    """Settings of a property test. There is no deadline, because a busy machine is no failure."""
    # With fewer examples than usual it is enough that a test fails; the smallest example is not looked for.
    phases = [Phase.explicit, Phase.generate] if EXAMPLES_FACTOR < 1 else list(Phase)
    return settings(
        phases=phases,
        max_examples=max(3, round(count * EXAMPLES_FACTOR)),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def record(
    id_: str, revision: int, content: str = "v", *, deleted: int = 0, name: str = "n", group: str = "g"
) -> Record:
    """A bare record. Its payload holds its key and its revision, as that of a real record does."""
    entity = Entity(group, name, id_)
    payload = f"{entity.text}@{revision}={content}".encode()
    return bare_record(entity, payload, revision=revision, delete_time=deleted)


def id_in_slot(slot: int, nth: int = 0) -> str:
    """The nth id whose entity (g, n, id) falls into a slot."""
    found = -1
    number = 0
    while True:
        if slot_of(Entity("g", "n", f"i{number}")) == slot:
            found += 1
            if found == nth:
                return f"i{number}"
        number += 1


def sha_of(stored: Record) -> str:
    return leaf_digest(stored.payload, stored.version.delete_time).hex()


def leaf_of(stored: Record, digest: Callable[[Record], str] = sha_of) -> Leaf:
    return Leaf(slot_of(stored.entity), stored.entity, digest(stored), stored.version)


class Shelf:
    """A store of one shard, as a dict: the newest version of each entity wins."""

    def __init__(self, records: Iterable[Record] = (), *, shard: ShardId = SHARD, shards: int = 1) -> None:
        self.shard = shard
        self.shards = shards
        self.records: dict[Entity, Record] = {}
        self.digest = sha_of
        self.write(list(records))

    def write(self, records: Sequence[Record]) -> list[WriteOutcome]:
        outcomes = []
        for new in records:
            held = self.records.get(new.entity)
            if held is not None and held.version > new.version:
                outcomes.append(WriteOutcome.OLDER)
                continue
            self.records[new.entity] = new
            outcomes.append(WriteOutcome.STORED)
        return outcomes

    def read(self, entities: Iterable[Entity]) -> list[Record | None]:
        return [self.records.get(entity) for entity in entities]

    def leaves(self, slot: int, after: Entity | None, limit: int) -> list[Leaf]:
        entities = sorted(
            entity for entity in self.records if slot_of(entity) == slot and (after is None or entity > after)
        )
        return [leaf_of(self.records[entity], self.digest) for entity in entities[:limit]]

    def tree(self) -> Tree:
        slots: dict[int, list[str]] = {}
        for entity in sorted(self.records):
            slots.setdefault(slot_of(entity), []).append(self.digest(self.records[entity]))
        return make_tree(SlotDigest(slot, slot_sha(slots[slot])) for slot in sorted(slots))
