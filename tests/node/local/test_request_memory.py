"""What a replica remembers of requests, beside its records: over a restart, and how much of it."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.query.replica_messages import WriteRecords
from gossipnode.core.query.request_lineage import (
    REQUESTS_REMEMBERED_NANOSECONDS,
    KnownRequest,
    Lineage,
)
from gossipnode.node.local import request_memory
from gossipnode.node.local.clock import Clock
from gossipnode.node.local.request_memory import RequestMemory
from gossipnode.store.memory import MemoryStore
from gossipnode.wire.replica.lineage_codec import encode_kept
from tests.node.support import memory_store
from tests.records import bare_record, entity

SHARD = ShardId("sw", 0)
N1 = entity("n/1")
NOW = 2 * REQUESTS_REMEMBERED_NANOSECONDS


class Replica:
    """A store, and what is remembered beside its records."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or memory_store()
        self.memory = RequestMemory(self.store, Clock(lambda: NOW))

    def restarted(self) -> Replica:
        """The same replica after a crash."""
        self.store.crash()
        return Replica(self.store.reopen())

    async def took(
        self, stamp: int, request_id: str = "", before: Lineage | None = None, name: str = "n/1"
    ) -> None:
        """Store what a request writes, as a coordinator asks for it."""
        record = bare_record(name, revision=stamp)
        request = WriteRecords(SHARD, b"", (record,), request_id, True, before or Lineage())
        kept = await self.memory.to_keep(request)
        assert kept is not None
        await self.store.write([(SHARD, record)], lineages=[encode_kept(kept)])
        self.memory.took(SHARD, record.entity, kept)

    async def repaired(self, stamp: int) -> None:
        """Store a version that comes in a round."""
        await self.store.write([(SHARD, bare_record("n/1", revision=stamp))])

    async def lineage(self, of: Entity = N1) -> Lineage:
        """That of the version which is held now."""
        (held,) = await self.store.read(SHARD, [of])
        return await self.memory.lineage(SHARD, of, held and held.version)

    async def known(self, of: Entity = N1) -> list[str]:
        """The ids that the version which is held now includes."""
        return [each.request_id for each in (await self.lineage(of)).known]


async def test_a_request_is_known_and_after_a_restart_too() -> None:
    replica = Replica()
    await replica.took(5, "one")
    assert await replica.lineage() == Lineage((KnownRequest("one", True, 5),))
    replica = replica.restarted()
    assert len(replica.memory) == 0
    assert await replica.lineage() == Lineage((KnownRequest("one", True, 5),))
    assert len(replica.memory) == 1


async def test_what_a_restarted_replica_knows_it_hands_on_with_the_next_write() -> None:
    replica = Replica()
    await replica.took(5, "one")
    replica = replica.restarted()
    # The coordinator has not heard of it, and says that it cannot know.
    await replica.took(7, "two", Lineage((), since=6))
    assert await replica.known() == ["one", "two"]
    assert await replica.restarted().known() == ["one", "two"]


async def test_a_write_that_had_not_seen_a_request_lets_it_be_forgotten() -> None:
    replica = Replica()
    await replica.took(5, "one")
    await replica.took(6, "two", Lineage((), since=0))
    assert await replica.known() == ["two"]


async def test_of_a_version_that_came_on_another_path_nothing_is_certain() -> None:
    replica = Replica()
    await replica.took(5, "one")
    await replica.repaired(9)
    assert await replica.lineage() == Lineage((KnownRequest("one", True, 5),), since=9)
    replica = replica.restarted()
    assert await replica.lineage() == Lineage((KnownRequest("one", True, 5),), since=9)
    await replica.store.write([(SHARD, bare_record("n/2", revision=9))])
    assert await replica.lineage(entity("n/2")) == Lineage((), since=9)
    assert await replica.lineage(entity("n/3")) == Lineage()


async def test_a_version_includes_no_request_that_wrote_after_it() -> None:
    """A write may be stored between the read of a record and the look at what it includes."""
    replica = Replica()
    await replica.took(5, "one")
    (held,) = await replica.store.read(SHARD, [N1])
    await replica.took(6, "two", await replica.lineage())
    told = await replica.memory.lineage(SHARD, N1, held and held.version)
    assert told == Lineage((KnownRequest("one", True, 5),), since=5)


async def test_writes_whose_tasks_go_on_in_another_order_leave_the_newest_at_hand() -> None:
    replica = Replica()
    first = await replica.memory.to_keep(
        WriteRecords(SHARD, b"", (bare_record("n/1", revision=5),), "one", True, Lineage())
    )
    await replica.took(6, "two")
    assert first is not None
    replica.memory.took(SHARD, N1, first)
    assert await replica.known() == ["two"]


async def test_beside_a_write_of_several_records_nothing_is_kept() -> None:
    memory = Replica().memory
    two = (bare_record("n/1"), bare_record("n/2"))
    assert await memory.to_keep(WriteRecords(SHARD, b"", two, "one", True, Lineage())) is None
    assert await memory.to_keep(WriteRecords(SHARD, b"", two[:1], "one", True, None)) is None


async def test_the_store_knows_what_is_no_longer_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_memory, "RECORDS_AT_HAND_MAX", 10)
    replica = Replica()
    for number in range(25):
        await replica.took(5, f"r{number}", name=f"n/{number}")
    assert len(replica.memory) == 10
    assert [await replica.known(entity(f"n/{number}")) for number in range(25)] == [
        [f"r{number}"] for number in range(25)
    ]
    assert len(replica.memory) == 10


async def test_a_new_replica_is_told_of_the_last_minutes() -> None:
    old, new = Replica(), Replica()
    await old.took(NOW - REQUESTS_REMEMBERED_NANOSECONDS, "recent", name="n/1")
    await old.took(NOW - REQUESTS_REMEMBERED_NANOSECONDS - 1, "long ago", name="n/2")
    page = await old.memory.recent(SHARD, None)
    assert page.after is None
    assert [found for found, _ in page.found] == [N1]
    await new.repaired(NOW - REQUESTS_REMEMBERED_NANOSECONDS)
    assert await new.known() == []
    await new.memory.learn(SHARD, page.found)
    assert await new.known() == ["recent"]
    assert await new.restarted().known() == ["recent"]


async def test_what_is_told_goes_together_with_what_is_known_here() -> None:
    old, new = Replica(), Replica()
    await old.took(5, "one")
    # It took a write of the new view before it copied from the source.
    await new.took(7, "two", Lineage((), since=6))
    await new.memory.learn(SHARD, [(N1, b"what no store has kept")])
    assert await new.known() == ["two"]
    told = [(N1, await old.store.lineages.of(SHARD, N1))]
    await new.memory.learn(SHARD, told)
    assert await new.lineage() == Lineage((KnownRequest("one", True, 5), KnownRequest("two", True, 7)), 6)
