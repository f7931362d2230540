"""The marks of shards, and the removal of what is purged: what both stores promise."""

from __future__ import annotations

from collections.abc import Sequence

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.retention.marks import NO_MARKS, Entry, Marks, Way
from gossipnode.core.session.reconcile.item_index import ItemHash, ItemIndex
from gossipnode.node.local.item_indexes import ItemIndexes
from gossipnode.store.interface import ShardCounts, Store
from gossipnode.store.retention import HeldVersion
from tests.records import bare_record
from tests.store.support import OTHER_SHARD, SHARD, Handle, placed, rebuilt

SESSION = Entry(Way.SESSION)
COPY = Entry(Way.COPY)


def tombstone(key: str, stamp: int) -> Record:
    return bare_record(key, b"gone", revision=stamp, delete_time=stamp)


def versions(*records: Record) -> list[HeldVersion]:
    return [HeldVersion(record.entity, record.version) for record in records]


async def outcome(store: Store, record: Record, entry: Entry) -> WriteOutcome:
    (result,) = await store.write(placed(record), entries=[entry])
    return result.outcome


async def test_marks_are_kept_by_shard_and_never_go_down(handle: Handle) -> None:
    retention = handle.store.retention
    assert retention.marks(SHARD) == NO_MARKS
    await retention.keep(SHARD, Marks(5, 3, 2))
    await retention.keep(SHARD, Marks(4, 4, 1))
    await handle.restart()
    assert handle.store.retention.all_marks() == {SHARD: Marks(5, 4, 2)}
    assert handle.store.retention.marks(OTHER_SHARD) == NO_MARKS
    # Marks alone are no reason to list a shard: it holds nothing.
    assert handle.store.shards() == []


async def test_a_dropped_shard_has_no_marks(handle: Handle) -> None:
    await handle.store.retention.keep(SHARD, Marks(5, 5, 5))
    await handle.store.retention.keep(OTHER_SHARD, Marks(5, 5, 5))
    await handle.store.write(placed(bare_record("n/1", revision=6)))
    await handle.store.drop(SHARD)
    await handle.store.drop(OTHER_SHARD)
    await handle.restart()
    assert handle.store.retention.all_marks() == {}


async def test_a_sealed_shard_takes_old_records_from_replicas_alone(handle: Handle) -> None:
    await handle.store.write(placed(bare_record("n/held", revision=2)))
    await handle.store.retention.keep(SHARD, Marks(sealed=5))
    (refused,) = await handle.store.write(placed(bare_record("n/1", revision=5)))
    assert refused.outcome is WriteOutcome.OLDER
    assert refused.version is not None
    assert refused.version.stamp == 5
    assert refused.problem
    assert await outcome(handle.store, bare_record("n/held", b"x", revision=3), Entry()) is WriteOutcome.OLDER
    assert await outcome(handle.store, bare_record("n/held", revision=2), Entry()) is WriteOutcome.EQUAL
    assert await outcome(handle.store, bare_record("n/1", revision=5), SESSION) is WriteOutcome.STORED
    assert await outcome(handle.store, bare_record("n/2", revision=5), COPY) is WriteOutcome.STORED
    assert await outcome(handle.store, bare_record("n/3", revision=6), Entry()) is WriteOutcome.STORED


async def test_what_was_purged_does_not_come_back_on_any_path(handle: Handle) -> None:
    deleted = tombstone("n/1", 4)
    await handle.store.write(placed(deleted))
    await handle.store.retention.keep(SHARD, Marks(5, 5, 5))
    assert await handle.store.retention.remove(SHARD, versions(deleted)) == 1
    await handle.restart()
    live = bare_record("n/1", b"back", revision=3)
    assert await outcome(handle.store, live, SESSION) is WriteOutcome.REFUSED
    assert await outcome(handle.store, live, COPY) is WriteOutcome.OLDER
    assert await outcome(handle.store, live, Entry()) is WriteOutcome.OLDER
    # Others may still have the tombstone: here it counts as held.
    (again,) = await handle.store.write(
        placed(deleted), entries=[SESSION], lineages=[b"kept"], doubt_equal=True
    )
    assert again.outcome is WriteOutcome.EQUAL
    assert await handle.store.read(SHARD, [deleted.entity]) == [None]
    assert await outcome(handle.store, bare_record("n/1", revision=6), Entry()) is WriteOutcome.STORED


async def test_one_that_is_stale_copies_from_a_session_of_the_same_mark(handle: Handle) -> None:
    await handle.store.retention.keep(SHARD, Marks(5, 0, 5))
    record = bare_record("n/1", revision=3)
    assert await outcome(handle.store, record, Entry(Way.SESSION, 4)) is WriteOutcome.REFUSED
    assert await outcome(handle.store, record, Entry(Way.SESSION, 5)) is WriteOutcome.STORED


async def test_old_tombstones_are_found_the_oldest_first(handle: Handle) -> None:
    gone = [tombstone(f"n/{stamp}", stamp) for stamp in (5, 3, 4, 9)]
    await handle.store.write(placed(*gone, bare_record("n/live", revision=1)))
    found = await handle.store.retention.tombstones(SHARD, 5, limit=2)
    assert found == versions(gone[1], gone[2])
    assert await handle.store.retention.tombstones(OTHER_SHARD, 5, limit=2) == []


async def test_only_versions_that_are_still_held_are_removed(handle: Handle) -> None:
    old, other = tombstone("n/1", 3), tombstone("n/2", 3)
    newer = bare_record("n/2", b"made again", revision=7)
    await handle.store.write(placed(old, other))
    await handle.store.write(placed(newer))
    assert await handle.store.retention.remove(SHARD, versions(old, other)) == 1
    assert await handle.store.retention.remove(SHARD, versions(old, other)) == 0
    assert await handle.store.read(SHARD, [old.entity, newer.entity]) == [None, newer]


async def test_digests_counters_and_indexes_go_with_what_is_removed(handle: Handle) -> None:
    records = [bare_record(f"n/{at}", revision=1) for at in range(20)]
    gone = [tombstone(f"d/{at}", 2) for at in range(20)]
    await handle.store.write(placed(*records, *gone))
    await handle.store.tree(SHARD)
    removed = [*gone[5:], *records[:3]]
    assert await handle.store.retention.remove(SHARD, versions(*removed)) == 18
    await handle.store.retention.give_space_back()
    assert await handle.store.counts(SHARD) == ShardCounts(17, 5, 0)
    assert await handle.store.tree(SHARD) == rebuilt([*records[3:], *gone[:5]])
    await handle.restart()
    assert await handle.store.tree(SHARD) == rebuilt([*records[3:], *gone[:5]])


class Purged:
    """Remembers what a follower is told."""

    def __init__(self) -> None:
        self.told: list[tuple[ShardId, list[Entity]]] = []

    def stored(self, versions: object) -> None:
        """Not of interest here."""

    def purged(self, shard: ShardId, entities: Sequence[Entity]) -> None:
        self.told.append((shard, list(entities)))

    def removed(self, shard: ShardId | None) -> None:
        raise AssertionError("what was removed is known to the record")


async def test_a_follower_hears_of_just_what_is_purged(handle: Handle) -> None:
    followed = Purged()
    handle.store.changes.follow(followed)
    gone, stays = tombstone("n/1", 3), bare_record("n/2", revision=3)
    await handle.store.write(placed(gone, stays))
    await handle.store.retention.remove(SHARD, versions(gone, tombstone("n/3", 3)))
    await handle.store.retention.remove(SHARD, versions(gone))
    assert followed.told == [(SHARD, [gone.entity])]


async def test_the_item_index_follows(handle: Handle) -> None:
    indexes = ItemIndexes(handle.store, lambda: bytes(16))
    gone, stays = tombstone("n/1", 3), bare_record("n/2", revision=3)
    await indexes.of(SHARD)
    await handle.store.write(placed(gone, stays))
    await handle.store.retention.remove(SHARD, versions(gone))
    expected = ItemIndex(ItemHash(bytes(16)))
    expected.hold(stays.entity, stays.version, 0)
    index = await indexes.of(SHARD)
    assert (index.root, index.count) == (expected.root, expected.count) == (index.root, 1)
