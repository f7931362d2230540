"""Each store compared with a dictionary, with restarts and crashes in between."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, ExitStack
from functools import partial

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.query.index_key import IndexKind
from gossipnode.store.interface import IndexHit, IndexState, RecordDamagedError, ShardCounts
from gossipnode.store.sqlite import indexes as sqlite_indexes
from gossipnode.store.sqlite.tables import drop as sqlite_drop
from gossipnode.store.sqlite.tables import index_table
from gossipnode.store.verify.check_store import verify_store
from tests.records import bare_record
from tests.store.support import (
    OTHER_SHARD,
    REMADE_SHARD,
    SHARD,
    Loop,
    SqliteHandle,
    find_all,
    hits,
    index_rows,
    leaf_digest,
    open_handle,
    quick_directory,
    rebuilt,
    scan_all,
)

SHARDS = [SHARD, OTHER_SHARD, REMADE_SHARD]
shards = st.sampled_from(SHARDS)
entities = st.builds(
    Entity,
    st.sampled_from(["sw", "s", "sw\0"]),
    st.sampled_from(["a", "a-b", "é"]),
    st.sampled_from(["1", "a", "a-b", "a/", "\0", "\U0001f600"]),
)
tag_values = st.one_of(
    st.none(),
    st.sampled_from([0, 1, -1, "", "a", "a\0", "z" * 80, "z" * 81]),
    st.lists(st.sampled_from([-5, 1, 2]), max_size=3),
    st.lists(st.sampled_from(["a", "a\0", "b"]), max_size=3),
)
tags = st.sampled_from(["n", "m", "k"])
payloads = st.one_of(
    st.sampled_from([b"", b"x", b"y" * 3000, b"z" * 9000]),
    st.dictionaries(tags, tag_values).map(lambda values: json.dumps(values).encode()),
)


records = st.builds(
    bare_record, entities, payloads, revision=st.integers(0, 4), delete_time=st.sampled_from([0, 0, 0, 2, 3])
)
batches = st.lists(st.tuples(shards, records), max_size=12)


class StoreMachine(RuleBasedStateMachine):
    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[tuple[ShardId, Entity], Record] = {}
        self.aside: dict[tuple[ShardId, Entity], Record] = {}
        self.indexes: dict[tuple[ShardId, str], IndexState] = {}
        self.notes: dict[str, bytes] = {}
        self.stamp = 0
        self.loop = Loop()
        self.open = AsyncExitStack()
        self.files = ExitStack()
        self.directory = self.files.enter_context(quick_directory())
        self.handle = self.loop.run(self._enter)

    async def _enter(self):
        return await self.open.enter_async_context(open_handle(self.kind, self.directory / "data"))

    def teardown(self) -> None:
        self.loop.run(self.open.aclose)
        self.loop.stop()
        if isinstance(self.handle, SqliteHandle):
            summary = verify_store(self.handle.directory, lambda _: leaf_digest, index_rows=index_rows)
            assert summary.wrong_count == len(self.aside)
        self.files.close()

    def held(self, shard: ShardId) -> list[Record]:
        found = [record for (where, _), record in self.model.items() if where == shard]
        return sorted(found, key=lambda record: record.entity)

    def keep(self, shard: ShardId, record: Record) -> None:
        self.model[shard, record.entity] = record
        self.aside.pop((shard, record.entity), None)

    @rule(batch=batches, stamp=st.integers(0, 50))
    def write(self, batch: list[tuple[ShardId, Record]], stamp: int) -> None:
        results = self.loop.run(lambda: self.handle.store.write(batch, stamp=stamp))
        self.stamp = max(self.stamp, stamp)
        for (shard, record), result in zip(batch, results, strict=True):
            held = self.model.get((shard, record.entity))
            aside = self.aside.get((shard, record.entity))
            if aside is not None and record.version < aside.version:
                assert result == (WriteOutcome.OLDER, aside.version, "")
            elif held is None or record.version > held.version:
                self.keep(shard, record)
                assert result == (WriteOutcome.STORED, record.version, "")
            elif record.version == held.version:
                assert result == (WriteOutcome.EQUAL, held.version, "")
            else:
                assert result == (WriteOutcome.OLDER, held.version, "")

    @rule(writes=st.lists(batches, max_size=4), shard=shards)
    def write_at_once(self, writes: list[list[tuple[ShardId, Record]]], shard: ShardId) -> None:
        async def go() -> None:
            async with trio.open_nursery() as nursery:
                for batch in writes:
                    nursery.start_soon(self.handle.store.write, batch)
                    nursery.start_soon(self.handle.store.tree, shard)
                    nursery.start_soon(partial(self.handle.store.build_indexes, limit=2))

        self.loop.run(go)
        for where, tag in self.indexes:
            self.indexes[where, tag] = self.handle_indexes(where)[tag]
        for where, record in (each for batch in writes for each in batch):
            held = self.model.get((where, record.entity)) or self.aside.get((where, record.entity))
            # The version that was set aside is stored again.
            again = (where, record.entity) in self.aside
            if held is None or record.version > held.version or (again and record.version == held.version):
                self.keep(where, record)

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
        store = self.handle.store
        assert self.loop.run(lambda: store.read(shard, asked, skip_damaged=True)) == expected
        if any((shard, entity) in self.aside for entity in asked):
            with pytest.raises(RecordDamagedError):
                self.loop.run(lambda: store.read(shard, asked))
        else:
            assert self.loop.run(lambda: store.read(shard, asked)) == expected

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
        for shard in SHARDS:
            assert self.loop.run(lambda shard=shard: self.handle.store.counts(shard)).unhashed == 0

    @rule(shard=shards)
    def drop(self, shard: ShardId) -> None:
        self.loop.run(lambda: self.handle.store.drop(shard))
        self.model = {key: record for key, record in self.model.items() if key[0] != shard}
        self.aside = {key: record for key, record in self.aside.items() if key[0] != shard}
        self.indexes = {key: state for key, state in self.indexes.items() if key[0] != shard}

    @rule(key=st.sampled_from("ab"), value=st.sampled_from([None, b"", b"1", b"\0\xff"]))
    def keep_note(self, key: str, value: bytes | None) -> None:
        self.loop.run(lambda: self.handle.store.keep_note(key, value))
        if value is None:
            self.notes.pop(key, None)
        else:
            self.notes[key] = value

    @rule(shard=shards, tag=tags)
    def want_index(self, shard: ShardId, tag: str) -> None:
        self.loop.run(lambda: self.handle.store.want_index(shard, tag))
        state = IndexState.BUILDING if self.held(shard) else IndexState.READY
        self.indexes.setdefault((shard, tag), state)

    @rule(shard=shards, tag=tags)
    def drop_index(self, shard: ShardId, tag: str) -> None:
        self.loop.run(lambda: self.handle.store.drop_index(shard, tag))
        self.indexes.pop((shard, tag), None)

    @rule(limit=st.integers(1, 8))
    def build(self, limit: int) -> None:
        taken = self.loop.run(lambda: self.handle.store.build_indexes(limit=limit))
        assert taken <= limit
        for shard, tag in self.indexes:
            state = self.handle_indexes(shard)[tag]
            if taken == 0 or self.indexes[shard, tag] is IndexState.READY:
                assert state is IndexState.READY
            self.indexes[shard, tag] = state

    @rule()
    def build_all(self) -> None:
        for _ in range(200):
            if not self.loop.run(lambda: self.handle.store.build_indexes(limit=10)):
                break
        self.indexes = dict.fromkeys(self.indexes, IndexState.READY)

    @rule(
        shard=shards,
        tag=tags,
        kind=st.sampled_from(IndexKind),
        ends=st.none() | st.tuples(tag_values, tag_values),
        descending=st.booleans(),
        page=st.integers(1, 5),
    )
    def find(
        self,
        shard: ShardId,
        tag: str,
        kind: IndexKind,
        ends: tuple[object, object] | None,
        descending: bool,
        page: int,
    ) -> None:
        low, high = (b"", b"\xff") if ends is None else (index_key_of(ends[0]), index_key_of(ends[1]))

        async def find() -> list[IndexHit]:
            return await find_all(
                self.handle.store, tag, kind, low, high, shard=shard, descending=descending, page=page
            )

        if self.indexes.get((shard, tag)) is IndexState.READY:
            expected = hits(self.held(shard), tag, kind, descending=descending)
            assert self.loop.run(find) == [hit for hit in expected if low <= hit.key <= high]
        else:
            with pytest.raises(LookupError):
                self.loop.run(find)

    def handle_indexes(self, shard: ShardId) -> dict[str, IndexState]:
        async def indexes() -> dict[str, IndexState]:
            return self.handle.store.indexes(shard)

        return self.loop.run(indexes)

    @precondition(lambda self: any(record.payload for record in self.model.values()))
    @rule(data=st.data())
    def rot(self, data: st.DataObject) -> None:
        places = sorted(place for place, record in self.model.items() if record.payload)
        shard, entity = data.draw(st.sampled_from(places))
        self.loop.run(lambda: self.handle.rot(shard, entity))
        self.aside[shard, entity] = self.model.pop((shard, entity))
        self.loop.run(lambda: scan_all(self.handle.store, shard))

    @rule()
    def restart(self) -> None:
        self.loop.run(self.handle.restart)

    @rule()
    def crash(self) -> None:
        self.loop.run(self.handle.crash)

    @invariant()
    def all_is_accounted_for(self) -> None:
        self.loop.run(self._check)

    async def _check(self) -> None:
        store = self.handle.store
        known = {shard for shard, _ in (*self.model, *self.aside, *self.indexes)}
        assert store.shards() == sorted(known)
        summaries = await store.summaries()
        assert summaries.keys() == known
        for shard in SHARDS:
            counts = await store.counts(shard)
            assert shard not in known or summaries[shard].counts == counts
            held = self.held(shard)
            tombstones = sum(record.deleted for record in held)
            assert counts == ShardCounts(len(held) - tombstones, tombstones, counts.unhashed)
            expected = {tag: state for (where, tag), state in self.indexes.items() if where == shard}
            assert store.indexes(shard) == expected
        assert (await store.damaged_records(limit=1)).records == len(self.aside)
        assert (await store.damaged_shards()).keys() == {shard for shard, _ in self.aside}
        assert await store.last_stamp() == self.stamp
        for key in "ab":
            assert await store.note(key) == self.notes.get(key)


def index_key_of(value: object) -> bytes:
    """The key of a value as it stands in JSON."""
    (row, *_) = index_rows(json.dumps({"n": value}).encode(), ["n"])
    return row.key


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_always_equal_to_a_dictionary(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Several steps are needed for the few rows of these tests.
    monkeypatch.setattr(sqlite_drop, "DROP_STEP_RECORDS", 3)
    monkeypatch.setattr(sqlite_drop, "INDEX_CLEAR_ROWS", 3)
    monkeypatch.setattr(sqlite_indexes, "INDEX_CLEAR_ROWS", 3)
    monkeypatch.setattr(index_table, "INDEX_READ_ROWS", 2)
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
