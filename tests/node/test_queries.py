"""Queries over this node's records: what is found, in which order, and how much of it is kept in memory."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.criteria import Condition, LogicalExpression, LogicalOp, Op
from gossipnode.core.errors import InvalidEntityError
from gossipnode.core.property import Record
from gossipnode.core.tag_value import TagValue
from gossipnode.node import limits, queries
from gossipnode.node.queries import GroupScan, Query, QueryTooLargeError, run_query
from gossipnode.node.shards import Shards, UnknownGroupError
from gossipnode.wire.errors import WireError
from gossipnode.wire.payload import decode_record
from gossipnode.wire.property_edit import build_property

from .cluster import record
from .support import entity, make_shards, put, tags_of


def tagged(key: str, group: str = "sw", *, deleted: int = 0, **tags: TagValue) -> Record:
    return decode_record(build_property(entity(key, group), tags, mod_revision=1), deleted)


async def asked(shards: Shards, query: Query) -> list[Record]:
    return [one async for page in run_query(shards, query) for one in page]


async def keys(shards: Shards, query: Query) -> list[str]:
    return [one.entity.text for one in await asked(shards, query)]


async def test_records_come_in_key_order_over_groups_and_shards() -> None:
    shards = make_shards(groups={"sw": 5, "flags": 3})
    everything = [record(f"n{i % 7}/{i}", group=group) for group in ("sw", "flags") for i in range(400)]
    await put(shards, *everything)
    found = await keys(shards, Query(("sw", "flags", "sw"), limit=10_000))
    assert found == [one.entity.text for one in sorted(everything, key=lambda one: one.entity)]


async def test_deleted_records_are_not_found() -> None:
    shards = make_shards()
    await put(shards, record("n/1"), record("n/2", delete_time=5))
    assert await keys(shards, Query(("sw",))) == ["sw/n/1"]


@pytest.mark.parametrize(("limit", "expected"), [(0, 100), (1, 1), (64, 64), (65, 65), (1000, 150)])
async def test_the_limit(limit: int, expected: int) -> None:
    shards = make_shards(groups={"sw": 3})
    await put(shards, *(record(f"n/{i:03}") for i in range(150)))
    found = await keys(shards, Query(("sw",), limit=limit))
    assert found == [f"sw/n/{i:03}" for i in range(expected)]


async def test_pages_behind_a_key_join_without_gap_or_repeat() -> None:
    shards = make_shards(groups={"sw": 3, "aa": 2})
    await put(shards, *(record(f"n/{i:03}", group=group) for i in range(50) for group in ("sw", "aa")))
    whole = await keys(shards, Query(("sw", "aa"), limit=1000))
    joined: list[str] = []
    query = Query(("sw", "aa"), limit=7)
    while page := await asked(shards, query):
        joined += [one.entity.text for one in page]
        query = Query(("sw", "aa"), limit=7, after=page[-1].entity)
    assert joined == whole


async def test_behind_a_key_that_is_not_there() -> None:
    shards = make_shards()
    await put(shards, record("n/1"), record("n/3"))
    assert await keys(shards, Query(("sw",), after=entity("n/2"))) == ["sw/n/3"]


async def test_a_name_alone_scans_that_name() -> None:
    shards = make_shards(groups={"sw": 2})
    await put(shards, *(record(f"{name}/{i}") for name in ("a", "a-b", "b") for i in range(5)))
    assert await keys(shards, Query(("sw",), name="a")) == [f"sw/a/{i}" for i in range(5)]


async def test_ids_with_a_name_are_read_by_key_and_without_one_scanned() -> None:
    shards = make_shards(groups={"sw": 2})
    await put(shards, *(record(f"{name}/{i}") for name in ("a", "b") for i in range(5)))
    ids = frozenset(["4", "1", "nope"])
    assert await keys(shards, Query(("sw",), name="a", ids=ids)) == ["sw/a/1", "sw/a/4"]
    assert await keys(shards, Query(("sw",), name="a", ids=ids, after=entity("a/1"))) == ["sw/a/4"]
    assert await keys(shards, Query(("sw",), ids=ids)) == ["sw/a/1", "sw/a/4", "sw/b/1", "sw/b/4"]


async def test_a_wrong_id_is_an_error() -> None:
    with pytest.raises(InvalidEntityError):
        await asked(make_shards(), Query(("sw",), name="n", ids=frozenset(["x" * 5000])))


async def test_criteria_choose_records() -> None:
    shards = make_shards(groups={"sw": 2})
    await put(shards, *(tagged(f"n/{i}", n=i, even=str(i % 2 == 0)) for i in range(10)))
    criteria = LogicalExpression(LogicalOp.AND, Condition("n", Op.GT, 3), Condition("even", Op.EQ, "True"))
    assert await keys(shards, Query(("sw",), criteria=criteria)) == ["sw/n/4", "sw/n/6", "sw/n/8"]


async def test_a_projection_leaves_the_tags_asked_for() -> None:
    shards = make_shards()
    await put(shards, tagged("n/1", a=1, b=2, c=3))
    (found,) = await asked(shards, Query(("sw",), select=("c", "a", "nope")))
    assert tags_of(found) == {"a": 1, "c": 3}


async def test_criteria_and_order_may_use_tags_that_are_not_selected() -> None:
    shards = make_shards()
    await put(shards, tagged("n/1", a=1, b=2), tagged("n/2", a=2, b=1), tagged("n/3", a=3, b=0))
    query = Query(("sw",), select=("a",), criteria=Condition("b", Op.GE, 1), order_by="b")
    assert [tags_of(one) for one in await asked(shards, query)] == [{"a": 2}, {"a": 1}]


async def mixed(groups: dict[str, int]) -> Shards:
    shards = make_shards(groups=groups)
    values: list[TagValue] = [3, "b", 1, "a", None, 2, "c"]
    await put(shards, *(tagged(f"n/{i}", t=value) for i, value in enumerate(values)), tagged("n/x", o=1))
    return shards


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize(("descending", "order"), [(False, "2503164x"), (True, "6130524x")])
async def test_an_order_by_a_tag_with_missing_ones_last_in_both_directions(
    shards: int, descending: bool, order: str
) -> None:
    over = await mixed({"sw": shards})
    query = Query(("sw",), order_by="t", descending=descending)
    assert await keys(over, query) == [f"sw/n/{i}" for i in order]
    joined: list[str] = []
    query = Query(("sw",), order_by="t", descending=descending, limit=2)
    while page := await asked(over, query):
        joined += [one.entity.id for one in page]
        query = Query(("sw",), order_by="t", descending=descending, limit=2, after=page[-1].entity)
    assert "".join(joined) == order


async def test_an_ordered_limit_over_many_records_keeps_the_first_ones() -> None:
    shards = make_shards(groups={"sw": 3})
    await put(shards, *(tagged(f"n/{i:04}", t=(i * 7919) % 1000) for i in range(1000)))
    query = Query(("sw",), order_by="t", limit=10)
    assert [tags_of(one)["t"] for one in await asked(shards, query)] == list(range(10))


async def test_an_order_behind_a_record_that_is_not_there_is_refused() -> None:
    """It has no place in the order: leaving out all that have the tag would be a wrong answer."""
    shards = make_shards()
    await put(shards, tagged("n/1", t=1), tagged("n/2", t=2))
    with pytest.raises(WireError, match="after: there is no record 'sw/n/gone'"):
        await asked(shards, Query(("sw",), order_by="t", after=entity("n/gone")))


async def test_an_order_behind_a_deleted_record_goes_on_from_its_place() -> None:
    shards = make_shards()
    await put(shards, tagged("n/1", t=1), tagged("n/2", deleted=9, t=2), tagged("n/3", t=3))
    assert await keys(shards, Query(("sw",), order_by="t", after=entity("n/2"))) == ["sw/n/3"]


async def test_an_ordered_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = make_shards()
    await put(shards, *(tagged(f"n/{i:03}", t=i, big="x" * 5000) for i in range(100)))
    monkeypatch.setattr(queries, "QUERY_MAX_BYTES", 300_000)
    with pytest.raises(QueryTooLargeError):
        await asked(shards, Query(("sw",), order_by="t", limit=100))
    # The advice helps: fewer records, or fewer tags.
    for limit in (1, 20, 45):
        assert len(await asked(shards, Query(("sw",), order_by="t", limit=limit))) == limit
    assert len(await asked(shards, Query(("sw",), order_by="t", limit=100, select=("t",)))) == 100


async def test_many_small_records_count_with_what_their_objects_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shards = make_shards()
    await put(shards, *(tagged(f"n/{i:04}", t=i) for i in range(1000)))
    monkeypatch.setattr(queries, "QUERY_MAX_BYTES", 500_000)
    with pytest.raises(QueryTooLargeError):
        await asked(shards, Query(("sw",), order_by="t", limit=1000))


async def test_unknown_groups_are_refused_before_anything_is_read() -> None:
    shards = make_shards()
    shards.store.scan = None  # type: ignore[method-assign,assignment]
    with pytest.raises(UnknownGroupError, match="'nope'"):
        await asked(shards, Query(("sw", "nope")))


@pytest.mark.slow
async def test_a_scan_of_many_shards_keeps_few_records_of_each() -> None:
    """Each shard's page is in memory at once, and a record may have a mebibyte."""
    shards = make_shards(groups={"sw": 64})
    await put(shards, *(record(f"n/{i}") for i in range(2000)))
    scan = GroupScan(shards, "sw")
    found: list[Record] = []
    held = 0
    while page := await scan.next_page():
        found += page
        held = max(held, len(page) + sum(map(len, scan._pages.values())))
    assert [one.entity for one in found] == sorted(one.entity for one in found)
    assert len(found) == 2000
    assert held <= 64 * limits.SCAN_PAGE_MIN_RECORDS


async def test_a_query_says_something_while_it_finds_nothing() -> None:
    shards = make_shards()
    await put(shards, *(tagged(f"n/{i}", t=i) for i in range(500)))
    for query in (
        Query(("sw",), criteria=Condition("t", Op.LT, 0)),
        Query(("sw",), order_by="t", criteria=Condition("t", Op.LT, 0)),
    ):
        assert len([page async for page in run_query(shards, query)]) >= 500 // limits.SCAN_PAGE_RECORDS


@pytest.mark.parametrize("order_by", ["", "t"])
async def test_a_query_given_up_in_the_middle_closes_what_it_reads(order_by: str) -> None:
    """An asynchronous generator left open is a ResourceWarning, which fails the test."""
    shards = make_shards(groups={"sw": 3})
    await put(shards, *(tagged(f"n/{i}", t=i) for i in range(500)))
    pages = run_query(shards, Query(("sw",), order_by=order_by, limit=400))
    await anext(pages)
    await pages.aclose()
    await trio.lowlevel.checkpoint()


async def test_records_that_change_while_a_query_runs_do_no_harm() -> None:
    shards = make_shards(groups={"sw": 2})
    await put(shards, *(record(f"n/{i:03}") for i in range(300)))
    found: list[str] = []
    async for page in run_query(shards, Query(("sw",), limit=1000)):
        found += [one.entity.id for one in page]
        await put(
            shards, record(f"n/{len(found):03}x", revision=2), record("n/299", revision=3, delete_time=4)
        )
    assert sorted(set(found)) == found
    assert {f"{i:03}" for i in range(290)} <= set(found)
