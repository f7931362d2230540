"""Records in the order of a tag: sorted in passes of bounded memory, or along an index."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from gossipnode.core.model.property import Record
from gossipnode.core.model.tag_value import NO_VALUE, IntArray, StrArray, TagValue, Timestamp
from gossipnode.core.query.criteria import Op
from gossipnode.core.query.search import Search
from gossipnode.node.search import feeds, local_search, ordering
from gossipnode.node.search.feeds import SCAN_PAGE_RECORDS
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.store.interface import Store
from gossipnode.wire.property.property_edit import read_tags
from tests.node.search.searching import (
    LONG,
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
from tests.records import record

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
    await write(store, *(record(f"n/{i:02}", t=value) for i, value in enumerate(MIXED)), record("n/14", u=1))
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
    await write(store, record("x/1", u=1))
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
    await write(store, *(record(f"n/{i}", t=f"{LONG}{i * 7919 % 300:03}") for i in range(300)))
    await write(store, record("n/a", t="a"), record("n/z", t="q"), record("n/none", u=1))
    await indexed(store, "t")
    for descending in (False, True):
        search = LocalSearch(store, Search(ONE, order_by="t", descending=descending))
        found = await pages_of(search)
        values = [each.place.value for each in found[:-1]]
        assert values == sorted(values, reverse=descending)  # type: ignore[type-var]
        assert len(values) == 302
        assert found[-1].record.entity.id == "none"
        assert search.index == "order by t"


class Watched(bytes):
    """A payload that is counted as long as anybody keeps it."""

    alive: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, *_: bytes) -> None:
        Watched.alive += 1
        Watched.most = max(Watched.most, Watched.alive)

    def __del__(self) -> None:
        Watched.alive -= 1


class WatchedStore:
    """A store whose scans give payloads of their own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        Watched.alive = Watched.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def scan(self, *args: Any, **options: Any) -> list[Record]:
        found = await self._store.scan(*args, **options)
        return [replace(each, payload=Watched(each.payload)) for each in found]


@pytest.mark.slow
@pytest.mark.parametrize("descending", [False, True])
async def test_memory_stays_bounded_while_everything_is_sorted(
    store: Store, monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    bound = 100_000
    monkeypatch.setattr(ordering, "QUERY_MAX_BYTES", bound)
    await write(store, *(record(f"n/{i}", t=i * 7919 % 500, big="x" * 500) for i in range(500)))
    size = ordering.QUERY_RECORD_OVERHEAD_BYTES + len(record("n/1", t=1, big="x" * 500).payload)
    watched: Any = WatchedStore(store)
    search = LocalSearch(watched, Search(ONE, order_by="t", descending=descending))
    values: list[object] = []
    while (page := await search.next_page()) is not None:
        values += [each.place.value for each in page]
        del page
    assert values == sorted(range(500), reverse=descending)
    # What was kept, a page that is sorted in, and the one after it.
    assert bound < Watched.most * size <= bound + 2 * SCAN_PAGE_RECORDS * size
    assert Watched.alive == 0
    # Each pass gave what fits.
    assert 500 * 4 < search.rows_read <= 500 * 12


@pytest.mark.parametrize(
    "value", ["日本" * 1000, b"x" * 5000, IntArray(range(1000, 3000)), StrArray(f"{i}" for i in range(500))]
)
async def test_a_large_value_counts_with_what_it_takes_in_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch, value: TagValue
) -> None:
    """All of them together are one byte over the bound, and so take two passes."""
    large = [record(f"n/{i}", t=value) for i in range(8)]
    read = read_tags(large[0].payload)["t"]
    taken = len(large[0].payload) + sys.getsizeof(read)
    if isinstance(read, StrArray | IntArray):
        taken += sum(map(sys.getsizeof, read))
    monkeypatch.setattr(ordering, "QUERY_MAX_BYTES", 8 * taken - 1)
    await write(store, *large)
    search = LocalSearch(store, Search(ONE, order_by="t"))
    assert [each.record for each in await pages_of(search)] == large
    assert search.rows_read > 8


async def test_a_pass_keeps_about_as_many_as_are_expected(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "PASS_MIN_RECORDS", 10)
    monkeypatch.setattr(ordering, "PASS_FRESH_RECORDS", 4)
    await write(store, *(record(f"n/{i}", t=i * 7919 % 500) for i in range(500)))
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
    await write(store, *(record(f"n/{i}", t=i, big="x" * 5000) for i in range(5)))
    assert await ids(store, Search(ONE, order_by="t", descending=True)) == "4 3 2 1 0"
