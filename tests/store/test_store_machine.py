"""A store against a dictionary, with restarts and crashes in between. Both stores, the same machine."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gossipnode.core.property import Entity, Record, ShardId
from gossipnode.core.slot_tree import slot_of
from gossipnode.core.version import Version, payload_digest
from gossipnode.store.interface import ShardCounts, Written

from .support import OTHER_SHARD, SHARD, Loop, leaf_digest, open_handle, rebuilt, scan_all

shards = st.sampled_from([SHARD, OTHER_SHARD])
entities = st.builds(
    Entity,
    st.sampled_from(["sw", "s", "sw\0"]),
    st.sampled_from(["a", "a-b", "é"]),
    st.sampled_from(["1", "a", "a-b", "a/", "\0", "\U0001f600"]),
)
payloads = st.sampled_from([b"", b"x", b"y" * 3000, b"z" * 9000])


def _record(entity: Entity, revision: int, deleted: int, payload: bytes) -> Record:
    return Record(entity, Version(revision, deleted, payload_digest(payload)), payload)


records = st.builds(_record, entities, st.integers(0, 4), st.sampled_from([0, 0, 0, 2, 3]), payloads)
batches = st.lists(st.tuples(shards, records), max_size=12)


class StoreMachine(RuleBasedStateMachine):
    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[tuple[ShardId, Entity], Record] = {}
        self.stamp = 0
        self.loop = Loop()
        self.directory = tempfile.TemporaryDirectory()
        self.open = AsyncExitStack()
        self.handle = self.loop.run(self._enter)

    async def _enter(self):
        return await self.open.enter_async_context(open_handle(self.kind, Path(self.directory.name) / "data"))

    def teardown(self) -> None:
        self.loop.run(self.open.aclose)
        self.loop.stop()
        self.directory.cleanup()

    def held(self, shard: ShardId) -> list[Record]:
        found = [record for (where, _), record in self.model.items() if where == shard]
        return sorted(found, key=lambda record: record.entity)

    @rule(batch=batches, stamp=st.integers(0, 50))
    def write(self, batch: list[tuple[ShardId, Record]], stamp: int) -> None:
        results = self.loop.run(lambda: self.handle.store.write(batch, stamp=stamp))
        self.stamp = max(self.stamp, stamp)
        for (shard, record), result in zip(batch, results, strict=True):
            held = self.model.get((shard, record.entity))
            if held is None or record.version > held.version:
                self.model[shard, record.entity] = record
                assert result == (Written.STORED, record.version, "")
            elif record.version == held.version:
                assert result == (Written.EQUAL, held.version, "")
            else:
                assert result == (Written.OLDER, held.version, "")

    @rule(writes=st.lists(batches, max_size=4), shard=shards)
    def write_at_once(self, writes: list[list[tuple[ShardId, Record]]], shard: ShardId) -> None:
        async def go() -> None:
            async with trio.open_nursery() as nursery:
                for batch in writes:
                    nursery.start_soon(self.handle.store.write, batch)
                    nursery.start_soon(self.handle.store.tree, shard)

        self.loop.run(go)
        for where, record in (each for batch in writes for each in batch):
            held = self.model.get((where, record.entity))
            if held is None or record.version > held.version:
                self.model[where, record.entity] = record

    @rule(shard=shards)
    def tree(self, shard: ShardId) -> None:
        assert self.loop.run(lambda: self.handle.store.tree(shard)) == rebuilt(self.held(shard))

    @rule(shard=shards, page=st.integers(1, 5), name=st.sampled_from([None, "a", "a-b"]))
    def scan(self, shard: ShardId, page: int, name: str | None) -> None:
        expected = [record for record in self.held(shard) if name in (None, record.entity.name)]
        assert self.loop.run(lambda: scan_all(self.handle.store, shard, page=page, name=name)) == expected

    @rule(shard=shards, asked=st.lists(entities, max_size=9))
    def read(self, shard: ShardId, asked: list[Entity]) -> None:
        expected = [self.model.get((shard, entity)) for entity in asked]
        assert self.loop.run(lambda: self.handle.store.read(shard, asked)) == expected

    @rule(shard=shards, entity=entities, limit=st.integers(1, 5))
    def leaves(self, shard: ShardId, entity: Entity, limit: int) -> None:
        slot = slot_of(entity)
        page = self.loop.run(lambda: self.handle.store.leaves(shard, slot, after=entity, limit=limit))
        expected = [
            (slot, held.entity, leaf_digest(held.payload, held.version.delete_time).hex(), held.version)
            for held in self.held(shard)
            if slot_of(held.entity) == slot and held.entity > entity
        ]
        assert page == expected[:limit]

    @rule(limit=st.integers(1, 20))
    def fill(self, limit: int) -> None:
        assert self.loop.run(lambda: self.handle.store.fill_digests(limit=limit)) <= limit

    @rule()
    def fill_all(self) -> None:
        self.loop.run(lambda: self.handle.store.fill_digests(limit=10_000))
        for shard in (SHARD, OTHER_SHARD):
            assert self.loop.run(lambda shard=shard: self.handle.store.counts(shard)).unhashed == 0

    @rule()
    def restart(self) -> None:
        self.loop.run(self.handle.restart)

    @rule()
    def crash(self) -> None:
        self.loop.run(self.handle.crash)

    @invariant()
    def counters_are_right(self) -> None:
        for shard in (SHARD, OTHER_SHARD):
            counts = self.loop.run(lambda shard=shard: self.handle.store.counts(shard))
            held = self.held(shard)
            tombstones = sum(record.deleted for record in held)
            assert counts == ShardCounts(len(held) - tombstones, tombstones, counts.unhashed)
        assert self.loop.run(self.handle.store.last_stamp) == self.stamp
        assert self.handle is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_always_equal_to_a_dictionary(kind: str) -> None:
    machine = type("Machine", (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
