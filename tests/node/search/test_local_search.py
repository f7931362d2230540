"""What a replica finds for a query: the right records in the right order, with little read for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossipnode.core.model.tag_value import IntArray, StrArray
from gossipnode.core.query.criteria import Condition, Criteria, MatchOption, Op
from gossipnode.core.query.search import Place, Search
from gossipnode.node.search import local_search
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.store.interface import Store
from tests.node.search.searching import (
    ONE,
    THREE,
    both,
    condition,
    ids,
    indexed,
    pages_of,
    with_statuses,
    write,
)
from tests.records import bare_record, entity, record

# --- by key ---


async def test_records_come_in_key_order_over_groups_and_shards(store: Store) -> None:
    for number, shard in enumerate(THREE):
        await write(
            store,
            *(record(f"n{i % 7}/{i}", group=shard.group, n=i) for i in range(number, 300, 3)),
            shard=shard,
        )
    search = LocalSearch(store, Search(THREE))
    found = await pages_of(search)
    assert len(found) == 300
    assert [each.record.entity for each in found] == sorted(each.record.entity for each in found)
    assert [each.place for each in found] == [Place(each.record.entity) for each in found]
    assert {each.shard for each in found} == set(THREE)
    assert search.rows_read == 300
    assert search.index == ""


async def test_without_shards_or_records_there_is_nothing(store: Store) -> None:
    for shards in ((), THREE):
        for order_by in ("", "t"):
            assert await ids(store, Search(shards, order_by=order_by)) == ""


async def test_names_and_ids(store: Store) -> None:
    for name in "abc":
        await write(store, *(record(f"{name}/{name}{i}", t=i) for i in range(4)))
    assert await ids(store, Search(ONE, name="b")) == "b0 b1 b2 b3"
    assert await ids(store, Search(ONE, ids=frozenset(["a3", "c0", "x"]))) == "a3 c0"
    search = LocalSearch(store, Search(ONE, name="b", ids=frozenset(["b3", "a1", "b1"])))
    assert [each.record.entity.id for each in await pages_of(search)] == ["b1", "b3"]
    assert search.rows_read == 2
    assert search.index == "key"


async def test_named_records_are_looked_for_in_every_shard(store: Store) -> None:
    for shard, item in zip(THREE, "321", strict=True):
        await write(store, record(f"n/{item}", group=shard.group, t=item), shard=shard)
    named = Search(THREE, name="n", ids=frozenset("123"))
    assert await ids(store, named) == "2 3 1"
    assert await ids(store, replace(named, after=Place(entity("n/2")))) == "3 1"
    assert await ids(store, replace(named, order_by="t", descending=True)) == "3 2 1"


async def test_tombstones_come_only_when_asked_for_and_then_whatever_the_criteria(store: Store) -> None:
    await write(store, record("n/1", t=1), record("n/2", t=1, delete_time=9), record("n/3", t=2))
    await indexed(store, "t")
    one = condition("t", Op.EQ, 1)
    assert await ids(store, Search(ONE)) == "1 3"
    assert await ids(store, Search(ONE, tombstones=True)) == "1 2 3"
    assert await ids(store, Search(ONE, tombstones=True, criteria=condition("t", Op.EQ, 2))) == "2 3"
    assert await ids(store, Search(ONE, tombstones=True, order_by="t", descending=True)) == "3 1 2"
    assert await ids(store, Search(ONE, tombstones=True, name="n", ids=frozenset("12"))) == "1 2"
    assert await ids(store, Search(ONE, criteria=one)) == "1"


async def test_a_record_that_cannot_be_read_matches_nothing_and_breaks_nothing(store: Store) -> None:
    bad = bare_record("n/2", b"\xff\xff\xff")
    await write(store, record("n/1", t=1), bad, record("n/3", t=3))
    for index in (False, True):
        if index:
            await indexed(store, "t")
        assert await ids(store, Search(ONE, criteria=condition("t", Op.NE, 9))) == "1 3"
        assert await ids(store, Search(ONE, criteria=condition("t", Op.GE, 1))) == "1 3"
        assert await ids(store, Search(ONE, order_by="t")) == "1 3"


# --- by an index ---


@pytest.mark.parametrize(
    ("criteria", "index", "count"),
    [
        (condition("status", Op.EQ, "bad"), 'status = "bad"', 6),
        (condition("status", Op.IN, StrArray(("bad", "gone"))), 'status in ("bad", "gone")', 6),
        (Condition("status", Op.MATCH, "bad", MatchOption("keyword")), 'status = "bad"', 6),
        (condition("tags", Op.HAVING, "t7"), 'tags having "t7"', 12),
        (condition("tags", Op.EQ, "t7"), 'tags = "t7"', 12),
        (condition("n", Op.LE, 5), "n <= 5", 5),
        (both(condition("n", Op.GT, 10), condition("n", Op.LT, 14)), "n > 10 and n < 14", 3),
        (both(condition("n", Op.GT, 0), condition("status", Op.EQ, "bad")), 'status = "bad"', 6),
        # Of several the one with fewest rows, whichever comes first.
        (both(condition("status", Op.EQ, "ok"), condition("n", Op.EQ, 1)), "n = 1", 1),
        (both(condition("status", Op.EQ, "ok"), condition("n", Op.IN, IntArray((1, 2)))), "n in (1, 2)", 1),
    ],
)
async def test_an_index_finds_what_matches_and_little_else_is_read(
    store: Store, criteria: Criteria, index: str, count: int
) -> None:
    await with_statuses(store)
    scan = LocalSearch(store, Search(THREE, criteria=criteria))
    expected = await pages_of(scan)
    assert scan.rows_read == 300
    await indexed(store, "status", "n", "tags", shards=THREE)
    search = LocalSearch(store, Search(THREE, criteria=criteria))
    assert await pages_of(search) == expected
    assert len(expected) == count
    assert search.index == index
    # The bounds of a range are looked at, also where they do not belong to it.
    assert search.rows_read <= count + 2


async def test_a_caller_that_wants_few_of_many_makes_few_be_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_search, "PLAN_SORT_MAX_ROWS", 60)
    await with_statuses(store)
    await indexed(store, "status", "n", shards=THREE)
    ok = condition("status", Op.EQ, "ok")
    for order_by, index in (("", 'status = "ok"'), ("n", "order by n")):
        search = LocalSearch(store, Search(THREE, criteria=ok, order_by=order_by, expected=20))
        assert len(await pages_of(search, most=20)) >= 20
        assert search.rows_read <= 100
        assert search.index == index


async def test_a_name_bounds_what_is_looked_at_of_an_index(store: Store) -> None:
    await with_statuses(store)
    await indexed(store, "status", shards=THREE)
    ok = condition("status", Op.EQ, "ok")
    search = LocalSearch(store, Search(THREE, name="n1", criteria=ok))
    found = await pages_of(search)
    assert {each.record.entity.name for each in found} == {"n1"}
    assert len(found) == search.rows_read == 60
    after = replace(Search(THREE, name="n1", criteria=ok), after=found[9].place)
    assert await pages_of(LocalSearch(store, after)) == found[10:]


async def test_a_wide_range_is_scanned(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_search, "PLAN_RANGE_MAX_ROWS", 90)
    await with_statuses(store)
    await indexed(store, "n", shards=THREE)
    for bound, index in ((31, "n < 31"), (200, "")):
        search = LocalSearch(store, Search(THREE, criteria=condition("n", Op.LT, bound)))
        assert len(await pages_of(search)) == bound - 1
        assert search.index == index


async def test_a_lookup_of_very_many_keys_is_not_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_search, "PLAN_WALKS_MAX", 6)
    await with_statuses(store)
    await indexed(store, "status", "n", shards=THREE)
    for values, index in (((5, 7), "n in (5, 7)"), ((5, 6, 7), "")):
        search = LocalSearch(store, Search(THREE, criteria=condition("n", Op.IN, IntArray(values))))
        assert [each.record.entity.id for each in await pages_of(search)]
        assert search.index == index


async def test_what_is_listed_of_an_index_is_bounded_in_bytes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_search, "PLAN_LISTED_MAX_BYTES", 13_000)
    await write(store, *(record(f"n/{i}" + "x" * 3000, t=i) for i in range(6)))
    await indexed(store, "t")
    for bound, index in ((3, "t < 3"), (5, "")):
        search = LocalSearch(store, Search(ONE, criteria=condition("t", Op.LT, bound)))
        assert len(await pages_of(search)) == bound
        assert search.index == index


async def test_shards_without_the_index_are_scanned(store: Store) -> None:
    await with_statuses(store)
    await indexed(store, "status", shards=THREE[:2])
    search = LocalSearch(store, Search(THREE, criteria=condition("status", Op.EQ, "bad")))
    assert len(await pages_of(search)) == 6
    assert search.rows_read == 104
    assert search.index == 'status = "bad" in 2 of 3 shards'


async def test_an_index_that_is_being_built_is_not_used(store: Store) -> None:
    await with_statuses(store)
    for shard in THREE:
        await store.want_index(shard, "status")
    assert await store.build_indexes(limit=10)
    search = LocalSearch(store, Search(THREE, criteria=condition("status", Op.EQ, "bad")))
    assert len(await pages_of(search)) == 6
    assert search.index == ""


@pytest.mark.parametrize("order_by", ["", "n"])
async def test_an_index_that_is_dropped_meanwhile_is_done_without(
    store: Store, order_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_search, "PLAN_SORT_MAX_ROWS", 60)
    await with_statuses(store)
    criteria = condition("status", Op.EQ, "ok")
    expected = await pages_of(LocalSearch(store, Search(THREE, criteria=criteria, order_by=order_by)))
    await indexed(store, "status", "n", shards=THREE)

    async def drop() -> None:
        for shard in THREE:
            for tag in store.indexes(shard):
                await store.drop_index(shard, tag)

    search = LocalSearch(store, Search(THREE, criteria=criteria, order_by=order_by, expected=10))
    first = await search.next_page()
    assert search.index
    await drop()
    assert [*(first or ()), *await pages_of(search)] == expected
    assert search.index == ""
