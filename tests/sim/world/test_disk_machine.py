"""A disk compared with a dictionary of what was committed to it, through crashes, copies and losses."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.sim.world.sim_disk import DiskCopy, SimDisk
from gossipnode.store.interface import StoreClosedError, StoreError, StoreFullError, StoreLockedError
from gossipnode.store.memory import MemoryStore
from tests.records import bare_record
from tests.store.support import Loop, index_rows, leaf_digest, rebuilt, scan_all

Place = tuple[ShardId, Entity]
SHARDS = [ShardId("sw", 0), ShardId("sw", 1)]
shards = st.sampled_from(SHARDS)
records = st.builds(
    bare_record,
    st.sampled_from(["n/1", "n/2", "n/3", "m/1"]),
    st.sampled_from([b"x", b"y", b"z" * 3000]),
    revision=st.integers(0, 9),
    delete_time=st.sampled_from([0, 0, 5]),
)
batches = st.lists(st.tuples(shards, records), min_size=1, max_size=5)
Batch = Sequence[tuple[ShardId, Record]]


class Model:
    """What must be on the disk."""

    def __init__(self) -> None:
        self.held: dict[Place, Record] = {}
        self.aside: dict[Place, Record] = {}
        self.stamp = 0

    def copy(self) -> Model:
        other = Model()
        other.held, other.aside, other.stamp = dict(self.held), dict(self.aside), self.stamp
        return other

    def write(self, batch: Batch, stamp: int) -> None:
        self.stamp = max(self.stamp, stamp)
        for shard, record in batch:
            place = shard, record.entity
            before, aside = self.held.get(place), self.aside.get(place)
            newer = before is None or record.version > before.version
            if newer and (aside is None or record.version >= aside.version):
                self.held[place] = record
                self.aside.pop(place, None)

    def of(self, shard: ShardId) -> dict[Entity, Record]:
        return {entity: record for (where, entity), record in self.held.items() if where == shard}


def in_use(machine: DiskMachine) -> bool:
    return machine.disk.in_use


def idle(machine: DiskMachine) -> bool:
    return not machine.disk.in_use


def writable(machine: DiskMachine) -> bool:
    return machine.disk.in_use and not machine.full


class DiskMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop(trio.testing.MockClock(autojump_threshold=0))
        self.disk = SimDisk("a", random.Random(1), on_stored=self.stored)
        self.store: MemoryStore | None = None
        self.model = Model()
        self.before: list[Model] = []
        self.copies: list[tuple[DiskCopy, Model]] = []
        self.full = False

    def teardown(self) -> None:
        self.loop.stop()

    def stored(self, _shard: ShardId, before: Version | None, after: Record) -> None:
        # A version that was set aside may be stored again.
        assert before is None or after.version >= before

    def committed(self) -> None:
        """A commit is about to be made: what was there before it."""
        self.before.append(self.model.copy())

    @precondition(idle)
    @rule()
    def open(self) -> None:
        if self.full and not (self.model.held or self.model.aside or self.model.stamp):
            with pytest.raises(StoreFullError):
                self.disk.open(leaf_digest, index_rows)
        else:
            self.store = self.loop.run(self._open)

    async def _open(self) -> MemoryStore:
        return self.disk.open(leaf_digest, index_rows)

    @precondition(in_use)
    @rule()
    def open_again(self) -> None:
        with pytest.raises(StoreLockedError):
            self.loop.run(self._open)

    @precondition(in_use)
    @rule(batch=batches, stamp=st.integers(1, 50))
    def write(self, batch: Batch, stamp: int) -> None:
        if self.full:
            with pytest.raises(StoreFullError):
                self.loop.run(lambda: self.store.write(batch, stamp=stamp))
            return
        self.committed()
        self.loop.run(lambda: self.store.write(batch, stamp=stamp))
        self.model.write(batch, stamp)

    @precondition(writable)
    @rule(batch=batches)
    def write_cancelled(self, batch: Batch) -> None:
        async def write() -> None:
            with trio.move_on_after(0.5):
                await self.store.write(batch)

        self.committed()
        self.slowly(write)
        self.model.write(batch, 0)

    @precondition(in_use)
    @rule(batch=batches, way=st.sampled_from(["crash", "tear", "fail"]))
    def write_lost(self, batch: Batch, way: str) -> None:
        async def write() -> None:
            with pytest.raises(StoreClosedError):
                await self.store.write(batch, stamp=99)

        async def lose() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await trio.sleep(0.5)
                if way == "crash":
                    self.disk.crash()
            assert isinstance(await self.store.wait_failed(), StoreError)
            await self.store.close()

        if way == "tear":
            self.disk.tear_commit()
        elif way == "fail":
            self.disk.fail_commits(1)
        self.slowly(lose)
        assert not self.disk.in_use

    def slowly(self, step: Callable[[], Awaitable[None]]) -> None:
        """Let a step meet commits that take a second."""
        self.disk.set_commit_seconds(1, 1)
        self.loop.run(step)
        self.disk.set_commit_seconds(0, 0)

    @precondition(in_use)
    @rule(shard=shards)
    def drop(self, shard: ShardId) -> None:
        if shard in {where for where, _ in (*self.model.held, *self.model.aside)}:
            self.committed()
        self.loop.run(lambda: self.store.drop(shard))
        for each in (self.model.held, self.model.aside):
            for place in [place for place in each if place[0] == shard]:
                del each[place]

    @precondition(in_use)
    @rule()
    def rot(self) -> None:
        entity = self.disk.flip_bit()
        for shard in SHARDS:
            before = self.model.of(shard)
            left = self.loop.run(lambda shard=shard: scan_all(self.store, shard))
            for lost in before.keys() - {record.entity for record in left}:
                assert lost == entity
                self.model.aside[shard, lost] = self.model.held.pop((shard, lost))
        # Were the step that set it aside lost, the record would be there again, as rotten as it was.
        self.before.clear()

    @precondition(in_use)
    @rule(orderly=st.booleans())
    def end(self, orderly: bool) -> None:
        if orderly:
            self.loop.run(self.store.close)
        else:
            self.loop.run(self._crash)

    async def _crash(self) -> None:
        self.disk.crash()

    @rule(full=st.booleans())
    def set_full(self, full: bool) -> None:
        async def go() -> None:
            self.disk.set_full(full)

        self.full = full
        self.loop.run(go)

    @rule()
    def copy(self) -> None:
        self.copies.append((self.disk.copy(), self.model.copy()))

    @precondition(lambda self: self.copies and idle(self))
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        copy, model = data.draw(st.sampled_from(self.copies))
        self.disk.put_back(copy)
        self.model = model.copy()
        self.before.clear()

    @precondition(idle)
    @rule()
    def wipe(self) -> None:
        self.disk.wipe()
        self.model = Model()
        self.before.clear()

    @precondition(lambda self: self.before and idle(self))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.before)))
        assert self.disk.lose_last_commits(count) == count
        self.model = self.before[-count]
        del self.before[-count:]

    @precondition(in_use)
    @rule()
    def nothing_comes_back_under_a_process(self) -> None:
        for call in (self.disk.wipe, lambda: self.disk.put_back(self.disk.copy())):
            with pytest.raises(ValueError, match="open"):
                call()

    @invariant()
    def as_the_model_has_it(self) -> None:
        assert self.disk.contents() == {
            shard: self.model.of(shard) for shard in SHARDS if self.model.of(shard)
        }
        if self.disk.in_use:
            self.loop.run(self._check_store)

    async def _check_store(self) -> None:
        assert self.store is not None
        assert await self.store.last_stamp() == self.model.stamp
        assert (await self.store.damaged_records(limit=1)).records == len(self.model.aside)
        for shard in SHARDS:
            held = sorted(self.model.of(shard).values(), key=lambda record: record.entity)
            assert await scan_all(self.store, shard) == held
            assert await self.store.tree(shard) == rebuilt(held)
            counts = await self.store.counts(shard)
            assert (counts.records + counts.tombstones, counts.unhashed) == (len(held), 0)


@pytest.mark.slow
def test_a_disk_is_a_dictionary_of_what_was_committed() -> None:
    run_state_machine_as_test(
        DiskMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
