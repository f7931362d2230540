"""Versions and records by number, and who follows a store: what both stores promise."""

from __future__ import annotations

from collections.abc import Sequence

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.store.follower import NumberedVersion, StoredChange
from tests.store.support import OTHER_SHARD, SHARD, Handle, make_record


class Followed:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.versions: dict[tuple[ShardId, Entity], NumberedVersion] = {}
        self.gone: list[ShardId | None] = []

    def stored(self, changes: Sequence[StoredChange]) -> None:
        for change in changes:
            entity = change.record.entity
            numbered = NumberedVersion(entity, change.record.version, change.number)
            self.versions[change.shard, entity] = numbered

    def purged(self, shard: ShardId, entities: Sequence[Entity]) -> None:
        for entity in entities:
            del self.versions[shard, entity]

    def removed(self, shard: ShardId | None) -> None:
        self.gone.append(shard)


async def write(handle: Handle, *records: Record, shard: ShardId = SHARD) -> None:
    await handle.store.write([(shard, each) for each in records])


async def all_versions(handle: Handle, *, limit: int) -> list[NumberedVersion]:
    found: list[NumberedVersion] = []
    while True:
        after = found[-1].entity if found else None
        page = await handle.store.versions(SHARD, after=after, limit=limit)
        found += page
        if len(page) < limit:
            return found


async def test_versions_come_in_pages_in_the_order_of_the_tree(handle: Handle) -> None:
    records = [make_record(str(each), revision=each + 1) for each in range(70)]
    await write(handle, *records)
    await write(handle, make_record("other"), shard=OTHER_SHARD)
    whole = await handle.store.versions(SHARD, limit=1000)
    assert [each.entity for each in whole] == sorted(
        (each.entity for each in records), key=lambda entity: (slot_of(entity), entity)
    )
    assert {each.entity: each.version for each in whole} == {each.entity: each.version for each in records}
    for limit in (1, 7, 70):
        assert await all_versions(handle, limit=limit) == whole


async def test_records_are_found_by_their_numbers(handle: Handle) -> None:
    records = [make_record(str(each)) for each in range(5)]
    await write(handle, *records, make_record("gone", deleted=3))
    versions = await handle.store.versions(SHARD, limit=10)
    numbers = [each.number for each in versions]
    read = await handle.store.by_number(SHARD, [*numbers, max(numbers) + 1])
    assert [each and (each.entity, each.version) for each in read] == [
        *((each.entity, each.version) for each in versions),
        None,
    ]
    assert await handle.store.by_number(OTHER_SHARD, numbers) == [None] * 6


async def test_a_record_keeps_its_number(handle: Handle) -> None:
    await write(handle, make_record("1"), make_record("2"))
    before = {each.entity: each.number for each in await handle.store.versions(SHARD, limit=10)}
    await write(handle, make_record("1", revision=2))
    after = {each.entity: each.number for each in await handle.store.versions(SHARD, limit=10)}
    assert before == after


async def test_a_follower_hears_of_all_that_is_stored(handle: Handle) -> None:
    followed = Followed()
    handle.store.changes.follow(followed)
    await write(handle, make_record("1", revision=2), make_record("2"))
    await write(handle, make_record("1", revision=1), make_record("2", revision=5))
    await write(handle, make_record("3"), shard=OTHER_SHARD)
    held = {(SHARD, each.entity): each for each in await handle.store.versions(SHARD, limit=10)}
    (other,) = await handle.store.versions(OTHER_SHARD, limit=10)
    assert followed.versions == {**held, (OTHER_SHARD, other.entity): other}
    assert not followed.gone


async def test_a_follower_hears_of_shards_that_are_dropped(handle: Handle) -> None:
    await write(handle, make_record("1"))
    followed = Followed()
    handle.store.changes.follow(followed)
    await handle.store.drop(OTHER_SHARD)
    await handle.store.drop(SHARD)
    assert followed.gone == [SHARD]


async def test_a_root_is_known_once_all_digests_are_computed(handle: Handle) -> None:
    assert await handle.store.known_root(SHARD) == ""
    await write(handle, make_record("1"), make_record("2"))
    assert await handle.store.known_root(SHARD) is None
    tree = await handle.store.tree(SHARD)
    assert await handle.store.known_root(SHARD) == tree.root
    await write(handle, make_record("2", revision=2))
    assert await handle.store.known_root(SHARD) is None
