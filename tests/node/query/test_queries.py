"""Queries of a node alone: what is found, in which order, and how much of it is kept in memory."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.model.errors import InvalidEntityError
from gossipnode.core.model.property import Record
from gossipnode.core.model.tag_value import TagValue
from gossipnode.core.query.criteria import Condition, LogicalExpression, LogicalOp, Op
from gossipnode.core.query.query import Query
from gossipnode.node.refusals.request_errors import UnknownGroupError
from gossipnode.node.search import ordering
from gossipnode.store.memory import MemoryStore
from gossipnode.wire.wire_errors import WireError
from tests.node.support import Alone, Start, put, tags_of
from tests.records import entity, record


async def asked(alone: Alone, query: Query) -> list[Record]:
    found: list[Record] = []
    async with alone.queries.open(query) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += page
    return found


async def keys(alone: Alone, query: Query) -> list[str]:
    return [one.entity.text for one in await asked(alone, query)]


async def test_records_come_in_key_order_over_groups_and_shards(start: Start) -> None:
    alone = await start(groups={"sw": 5, "flags": 3})
    everything = [record(f"n{i % 7}/{i}", group=group) for group in ("sw", "flags") for i in range(400)]
    await put(alone.local, *everything)
    found = await keys(alone, Query(("sw", "flags", "sw"), limit=10_000))
    assert found == [one.entity.text for one in sorted(everything, key=lambda one: one.entity)]


async def test_deleted_records_are_not_found(start: Start) -> None:
    alone = await start()
    await put(alone.local, record("n/1"), record("n/2", delete_time=5))
    assert await keys(alone, Query(("sw",))) == ["sw/n/1"]


@pytest.mark.parametrize(("limit", "expected"), [(0, 100), (1, 1), (64, 64), (65, 65), (1000, 150)])
async def test_the_limit(start: Start, limit: int, expected: int) -> None:
    alone = await start(groups={"sw": 3})
    await put(alone.local, *(record(f"n/{i:03}") for i in range(150)))
    found = await keys(alone, Query(("sw",), limit=limit))
    assert found == [f"sw/n/{i:03}" for i in range(expected)]


async def test_pages_behind_a_key_join_without_gap_or_repeat(start: Start) -> None:
    alone = await start(groups={"sw": 3, "aa": 2})
    await put(alone.local, *(record(f"n/{i:03}", group=group) for i in range(50) for group in ("sw", "aa")))
    whole = await keys(alone, Query(("sw", "aa"), limit=1000))
    joined: list[str] = []
    query = Query(("sw", "aa"), limit=7)
    while page := await asked(alone, query):
        joined += [one.entity.text for one in page]
        query = Query(("sw", "aa"), limit=7, after=page[-1].entity)
    assert joined == whole


async def test_behind_a_key_that_is_not_there(start: Start) -> None:
    alone = await start()
    await put(alone.local, record("n/1"), record("n/3"))
    assert await keys(alone, Query(("sw",), after=entity("n/2"))) == ["sw/n/3"]


async def test_a_name_alone_scans_that_name(start: Start) -> None:
    alone = await start(groups={"sw": 2})
    await put(alone.local, *(record(f"{name}/{i}") for name in ("a", "a-b", "b") for i in range(5)))
    assert await keys(alone, Query(("sw",), name="a")) == [f"sw/a/{i}" for i in range(5)]


async def test_ids_with_a_name_are_read_by_key_and_without_one_scanned(start: Start) -> None:
    alone = await start(groups={"sw": 2})
    await put(alone.local, *(record(f"{name}/{i}") for name in ("a", "b") for i in range(5)))
    ids = frozenset(["4", "1", "nope"])
    assert await keys(alone, Query(("sw",), name="a", ids=ids)) == ["sw/a/1", "sw/a/4"]
    assert await keys(alone, Query(("sw",), name="a", ids=ids, after=entity("a/1"))) == ["sw/a/4"]
    assert await keys(alone, Query(("sw",), ids=ids)) == ["sw/a/1", "sw/a/4", "sw/b/1", "sw/b/4"]


async def test_a_wrong_id_is_an_error(start: Start) -> None:
    with pytest.raises(InvalidEntityError):
        await asked(await start(), Query(("sw",), name="n", ids=frozenset(["x" * 5000])))


async def test_criteria_choose_records(start: Start) -> None:
    alone = await start(groups={"sw": 2})
    await put(alone.local, *(record(f"n/{i}", n=i, even=str(i % 2 == 0)) for i in range(10)))
    criteria = LogicalExpression(LogicalOp.AND, Condition("n", Op.GT, 3), Condition("even", Op.EQ, "True"))
    assert await keys(alone, Query(("sw",), criteria=criteria)) == ["sw/n/4", "sw/n/6", "sw/n/8"]


async def test_a_projection_leaves_the_tags_asked_for(start: Start) -> None:
    alone = await start()
    await put(alone.local, record("n/1", a=1, b=2, c=3))
    (found,) = await asked(alone, Query(("sw",), select=("c", "a", "nope")))
    assert tags_of(found) == {"a": 1, "c": 3}


async def test_criteria_and_order_may_use_tags_that_are_not_selected(start: Start) -> None:
    alone = await start()
    await put(alone.local, record("n/1", a=1, b=2), record("n/2", a=2, b=1), record("n/3", a=3, b=0))
    query = Query(("sw",), select=("a",), criteria=Condition("b", Op.GE, 1), order_by="b")
    assert [tags_of(one) for one in await asked(alone, query)] == [{"a": 2}, {"a": 1}]


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize(("descending", "order"), [(False, "2503164x"), (True, "6130524x")])
async def test_an_order_by_a_tag_with_missing_ones_last_in_both_directions(
    start: Start, shards: int, descending: bool, order: str
) -> None:
    alone = await start(groups={"sw": shards})
    values: list[TagValue] = [3, "b", 1, "a", None, 2, "c"]
    await put(alone.local, *(record(f"n/{i}", t=value) for i, value in enumerate(values)))
    await put(alone.local, record("n/x", o=1))
    query = Query(("sw",), order_by="t", descending=descending)
    assert await keys(alone, query) == [f"sw/n/{i}" for i in order]
    joined: list[str] = []
    query = Query(("sw",), order_by="t", descending=descending, limit=2)
    while page := await asked(alone, query):
        joined += [one.entity.id for one in page]
        query = Query(("sw",), order_by="t", descending=descending, limit=2, after=page[-1].entity)
    assert "".join(joined) == order


async def test_an_ordered_limit_over_many_records_keeps_the_first_ones(start: Start) -> None:
    alone = await start(groups={"sw": 3})
    await put(alone.local, *(record(f"n/{i:04}", t=(i * 7919) % 1000) for i in range(1000)))
    query = Query(("sw",), order_by="t", limit=10)
    assert [tags_of(one)["t"] for one in await asked(alone, query)] == list(range(10))


async def test_an_order_behind_a_record_that_is_not_there_is_refused(start: Start) -> None:
    """Such a record has no place in the order, and to leave out all records with the tag would be wrong."""
    alone = await start()
    await put(alone.local, record("n/1", t=1), record("n/2", t=2))
    with pytest.raises(WireError, match="after: there is no record 'sw/n/gone'"):
        await asked(alone, Query(("sw",), order_by="t", after=entity("n/gone")))


async def test_an_order_behind_a_deleted_record_goes_on_from_its_place(start: Start) -> None:
    alone = await start()
    await put(alone.local, record("n/1", t=1), record("n/2", delete_time=9, t=2), record("n/3", t=3))
    assert await keys(alone, Query(("sw",), order_by="t", after=entity("n/2"))) == ["sw/n/3"]


async def test_an_ordered_answer_beyond_the_memory_of_a_query_comes_whole(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = await start()
    await put(alone.local, *(record(f"n/{i:03}", t=i * 37 % 100, big="x" * 5000) for i in range(100)))
    monkeypatch.setattr(ordering, "QUERY_MAX_BYTES", 300_000)
    for limit in (1, 20, 45, 100):
        found = await asked(alone, Query(("sw",), order_by="t", limit=limit))
        assert [tags_of(one)["t"] for one in found] == list(range(limit))


async def test_many_small_records_count_with_what_their_objects_cost(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their payloads alone would fit, and would need one pass only."""
    alone = await start()
    records = [record(f"n/{i:04}", t=i) for i in range(1000)]
    assert sum(len(one.payload) for one in records) < 250_000
    await put(alone.local, *records)
    monkeypatch.setattr(ordering, "QUERY_MAX_BYTES", 500_000)
    found: list[Record] = []
    async with alone.queries.open(Query(("sw",), order_by="t", limit=1000)) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += page
    assert found == records
    (report,) = under_way.trace.reports
    assert report.rows_read >= 2 * len(records)


async def test_unknown_groups_are_refused_before_anything_is_read(start: Start) -> None:
    alone = await start()
    alone.local.store.scan = None  # type: ignore[method-assign,assignment]
    with pytest.raises(UnknownGroupError, match="'nope'"):
        await asked(alone, Query(("sw", "nope")))


@pytest.mark.parametrize("order_by", ["", "t"])
async def test_a_query_given_up_in_the_middle_reads_no_more(
    start: Start, order_by: str, autojump_clock: object
) -> None:
    alone = await start(groups={"sw": 3})
    await put(alone.local, *(record(f"n/{i}", t=i) for i in range(500)))
    assert isinstance(alone.local.store, MemoryStore)
    scan, scans = alone.local.store.scan, 0

    async def counted(*args: Any, **options: Any) -> list[Record]:
        nonlocal scans
        scans += 1
        return await scan(*args, **options)

    alone.local.store.scan = counted  # type: ignore[method-assign]
    with trio.fail_after(5):
        async with alone.queries.open(Query(("sw",), order_by=order_by, limit=400)) as under_way:
            assert await under_way.next_page()
            # It reads a little ahead, and there is more to come.
            await trio.testing.wait_all_tasks_blocked()
            begun = scans
    assert scans == begun
    assert len(await asked(alone, Query(("sw",), limit=400))) == 400


async def test_records_that_change_while_a_query_runs_do_no_harm(start: Start) -> None:
    alone = await start(groups={"sw": 2})
    await put(alone.local, *(record(f"n/{i:03}") for i in range(300)))
    found: list[str] = []
    async with alone.queries.open(Query(("sw",), limit=1000)) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += [one.entity.id for one in page]
            await put(
                alone.local,
                record(f"n/{len(found):03}x", revision=2),
                record("n/299", revision=3, delete_time=4),
            )
    assert sorted(set(found)) == found
    assert {f"{i:03}" for i in range(290)} <= set(found)
