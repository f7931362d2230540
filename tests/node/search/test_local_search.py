"""What a replica finds for a query: the right records in the right order, with little read for it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.tag_value import (
    INT64_MAX,
    INT64_MIN,
    NO_VALUE,
    IntArray,
    StrArray,
    TagValue,
    Timestamp,
)
from gossipnode.core.model.version import Version, payload_digest
from gossipnode.core.query.criteria import (
    Condition,
    Criteria,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    matches,
)
from gossipnode.core.query.index_key import IndexRow, index_rows
from gossipnode.core.query.lookup import wanted_indexes
from gossipnode.core.query.search import Place, Search, place_key, place_of
from gossipnode.node.search import feeds, local_search, ordering
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.node.search.ordering import FoundRecord as Found
from gossipnode.store.interface import IndexState, Store
from gossipnode.store.memory import MemoryStore
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from gossipnode.wire.property.canonical_json import leaf_digest
from gossipnode.wire.property.property_edit import build_property, read_tags

ONE = (ShardId("g", 0),)
THREE = (ShardId("g", 0), ShardId("g", 1), ShardId("h", 0))
LONG = "p" * 70

Pause = Callable[[], Awaitable[None]]


def rows_of(payload: bytes, tags: Collection[str]) -> list[IndexRow]:
    return index_rows(read_tags(payload, tags), tags)


@asynccontextmanager
async def open_store(kind: str, directory: Path) -> AsyncIterator[Store]:
    digest = partial(leaf_digest, spacing="none")
    if kind == "memory":
        yield MemoryStore(leaf_digest=digest, index_rows=rows_of)
        return
    async with open_sqlite_store(directory, leaf_digest=digest, dialect="none", index_rows=rows_of) as store:
        yield store


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path / "data") as opened:
        yield opened


def made(entity: Entity, tags: Mapping[str, TagValue], *, revision: int = 1, deleted: int = 0) -> Record:
    payload = build_property(entity, tags, mod_revision=revision)
    return Record(entity, Version(revision, deleted, payload_digest(payload)), payload)


def tagged(
    key: str, shard: ShardId = ONE[0], *, deleted: int = 0, revision: int = 1, **tags: TagValue
) -> Record:
    name, _, item = key.partition("/")
    return made(Entity(shard.group, name, item), tags, revision=revision, deleted=deleted)


async def put(store: Store, *records: Record, shard: ShardId = ONE[0]) -> None:
    await store.write([(shard, record) for record in records])


async def indexed(store: Store, *tags: str, shards: Sequence[ShardId] = ONE) -> None:
    for shard in shards:
        for tag in tags:
            await store.want_index(shard, tag)
    while await store.build_indexes(limit=1000):
        pass
    for shard in shards:
        assert all(store.indexes(shard)[tag] is IndexState.READY for tag in tags)


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


async def pages_of(search: LocalSearch, *, pause: Pause = nothing, most: int | None = None) -> list[Found]:
    found: list[Found] = []
    while (page := await search.next_page()) is not None:
        found += page
        if most is not None and len(found) >= most:
            break
        await pause()
    return found


async def ids(store: Store, search: Search) -> str:
    return " ".join(found.record.entity.id for found in await pages_of(LocalSearch(store, search)))


def condition(name: str, op: Op, value: TagValue) -> Condition:
    return Condition(name, op, value)


def both(*sides: Criteria) -> Criteria:
    whole = sides[0]
    for side in sides[1:]:
        whole = LogicalExpression(LogicalOp.AND, whole, side)
    return whole


# --- by key ---


async def test_records_come_in_key_order_over_groups_and_shards(store: Store) -> None:
    for number, shard in enumerate(THREE):
        await put(store, *(tagged(f"n{i % 7}/{i}", shard, n=i) for i in range(number, 300, 3)), shard=shard)
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
        await put(store, *(tagged(f"{name}/{name}{i}", t=i) for i in range(4)))
    assert await ids(store, Search(ONE, name="b")) == "b0 b1 b2 b3"
    assert await ids(store, Search(ONE, ids=frozenset(["a3", "c0", "x"]))) == "a3 c0"
    search = LocalSearch(store, Search(ONE, name="b", ids=frozenset(["b3", "a1", "b1"])))
    assert [each.record.entity.id for each in await pages_of(search)] == ["b1", "b3"]
    assert search.rows_read == 2
    assert search.index == "key"


async def test_named_records_are_looked_for_in_every_shard(store: Store) -> None:
    for shard, item in zip(THREE, "321", strict=True):
        await put(store, tagged(f"n/{item}", shard, t=item), shard=shard)
    named = Search(THREE, name="n", ids=frozenset("123"))
    assert await ids(store, named) == "2 3 1"
    assert await ids(store, replace(named, after=Place(Entity("g", "n", "2")))) == "3 1"
    assert await ids(store, replace(named, order_by="t", descending=True)) == "3 2 1"


async def test_tombstones_come_only_when_asked_for_and_then_whatever_the_criteria(store: Store) -> None:
    await put(store, tagged("n/1", t=1), tagged("n/2", t=1, deleted=9), tagged("n/3", t=2))
    await indexed(store, "t")
    one = condition("t", Op.EQ, 1)
    assert await ids(store, Search(ONE)) == "1 3"
    assert await ids(store, Search(ONE, tombstones=True)) == "1 2 3"
    assert await ids(store, Search(ONE, tombstones=True, criteria=condition("t", Op.EQ, 2))) == "2 3"
    assert await ids(store, Search(ONE, tombstones=True, order_by="t", descending=True)) == "3 1 2"
    assert await ids(store, Search(ONE, tombstones=True, name="n", ids=frozenset("12"))) == "1 2"
    assert await ids(store, Search(ONE, criteria=one)) == "1"


async def test_a_record_that_cannot_be_read_matches_nothing_and_breaks_nothing(store: Store) -> None:
    broken = b"\xff\xff\xff"
    bad = Record(Entity("g", "n", "2"), Version(1, 0, payload_digest(broken)), broken)
    await put(store, tagged("n/1", t=1), bad, tagged("n/3", t=3))
    for index in (False, True):
        if index:
            await indexed(store, "t")
        assert await ids(store, Search(ONE, criteria=condition("t", Op.NE, 9))) == "1 3"
        assert await ids(store, Search(ONE, criteria=condition("t", Op.GE, 1))) == "1 3"
        assert await ids(store, Search(ONE, order_by="t")) == "1 3"


# --- by an index ---


async def with_statuses(store: Store, count: int = 300) -> None:
    """Half are ok, every fiftieth is bad; `n` counts down."""
    states = ["bad" if i % 50 == 0 else "ok" if i % 2 else "warm" for i in range(count)]
    for shard_number, shard in enumerate(THREE):
        await put(
            store,
            *(
                tagged(
                    f"n{i % 5 % 3}/{i:04}",
                    shard,
                    status=states[i],
                    n=count - i,
                    tags=StrArray((f"t{i % 25}",)),
                )
                for i in range(shard_number, count, 3)
            ),
            shard=shard,
        )


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
    await put(store, *(tagged(f"n/{i}" + "x" * 3000, t=i) for i in range(6)))
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


# --- in the order of a tag ---

MIXED: list[TagValue] = [
    3,
    LONG + "b",
    None,
    1,
    "ä",
    IntArray((1, 2)),
    LONG + "a",
    Timestamp(5, 0),
    b"x",
    LONG,
    "日本",
    StrArray((LONG,)),
    NO_VALUE,
    -7,
]
ASCENDING = [13, 3, 0, 9, 6, 1, 4, 10, 7, 8, 5, 11]
LACKING = [2, 12, 14]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("index", [False, True])
async def test_an_order_with_missing_ones_last_in_both_directions(
    store: Store, index: bool, descending: bool
) -> None:
    await put(store, *(tagged(f"n/{i:02}", t=value) for i, value in enumerate(MIXED)), tagged("n/14", u=1))
    if index:
        await indexed(store, "t")
    search = Search(ONE, order_by="t", descending=descending)
    walk = LocalSearch(store, search)
    found = await pages_of(walk)
    order = (ASCENDING[::-1] if descending else ASCENDING) + LACKING
    assert [int(each.record.entity.id) for each in found] == order
    assert walk.index == ("order by t" if index else "")
    for at, each in enumerate(found):
        behind = LocalSearch(store, replace(search, after=each.place))
        assert await pages_of(behind) == found[at + 1 :]


async def test_an_order_is_walked_along_its_index(store: Store) -> None:
    await with_statuses(store)
    await indexed(store, "n", shards=THREE)
    for descending, first in ((False, 1), (True, 300)):
        search = LocalSearch(store, Search(THREE, order_by="n", descending=descending, expected=20))
        found = await pages_of(search, most=20)
        step = -1 if descending else 1
        assert [each.place.value for each in found] == list(range(first, first + step * len(found), step))
        assert search.rows_read == len(found) <= 40
        assert search.index == "order by n"


async def test_a_range_bounds_the_walk(store: Store) -> None:
    await with_statuses(store)
    await put(store, tagged("x/1", u=1))
    await indexed(store, "n", shards=THREE)
    criteria = both(condition("n", Op.GT, 200), condition("n", Op.LE, 210))
    for descending in (False, True):
        search = LocalSearch(store, Search(THREE, criteria=criteria, order_by="n", descending=descending))
        values = [each.place.value for each in await pages_of(search)]
        assert values == (list(range(210, 200, -1)) if descending else list(range(201, 211)))
        assert search.rows_read == 11
        assert search.index == "order by n, n > 200 and n <= 210"


async def test_few_records_of_another_index_are_sorted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_search, "PLAN_SORT_MAX_ROWS", 60)
    await with_statuses(store)
    await indexed(store, "status", "n", shards=THREE)
    for status, index, rows in (("bad", 'status = "bad"', 6), ("ok", "order by n", 300)):
        criteria = condition("status", Op.EQ, status)
        search = LocalSearch(store, Search(THREE, criteria=criteria, order_by="n"))
        values = [each.place.value for each in await pages_of(search)]
        assert values == sorted(values)  # type: ignore[type-var]
        assert search.index == index
        assert search.rows_read == rows


async def test_hits_are_sorted_when_the_order_has_no_index(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_search, "PLAN_SORT_MAX_ROWS", 60)
    await with_statuses(store)
    await indexed(store, "status", shards=THREE)
    search = LocalSearch(store, Search(THREE, criteria=condition("status", Op.EQ, "ok"), order_by="n"))
    values = [each.place.value for each in await pages_of(search)]
    assert values == sorted(values)  # type: ignore[type-var]
    assert len(values) == search.rows_read == 150
    assert search.index == 'status = "ok"'


@pytest.mark.slow
async def test_many_values_of_one_cut_key_are_in_exact_order(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sorted in passes, so that their number does not matter."""
    monkeypatch.setattr(ordering, "QUERY_MAX_BYTES", 30_000)
    monkeypatch.setattr(feeds, "INDEX_PAGE_ROWS", 64)
    await put(store, *(tagged(f"n/{i}", t=f"{LONG}{i * 7919 % 300:03}") for i in range(300)))
    await put(store, tagged("n/a", t="a"), tagged("n/z", t="q"), tagged("n/none", u=1))
    await indexed(store, "t")
    for descending in (False, True):
        search = LocalSearch(store, Search(ONE, order_by="t", descending=descending))
        found = await pages_of(search)
        values = [each.place.value for each in found[:-1]]
        assert values == sorted(values, reverse=descending)  # type: ignore[type-var]
        assert len(values) == 302
        assert found[-1].record.entity.id == "none"
        assert search.index == "order by t"


@pytest.mark.slow
@pytest.mark.parametrize("descending", [False, True])
async def test_memory_stays_bounded_while_everything_is_sorted(
    store: Store, monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    bound = 100_000
    monkeypatch.setattr(ordering, "QUERY_MAX_BYTES", bound)
    await put(store, *(tagged(f"n/{i}", t=i * 7919 % 500, big="x" * 500) for i in range(500)))
    kept: list[int] = []
    sort_in = ordering.Passes._sort_in

    def watched(passes: ordering.Passes) -> None:
        kept.append(sum(ordering._bytes_of(found) for _, found in (*passes._kept, *passes._fresh)))
        sort_in(passes)
        assert sum(ordering._bytes_of(found) for _, found in passes._kept) <= bound

    monkeypatch.setattr(ordering.Passes, "_sort_in", watched)
    search = LocalSearch(store, Search(ONE, order_by="t", descending=descending))
    values = [each.place.value for each in await pages_of(search)]
    assert values == sorted(range(500), reverse=descending)
    page = 64 * (500 + 2048)
    assert bound < max(kept) <= bound + page
    # Each pass gave what fits.
    assert 500 * 4 < search.rows_read <= 500 * 12


@pytest.mark.parametrize(
    "value", ["日本" * 1000, b"x" * 5000, IntArray(range(1000, 3000)), StrArray(f"{i}" for i in range(500))]
)
def test_a_large_value_counts_with_what_it_takes_in_memory(value: TagValue) -> None:
    record = tagged("n/1", t=value)
    taken = len(record.payload) + sys.getsizeof(value)
    if isinstance(value, StrArray | IntArray):
        taken += sum(map(sys.getsizeof, value))
    assert ordering._bytes_of(Found(ONE[0], record, Place(record.entity, value))) >= taken


async def test_a_pass_keeps_about_as_many_as_are_expected(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "PASS_MIN_RECORDS", 10)
    monkeypatch.setattr(ordering, "PASS_FRESH_RECORDS", 4)
    await put(store, *(tagged(f"n/{i}", t=i * 7919 % 500) for i in range(500)))
    search = LocalSearch(store, Search(ONE, order_by="t", expected=20))
    found = await pages_of(search, most=20)
    assert [each.place.value for each in found] == list(range(40))
    assert search.rows_read == 500
    # Whoever goes on gets more by each pass: 160, then the rest.
    found += await pages_of(search)
    assert [each.place.value for each in found] == list(range(500))
    assert search.rows_read == 1500


async def test_one_record_larger_than_the_bound_still_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "QUERY_MAX_BYTES", 1000)
    await put(store, *(tagged(f"n/{i}", t=i, big="x" * 5000) for i in range(5)))
    assert await ids(store, Search(ONE, order_by="t", descending=True)) == "4 3 2 1 0"


# --- what it costs the others ---


@pytest.mark.parametrize("order_by", ["", "t"])
async def test_a_search_says_something_while_it_finds_nothing(store: Store, order_by: str) -> None:
    await put(store, *(tagged(f"n/{i}", t=i) for i in range(500)))
    search = LocalSearch(store, Search(ONE, order_by=order_by, criteria=condition("t", Op.LT, 0)))
    pages = 0
    while (page := await search.next_page()) is not None:
        assert page == []
        pages += 1
    assert pages >= 500 // 64


async def test_other_tasks_get_their_turn_between_large_records(store: Store) -> None:
    await put(store, *(tagged(f"n/{i}", t=i, big="x" * 300_000) for i in range(8)))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        search = LocalSearch(store, Search(ONE, criteria=condition("t", Op.GE, 0)))
        assert len(await search.next_page() or ()) == 8
        nursery.cancel_scope.cancel()
    # One between each two of them, whatever the store gives besides.
    assert turns >= 6


# --- against a plain filter and sort ---

TAG_NAMES = ("a", "b")
NAMES = ("m", "n")

texts = st.one_of(
    st.sampled_from(["", "a", "ä", "日本", "日", "a\x00", "p" * 63, LONG, LONG + "q", LONG + "r"]),
    st.text(st.characters(codec="utf-8"), max_size=2),
)
numbers = st.one_of(st.integers(-2, 3), st.sampled_from([INT64_MIN, INT64_MAX]))
times = st.builds(Timestamp, st.integers(-1, 1), st.sampled_from([0, 1]))
str_arrays = st.lists(texts, max_size=3).map(StrArray)
int_arrays = st.lists(numbers, max_size=9).map(IntArray)
values: st.SearchStrategy[TagValue] = st.one_of(
    texts, numbers, times, st.none(), st.just(NO_VALUE), st.just(b"x"), str_arrays, int_arrays
)
compared = st.sampled_from([Op.EQ, Op.NE, Op.LT, Op.GT, Op.LE, Op.GE])
conditions: st.SearchStrategy[Criteria] = st.one_of(
    st.builds(Condition, st.sampled_from(TAG_NAMES), compared, st.one_of(texts, numbers, times)),
    st.builds(
        Condition,
        st.sampled_from(TAG_NAMES),
        st.sampled_from([Op.IN, Op.NOT_IN]),
        st.one_of(str_arrays, int_arrays),
    ),
    st.builds(
        Condition,
        st.sampled_from(TAG_NAMES),
        st.sampled_from([Op.HAVING, Op.NOT_HAVING]),
        st.one_of(texts, numbers, str_arrays, int_arrays),
    ),
    st.builds(Condition, st.sampled_from(TAG_NAMES), st.just(Op.MATCH), texts),
)
criteria_trees = st.recursive(
    conditions,
    lambda inner: st.builds(LogicalExpression, st.sampled_from(LogicalOp), inner, inner),
    max_leaves=4,
)
searches = st.builds(
    Search,
    st.lists(st.sampled_from(THREE), unique=True).map(tuple),
    name=st.sampled_from(["", "", "m", "n"]),
    ids=st.frozensets(st.sampled_from([f"{i}" for i in range(20)])).map(
        lambda some: some if len(some) > 4 else frozenset()
    ),
    criteria=st.one_of(st.none(), criteria_trees),
    order_by=st.sampled_from(["", "a", "b"]),
    descending=st.booleans(),
    tombstones=st.sampled_from([False, False, True]),
    expected=st.sampled_from([0, 1, 5]),
)
tag_sets = st.dictionaries(st.sampled_from(TAG_NAMES), values)


@dataclass(frozen=True)
class Scene:
    """Records with the shard of each, and which indexes are ready, or being built."""

    records: list[tuple[ShardId, Record]]
    ready: frozenset[tuple[ShardId, str]]
    building: frozenset[tuple[ShardId, str]]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(THREE), st.sampled_from(NAMES), st.integers(0, 19)),
            max_size=30,
            unique_by=lambda key: (key[0].group, key[1], key[2]),
        )
    )
    records = [
        (
            shard,
            made(
                Entity(shard.group, name, f"{number}"), draw(tag_sets), deleted=draw(st.integers(0, 4)) // 4
            ),
        )
        for shard, name, number in keys
    ]
    indexes = st.tuples(st.sampled_from(THREE), st.sampled_from(TAG_NAMES))
    everywhere = frozenset((shard, tag) for shard in THREE for tag in TAG_NAMES)
    ready = draw(st.one_of(st.just(everywhere), st.frozensets(indexes)))
    return Scene(records, ready, draw(st.frozensets(indexes)) - ready)


async def set_up(store: Store, scene: Scene) -> None:
    for shard, tag in sorted(scene.ready):
        await store.want_index(shard, tag)
    await store.write(scene.records)
    for shard, tag in sorted(scene.building):
        await store.want_index(shard, tag)


def plainly(search: Search, records: Sequence[tuple[ShardId, Record]]) -> list[Found]:
    """What is asked for, by nothing but the rules of criteria and order."""
    found: list[Found] = []
    for shard, record in records:
        tags = read_tags(record.payload)
        wanted = (
            search.tombstones if record.deleted else not search.criteria or matches(search.criteria, tags)
        )
        entity = record.entity
        if (
            wanted
            and shard in search.shards
            and (not search.name or entity.name == search.name)
            and (not search.ids or entity.id in search.ids)
        ):
            found.append(Found(shard, record, place_of(entity, tags, search.order_by)))
    return sorted(found, key=lambda each: place_key(each.place, search.order_by, search.descending))


def small_limits(patch: pytest.MonkeyPatch, tight: bool) -> None:
    """So that few records come in many pages, need many passes, and are too many for a shortcut."""
    for module in (local_search, feeds, ordering):
        if hasattr(module, "SCAN_PAGE_RECORDS"):
            patch.setattr(module, "SCAN_PAGE_RECORDS", 3)
        if hasattr(module, "SCAN_PAGE_MIN_RECORDS"):
            patch.setattr(module, "SCAN_PAGE_MIN_RECORDS", 2)
    patch.setattr(feeds, "INDEX_PAGE_ROWS", 4)
    patch.setattr(feeds, "INDEX_PAGE_MIN_ROWS", 2)
    patch.setattr(ordering, "PASS_MIN_RECORDS", 2)
    patch.setattr(ordering, "PASS_FRESH_RECORDS", 2)
    patch.setattr(ordering, "QUERY_MAX_BYTES", 6000)
    patch.setattr(local_search, "PLAN_PROBE_ROWS", 2)
    patch.setattr(local_search, "INDEX_READ_MAX_ROWS", 2)
    patch.setattr(local_search, "PLAN_RANGE_MAX_ROWS", 3 if tight else 100)
    patch.setattr(local_search, "PLAN_SORT_MAX_ROWS", 2 if tight else 100)


def run_in(kind: str, go: Callable[[Store], Awaitable[None]], *, tight: bool) -> None:
    async def main(directory: Path) -> None:
        async with open_store(kind, directory) as store:
            await go(store)

    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        small_limits(patch, tight)
        trio.run(main, Path(directory))


afters = st.builds(
    Place,
    st.builds(Entity, st.sampled_from("gh"), st.sampled_from(NAMES), st.sampled_from(["1", "15", "3"])),
    values.map(lambda value: NO_VALUE if value is None else value),
)


def many(count: int) -> settings:
    """Settings of a property test. No deadline: a busy machine is no failure."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, suppress_health_check=slow)


async def check_search(store: Store, scene: Scene, search: Search, after: Place) -> None:
    await set_up(store, scene)
    expected = plainly(search, scene.records)
    assert await pages_of(LocalSearch(store, search)) == expected
    for at, each in enumerate(expected):
        assert await pages_of(LocalSearch(store, replace(search, after=each.place))) == expected[at + 1 :]
    key = place_key(after, search.order_by, search.descending)
    behind = [e for e in expected if place_key(e.place, search.order_by, search.descending) > key]
    assert await pages_of(LocalSearch(store, replace(search, after=after))) == behind


@pytest.mark.slow
@given(scene=scenes(), search=searches, after=afters, tight=st.booleans())
@many(120)
def test_a_search_finds_what_a_filter_and_a_sort_would(
    scene: Scene, search: Search, after: Place, tight: bool
) -> None:
    run_in("memory", partial(check_search, scene=scene, search=search, after=after), tight=tight)


@pytest.mark.slow
@given(scene=scenes(), search=searches, after=afters, tight=st.booleans())
@many(30)
def test_a_search_of_a_file_finds_what_a_filter_and_a_sort_would(
    scene: Scene, search: Search, after: Place, tight: bool
) -> None:
    run_in("sqlite", partial(check_search, scene=scene, search=search, after=after), tight=tight)


@pytest.mark.slow
@given(
    scene=scenes(),
    search=searches,
    tight=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 19), tag_sets, st.booleans()), max_size=40),
    dropped=st.one_of(st.none(), st.integers(0, 10)),
)
@many(120)
def test_what_changes_meanwhile_disturbs_nothing_else(
    scene: Scene,
    search: Search,
    tight: bool,
    changes: list[tuple[int, dict[str, TagValue], bool]],
    dropped: int | None,
) -> None:
    """Records that stay as they are come once each, all in order; indexes may go away in between."""
    moving = [(shard, record) for shard, record in scene.records if int(record.entity.id) % 2]
    still = [each for each in scene.records if each not in moving]

    async def go(store: Store) -> None:
        await set_up(store, scene)
        pauses = 0

        async def change() -> None:
            nonlocal pauses
            pauses += 1
            if pauses == dropped:
                for shard, tag in scene.ready:
                    await store.drop_index(shard, tag)
            if moving and changes:
                which, tags, deleted = changes[pauses % len(changes)]
                shard, record = moving[which % len(moving)]
                await put(
                    store, made(record.entity, tags, revision=pauses + 1, deleted=int(deleted)), shard=shard
                )

        found = await pages_of(LocalSearch(store, search), pause=change)
        unmoved = [record.entity for _, record in still]
        assert [each for each in found if each.record.entity in unmoved] == plainly(search, still)
        keys = [place_key(each.place, search.order_by, search.descending) for each in found]
        assert all(one < other for one, other in pairwise(keys))
        for each in found:
            assert plainly(search, [(each.shard, each.record)]) == [each]

    run_in("memory", go, tight=tight)


def test_the_indexes_wanted_are_those_that_are_used() -> None:
    search = Search(ONE, criteria=condition("status", Op.EQ, "ok"), order_by="n")
    assert wanted_indexes(search) == {"status", "n"}
