"""What becomes of records, told to followers and read by commit numbers: what both stores promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.store.follower import Replaced, StoredChange
from tests.store.support import OTHER_SHARD, SHARD, Handle, make_record


class Heard:
    """Keeps what it is told, commit by commit."""

    def __init__(self) -> None:
        self.commits: list[dict[str, StoredChange]] = []

    def stored(self, changes: Sequence[StoredChange]) -> None:
        self.commits.append({change.record.entity.id: change for change in changes})

    def purged(self, shard: ShardId, entities: Sequence[Entity]) -> None:
        self.gone.append(shard)

    def removed(self, shard: ShardId | None) -> None:
        pass


async def write(handle: Handle, *records: Record, shard: ShardId = SHARD, arrival: bytes = b"") -> int:
    arrivals = [arrival] * len(records) if arrival else ()
    await handle.store.write([(shard, each) for each in records], arrivals=arrivals)
    return handle.store.commit_number


async def ids_since(handle: Handle, sequence: int, *, limit: int = 100) -> tuple[list[str], int, bool]:
    page = await handle.store.changes.since(SHARD, sequence, limit=limit)
    return sorted(change.record.entity.id for change in page.changes), page.reached, page.whole


async def test_what_came_since_a_commit_is_found_in_the_order_of_commits(handle: Handle) -> None:
    first = await write(handle, make_record("1"), make_record("2"))
    second = await write(handle, make_record("3"))
    await write(handle, make_record("other"), shard=OTHER_SHARD)
    third = await write(handle, make_record("1", revision=5))
    page = await handle.store.changes.since(SHARD, 0, limit=100)
    assert [(each.record.entity.id, each.sequence) for each in page.changes] == [
        ("2", first),
        ("3", second),
        ("1", third),
    ]
    assert await ids_since(handle, first) == (["1", "3"], third, True)
    assert await ids_since(handle, second) == (["1"], third, True)
    assert await ids_since(handle, third) == ([], third, True)
    assert page.changes[-1].record.version.mod_revision == 5


async def test_a_page_has_whole_commits(handle: Handle) -> None:
    first = await write(handle, *(make_record(str(each)) for each in range(5)))
    second = await write(handle, make_record("a"), make_record("b"))
    third = await write(handle, make_record("c"))
    assert await ids_since(handle, 0, limit=2) == (["0", "1", "2", "3", "4"], first, False)
    assert await ids_since(handle, first, limit=3) == (["a", "b"], second, False)
    assert await ids_since(handle, second, limit=3) == (["c"], third, True)


async def test_what_is_refused_or_older_is_no_change(handle: Handle) -> None:
    first = await write(handle, make_record("1", revision=5))
    heard = Heard()
    handle.store.changes.follow(heard)
    assert await write(handle, make_record("1", revision=5), make_record("1", revision=3)) == first
    assert heard.commits == []
    assert await ids_since(handle, first) == ([], first, True)


async def test_how_a_record_came_is_kept(handle: Handle) -> None:
    await write(handle, make_record("1", revision=2), arrival=b"by a client")
    await write(handle, make_record("2"))
    read = [await handle.store.changes.of(SHARD, make_record(each).entity) for each in ("1", "2", "3")]
    assert [each and (each.arrival, each.replaced) for each in read] == [
        (b"by a client", None),
        (b"", None),
        None,
    ]
    await write(handle, make_record("1", revision=3, deleted=9), arrival=b"in a round")
    await write(handle, make_record("1", revision=1), arrival=b"too late")
    change = await handle.store.changes.of(SHARD, make_record("1").entity)
    assert change is not None
    assert (change.arrival, change.replaced) == (b"in a round", Replaced(2, 0))
    await write(handle, make_record("1", revision=12))
    change = await handle.store.changes.of(SHARD, make_record("1").entity)
    assert change is not None
    assert (change.arrival, change.replaced) == (b"", Replaced(3, 9))


async def test_what_a_version_was_built_upon_is_kept_and_read_with_it(handle: Handle) -> None:
    # The second write of "1" is older and changes nothing; that of "2" does not know what it is built upon.
    await write(
        handle, replace(make_record("1", revision=5), built_upon=3), replace(make_record("3"), built_upon=0)
    )
    await write(handle, replace(make_record("1", revision=4), built_upon=2))
    await write(handle, replace(make_record("2", revision=5), built_upon=3))
    await write(handle, make_record("2", revision=6))
    expected = {"1": 3, "2": None, "3": 0}
    entities = [make_record(each).entity for each in expected]
    for again in (False, True):
        if again:
            await handle.restart()
        numbers = [each.number for each in await handle.store.versions(SHARD, limit=10)]
        page = await handle.store.changes.since(SHARD, 0, limit=10)
        alone = [await handle.store.read(SHARD, [each]) for each in entities]
        for read in (
            await handle.store.read(SHARD, entities),
            [record for (record,) in alone],
            await handle.store.by_number(SHARD, numbers),
            [change.record for change in page.changes],
        ):
            assert {each.entity.id: each.built_upon for each in read if each} == expected


async def test_all_of_it_outlives_a_restart(handle: Handle) -> None:
    first = await write(handle, make_record("1"), arrival=b"once")
    await write(handle, make_record("1", revision=2), make_record("2"), arrival=b"twice")
    before = await handle.store.changes.since(SHARD, first, limit=10)
    await handle.restart()
    assert await handle.store.changes.since(SHARD, first, limit=10) == before
    assert [each.arrival for each in before.changes] == [b"twice"] * 2


@pytest.mark.parametrize("told", [True, False])
async def test_followers_hear_what_was_replaced(handle: Handle, told: bool) -> None:
    old = make_record("1", revision=2)
    await write(handle, old)
    heard = Heard()
    handle.store.changes.follow(heard)
    handle.store.changes.tell_replaced([SHARD] if told else [OTHER_SHARD])
    await write(handle, make_record("1", revision=4), make_record("2"), arrival=b"so")
    (commit,) = heard.commits
    assert commit["1"].replaced == Replaced(2, 0, old.payload if told else None)
    assert commit["2"].replaced is None
    assert {each.sequence for each in commit.values()} == {handle.store.commit_number}
    assert {each.arrival for each in commit.values()} == {b"so"}
    page = await handle.store.changes.since(SHARD, handle.store.commit_number - 1, limit=10)
    assert {each.record.entity.id: each.number for each in page.changes} == {
        key: each.number for key, each in commit.items()
    }


async def test_every_follower_is_told(handle: Handle) -> None:
    one, two = Heard(), Heard()
    handle.store.changes.follow(one)
    await write(handle, make_record("1"))
    handle.store.changes.follow(two)
    await write(handle, make_record("2"))
    assert [sorted(commit) for commit in one.commits] == [["1"], ["2"]]
    assert [sorted(commit) for commit in two.commits] == [["2"]]
