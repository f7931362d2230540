"""Searches of drawn records, against a plain filter and sort."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Sequence
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
from gossipnode.core.query.criteria import Condition, Criteria, LogicalExpression, LogicalOp, Op, matches
from gossipnode.core.query.search import Place, Search, place_key, place_of
from gossipnode.node.search import feeds, local_search, ordering
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.node.search.ordering import FoundRecord
from gossipnode.store.interface import Store
from gossipnode.wire.property.property_edit import read_tags
from tests.node.search.searching import LONG, THREE, open_store, pages_of, write
from tests.records import record

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
            record(
                Entity(shard.group, name, f"{number}"),
                **draw(tag_sets),
                delete_time=draw(st.integers(0, 4)) // 4,
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


def plainly(search: Search, records: Sequence[tuple[ShardId, Record]]) -> list[FoundRecord]:
    """What is asked for, worked out by nothing but the rules of criteria and order."""
    found: list[FoundRecord] = []
    for shard, each in records:
        tags = read_tags(each.payload)
        wanted = search.tombstones if each.deleted else not search.criteria or matches(search.criteria, tags)
        of = each.entity
        if (
            wanted
            and shard in search.shards
            and (not search.name or of.name == search.name)
            and (not search.ids or of.id in search.ids)
        ):
            found.append(FoundRecord(shard, each, place_of(of, tags, search.order_by)))
    return sorted(found, key=lambda each: place_key(each.place, search.order_by, search.descending))


def small_limits(patch: pytest.MonkeyPatch, tight: bool) -> None:
    """Lower the limits: few records then come in many pages, and are too many for a pass or a shortcut."""
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
    st.builds(
        Entity, st.sampled_from(["sw", "tw"]), st.sampled_from(NAMES), st.sampled_from(["1", "15", "3"])
    ),
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
    """Records that stay as they are come once each and in order, although indexes may go away in between."""
    moving = [(shard, each) for shard, each in scene.records if int(each.entity.id) % 2]
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
                shard, old = moving[which % len(moving)]
                await write(
                    store,
                    record(old.entity, **tags, revision=pauses + 1, delete_time=int(deleted)),
                    shard=shard,
                )

        found = await pages_of(LocalSearch(store, search), pause=change)
        unmoved = [each.entity for _, each in still]
        assert [each for each in found if each.record.entity in unmoved] == plainly(search, still)
        keys = [place_key(each.place, search.order_by, search.descending) for each in found]
        assert all(one < other for one, other in pairwise(keys))
        for each in found:
            assert plainly(search, [(each.shard, each.record)]) == [each]

    run_in("memory", go, tight=tight)
