"""Queries in a cluster: any node answers for all, with the newest version of every record."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue
from gossipnode.core.query.criteria import Condition, Criteria, LogicalExpression, LogicalOp, MatchOption, Op
from gossipnode.core.query.query import QUERY_DEFAULT_LIMIT, Query
from gossipnode.sim import Cluster, running
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.wire_errors import WireError
from tests.node.queried import ALL, answer, chosen, holds, joined, keys, put, quiet
from tests.records import entity, prop, record
from tests.wire.support import examples


@pytest.mark.slow
async def test_every_node_answers_for_all_shards_groups_and_replicas(autojump_clock: object) -> None:
    cluster = Cluster(("a", "b", "c", "d", "e"), ("sw:6:2", "flags:3:3", "one:4:1"))
    async with running(cluster):
        written: list[str] = []
        for group, i in itertools.product(("sw", "flags", "one"), range(40)):
            key, node = f"n{i % 3}/{i:02}", "abcde"[i % 5]
            await cluster.coordinator(node).apply(prop(key, group, n=i), replace=False)
            written.append(entity(key, group).text)
        for node in cluster.nodes.values():
            assert await keys(node, "one", "sw", "flags", limit=1000) == sorted(written)


@pytest.mark.slow
async def test_the_newest_version_counts_and_stale_ones_are_written_back(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(
            cluster,
            ALL,
            record("n/1", revision=1, t=1),
            record("n/2", revision=1, t=1),
            record("n/3", revision=1, t=1),
        )
        await put(cluster, "b", record("n/1", revision=2, t=2))
        await put(cluster, "c", record("n/2", revision=2, t=1), record("n/3", revision=2, delete_time=2, t=1))
        ones = {"criteria": Condition("t", Op.EQ, 1)}
        assert await keys(cluster.nodes["a"], **ones) == ["n/2"]
        await quiet()
        for name, key in itertools.product(ALL, ("n/1", "n/2", "n/3")):
            held = await holds(cluster, name, key)
            assert held is not None
            assert held.version.mod_revision == 2, (name, key)


@pytest.mark.slow
async def test_a_deleted_record_is_left_out_wherever_it_still_lives(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "ab", record("n/1"), record("n/2"))
        await put(cluster, "c", record("n/1", revision=2, delete_time=2))
        for name in ALL:
            assert await keys(cluster.nodes[name]) == ["n/2"]


@pytest.mark.slow
@pytest.mark.parametrize("descending", [False, True])
async def test_ties_are_by_key_and_what_lacks_the_tag_is_last(
    descending: bool, autojump_clock: object
) -> None:
    async with running(Cluster(groups=("sw:3:3",))) as cluster:
        values: dict[str, TagValue] = {"1": 2, "2": "x", "3": 2, "4": -1, "5": None, "6": "w"}
        for key, value in values.items():
            await put(cluster, ALL, record(f"n/{key}", t=value))
        await put(cluster, ALL, record("n/7", other=1))
        order = ["2", "6", "1", "3", "4"] if descending else ["4", "1", "3", "6", "2"]
        found = await keys(cluster.nodes["b"], order_by="t", descending=descending)
        assert found == [f"n/{key}" for key in [*order, "5", "7"]]


@pytest.mark.slow
async def test_names_ids_projection_and_the_default_limit(autojump_clock: object) -> None:
    async with running(Cluster(groups=("sw:3:2",))) as cluster:
        for name, i in itertools.product(("m", "n"), range(120)):
            await cluster.coordinator("a").apply(prop(f"{name}/{i:03}", a=i, b=2), replace=False)
        node = cluster.nodes["c"]
        assert len(await keys(node)) == QUERY_DEFAULT_LIMIT
        assert await keys(node, name="n", limit=1000) == [f"n/{i:03}" for i in range(120)]
        assert await keys(node, ids=frozenset(["003", "1"])) == ["m/003", "n/003"]
        assert await keys(node, name="m", ids=frozenset(["003", "119", "1"])) == ["m/003", "m/119"]
        assert await keys(node, name="m", ids=frozenset(["3"]), order_by="a") == []
        (one,) = await answer(node, Query(("sw",), "m", frozenset(["007"]), select=("b", "nope")))
        assert read_tags(one.payload) == {"b": 2}
        (one,) = await answer(
            node, Query(("sw",), criteria=Condition("a", Op.EQ, 7), name="n", select=("b",))
        )
        assert read_tags(one.payload) == {"b": 2}


@pytest.mark.slow
@pytest.mark.parametrize("order", [{}, {"order_by": "t"}, {"order_by": "t", "descending": True}])
async def test_pages_behind_the_last_record_give_every_record_once(
    order: dict[str, Any], autojump_clock: object
) -> None:
    async with running(Cluster(groups=("sw:2:3", "flags:1:3"))) as cluster:
        for i in range(50):
            tags: dict[str, TagValue] = {"t": i % 7} if i % 6 else {"other": 1}
            for group in ("sw", "flags"):
                await put(cluster, "abc"[i % 3], record(f"n/{i:02}", group=group, **tags))
        query = Query(("sw", "flags"), limit=7, **order)
        pages: list[Record] = []
        node = cluster.nodes["c"]
        while page := await answer(node, query):
            assert len(page) <= 7
            pages += page
            query = Query(("sw", "flags"), limit=7, after=page[-1].entity, **order)
        assert pages == await answer(node, Query(("sw", "flags"), limit=1000, **order))
        assert len(pages) == 100


@pytest.mark.slow
async def test_an_order_goes_on_from_a_deleted_record_and_not_from_none(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(
            cluster,
            "c",
            record("n/1", t=1),
            record("n/2", revision=2, delete_time=2, t=2),
            record("n/3", t=3),
        )
        await put(cluster, "ab", record("n/2", t=9))
        node = cluster.nodes["a"]
        behind = Entity("sw", "n", "2")
        assert await keys(node, order_by="t", after=behind, ack="all") == ["n/3"]
        with pytest.raises(WireError, match="after: there is no record 'sw/n/9'"):
            await keys(node, order_by="t", after=Entity("sw", "n", "9"))
        with pytest.raises(WireError, match="after: 'flags/n/1' is of another group"):
            await keys(node, order_by="t", after=Entity("flags", "n", "1"))
        assert await keys(node, after=Entity("sw", "n", "2x")) == ["n/3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("analyzer", "wanted", "found"),
    [
        ("keyword", "Größe XL", ["1"]),
        ("simple", "größe", ["1"]),
        ("simple", "ПРИВЕТ", ["2"]),
        ("standard", "привет42", ["2"]),
        ("standard", "東京 нет", ["3"]),
        ("url", "пример", ["4"]),
        ("url", "ПРИМЕР", []),
        ("simple", "ελλάδα", ["5"]),
    ],
)
async def test_match_splits_texts_of_any_script(
    analyzer: str, wanted: str, found: Sequence[str], autojump_clock: object
) -> None:
    texts = {
        "1": "Größe XL",
        "2": "Привет42, мир",
        "3": "東京 タワー",
        "4": "https://пример.рф/a",
        "5": "ΕΛΛΆΔΑ!",
    }
    async with running(Cluster()) as cluster:
        for key, text in texts.items():
            await put(cluster, ALL, record(f"n/{key}", s=text))
        criteria = Condition("s", Op.MATCH, wanted, MatchOption(analyzer))
        assert await keys(cluster.nodes["b"], criteria=criteria) == [f"n/{key}" for key in found]


# --- against the plainest way to do it ---


NAMES = ("m", "n")
IDS = tuple("12345")
VALUES: st.SearchStrategy[TagValue] = st.sampled_from(
    [0, 1, 2, -1, "x", "X y", "", None, StrArray(("x", "y")), IntArray((1,)), b"x"]
)
VERSIONS = st.tuples(st.integers(1, 4), st.sampled_from([0, 0, 0, 9]), VALUES, VALUES | st.none())
HELD = st.dictionaries(
    st.builds(Entity, st.sampled_from(["sw", "flags"]), st.sampled_from(NAMES), st.sampled_from(IDS)),
    st.fixed_dictionaries(dict.fromkeys(ALL, st.none() | VERSIONS)),
    max_size=12,
)
CONDITIONS: st.SearchStrategy[Criteria] = st.sampled_from(
    [
        *(Condition("t", op, value) for op in (Op.EQ, Op.NE, Op.LT, Op.GE) for value in (1, "x")),
        Condition("t", Op.IN, IntArray((0, 2))),
        Condition("t", Op.NOT_IN, StrArray(("x",))),
        Condition("t", Op.HAVING, "x"),
        Condition("u", Op.NOT_HAVING, "x"),
        Condition("u", Op.MATCH, "X", MatchOption("simple")),
    ]
)
CRITERIA = CONDITIONS | st.builds(LogicalExpression, st.sampled_from(LogicalOp), CONDITIONS, CONDITIONS)
QUERIES = st.builds(
    Query,
    st.sampled_from([("sw",), ("flags", "sw")]),
    st.sampled_from(["", "", "n"]),
    st.frozensets(st.sampled_from(IDS), max_size=2),
    st.none() | CRITERIA,
    order_by=st.sampled_from(["", "t", "u"]),
    descending=st.booleans(),
    limit=st.sampled_from([0, 0, 1, 3]),
)


def held_record(of: Entity, drawn: tuple[int, int, TagValue, TagValue]) -> Record:
    revision, deleted, t, u = drawn
    tags = {"k": 1} if t is None else {"t": t}
    return record(of, revision=revision, delete_time=deleted, **tags, u=u)


@pytest.mark.slow
@given(HELD, st.lists(st.tuples(st.sampled_from(ALL), QUERIES), min_size=1, max_size=6))
@examples(60)
def test_an_answer_is_that_of_the_newest_versions_of_all_replicas(
    held: Any, asked: list[tuple[str, Query]]
) -> None:
    async def run() -> None:
        async with running(Cluster(groups=("sw:2:3", "flags:1:3"))) as cluster:
            for of, copies in held.items():
                for name, drawn in copies.items():
                    if drawn is not None:
                        await put(cluster, name, held_record(of, drawn))
            newest = await joined(cluster, ALL, ("sw", "flags"))
            for name, query in asked:
                # A query that names its records reads them as `get` does, from any quorum.
                ack = "all" if query.name and query.ids and not query.order_by else "quorum"
                whole = Query(**{**_fields(query), "ack": ack})
                assert await answer(cluster.nodes[name], whole) == chosen(newest, whole)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def _fields(query: Query) -> dict[str, Any]:
    return {name: getattr(query, name) for name in query.__dataclass_fields__}
