"""What a search costs the others: how much it reads in one step, and when other tasks get their turn."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import Record
from gossipnode.core.query.criteria import Op
from gossipnode.core.query.search import Search
from gossipnode.node.search.feeds import SCAN_PAGE_MIN_RECORDS
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.store.interface import Store
from tests.node.search.searching import ONE, condition, write
from tests.node.support import make_local, put
from tests.records import record


@pytest.mark.parametrize("order_by", ["", "t"])
async def test_a_search_says_something_while_it_finds_nothing(store: Store, order_by: str) -> None:
    await write(store, *(record(f"n/{i}", t=i) for i in range(500)))
    search = LocalSearch(store, Search(ONE, order_by=order_by, criteria=condition("t", Op.LT, 0)))
    pages = 0
    while (page := await search.next_page()) is not None:
        assert page == []
        pages += 1
    assert pages >= 500 // 64


async def test_other_tasks_get_their_turn_between_large_records(store: Store) -> None:
    await write(store, *(record(f"n/{i}", t=i, big="x" * 300_000) for i in range(8)))
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


@pytest.mark.slow
async def test_a_scan_of_many_shards_keeps_few_records_of_each() -> None:
    """Each shard's page is in memory at once, and a record may have a mebibyte."""
    local = make_local(groups={"sw": 64})
    await put(local, *(record(f"n/{i}") for i in range(2000)))
    search = LocalSearch(local.store, Search(tuple(local.shards.shards_of("sw"))))
    found: list[Record] = []
    held = 0
    while (page := await search.next_page()) is not None:
        held = max(held, search.rows_read - len(found))
        found += [each.record for each in page]
    assert [one.entity for one in found] == sorted(one.entity for one in found)
    assert len(found) == 2000
    assert held <= 64 * SCAN_PAGE_MIN_RECORDS
