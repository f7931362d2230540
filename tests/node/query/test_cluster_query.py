"""Queries over whole nodes in memory: any node answers for all, with the newest version of every record."""

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
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.refusals.request_errors import TooFewReplicasError, UnknownGroupError, UnknownLevelError
from gossipnode.sim import Cluster, running
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.wire_errors import WireError
from tests.node.query.queried import answer, chosen, holds, joined, keys, put, queries_of, version
from tests.wire.support import examples

ALL = ("a", "b", "c")


async def quiet() -> None:
    """Let what goes on behind callers come to its end."""
    await trio.testing.wait_all_tasks_blocked(0.001)


# --- whole answers ---


@pytest.mark.slow
async def test_every_node_answers_for_all_shards_groups_and_replicas(autojump_clock: object) -> None:
    cluster = Cluster(("a", "b", "c", "d", "e"), ("sw:6:2", "flags:3:3", "one:4:1"))
    async with running(cluster):
        written: list[str] = []
        for group, i in itertools.product(("sw", "flags", "one"), range(40)):
            record = version(f"n{i % 3}/{i:02}", group=group, n=i)
            node = "abcde"[i % 5]
            await cluster.coordinator(node).apply(record.payload, replace=False)
            written.append(record.entity.text)
        for node in cluster.nodes.values():
            assert await keys(node, "one", "sw", "flags", limit=1000) == sorted(written)


@pytest.mark.slow
async def test_the_newest_version_counts_and_stale_ones_are_written_back(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, version("n/1", 1, t=1), version("n/2", 1, t=1), version("n/3", 1, t=1))
        await put(cluster, "b", version("n/1", 2, t=2))
        await put(cluster, "c", version("n/2", 2, t=1), version("n/3", 2, deleted=2, t=1))
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
        await put(cluster, "ab", version("n/1"), version("n/2"))
        await put(cluster, "c", version("n/1", 2, deleted=2))
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
            await put(cluster, ALL, version(f"n/{key}", t=value))
        await put(cluster, ALL, version("n/7", other=1))
        order = ["2", "6", "1", "3", "4"] if descending else ["4", "1", "3", "6", "2"]
        found = await keys(cluster.nodes["b"], order_by="t", descending=descending)
        assert found == [f"n/{key}" for key in [*order, "5", "7"]]


@pytest.mark.slow
async def test_names_ids_projection_and_the_default_limit(autojump_clock: object) -> None:
    async with running(Cluster(groups=("sw:3:2",))) as cluster:
        records = [version(f"{name}/{i:03}", a=i, b=2) for name in ("m", "n") for i in range(120)]
        for record in records:
            await cluster.coordinator("a").apply(record.payload, replace=False)
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
                await put(cluster, "abc"[i % 3], version(f"n/{i:02}", group=group, **tags))
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
        await put(cluster, "c", version("n/1", t=1), version("n/2", 2, deleted=2, t=2), version("n/3", t=3))
        await put(cluster, "ab", version("n/2", t=9))
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
            await put(cluster, ALL, version(f"n/{key}", s=text))
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
    st.tuples(st.sampled_from(["sw", "flags"]), st.sampled_from(NAMES), st.sampled_from(IDS)),
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


def held_record(entity: tuple[str, str, str], drawn: tuple[int, int, TagValue, TagValue]) -> Record:
    group, name, item = entity
    revision, deleted, t, u = drawn
    tags = {"k": 1} if t is None else {"t": t}
    return version(f"{name}/{item}", revision, deleted=deleted, group=group, **tags, u=u)


@pytest.mark.slow
@given(HELD, st.lists(st.tuples(st.sampled_from(ALL), QUERIES), min_size=1, max_size=6), st.data())
@examples(60)
def test_an_answer_is_that_of_the_newest_versions_of_all_replicas(
    held: Any, asked: list[tuple[str, Query]], data: st.DataObject
) -> None:
    async def run() -> None:
        async with running(Cluster(groups=("sw:2:3", "flags:1:3"))) as cluster:
            for entity, copies in held.items():
                for name, drawn in copies.items():
                    if drawn is not None:
                        await put(cluster, name, held_record(entity, drawn))
            newest = await joined(cluster, ALL, ("sw", "flags"))
            for name, query in asked:
                # A query that names its records reads them as `get` does: from a quorum, whichever it is.
                ack = "all" if query.name and query.ids and not query.order_by else "quorum"
                whole = Query(**{**_fields(query), "ack": ack})
                assert await answer(cluster.nodes[name], whole) == chosen(newest, whole)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def _fields(query: Query) -> dict[str, Any]:
    return {name: getattr(query, name) for name in query.__dataclass_fields__}


# --- levels, and replicas that are not there ---


@pytest.mark.slow
async def test_each_level_asks_as_many_as_it_says(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        for name in ALL:
            await put(cluster, name, version(f"n/{name}"))
        node = cluster.nodes["b"]
        assert await keys(node, ack="local") == ["n/b"]
        assert await keys(node, ack="one") == ["n/b"]
        assert await keys(node, ack="quorum") == ["n/a", "n/b", "n/c"]
        assert await keys(node, ack="all") == ["n/a", "n/b", "n/c"]
        with pytest.raises(UnknownLevelError, match="expected one of local, one, quorum, all"):
            await keys(node, ack="two")
        with pytest.raises(UnknownGroupError, match="'nope' is unknown"):
            await keys(node, "sw", "nope")


@pytest.mark.slow
async def test_local_on_a_node_without_a_copy_finds_nothing(autojump_clock: object) -> None:
    async with running(Cluster(groups=("sw:4:1",))) as cluster:
        for i in range(20):
            await cluster.coordinator("a").apply(version(f"n/{i:02}").payload, replace=False)
        own = [await keys(cluster.nodes[name], ack="local") for name in ALL]
        assert sorted(key for found in own for key in found) == [f"n/{i:02}" for i in range(20)]
        for name in ALL:
            assert len(await keys(cluster.nodes[name], ack="one")) == 20


@pytest.mark.slow
async def test_with_one_replica_down_a_quorum_answers_and_all_does_not(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "bc", version("n/1"), version("n/2"))
        await cluster.isolate("c")
        began = trio.current_time()
        for _ in range(2):
            assert await keys(cluster.nodes["a"], order_by="k") == ["n/1", "n/2"]
        assert trio.current_time() - began < 0.1
        with pytest.raises(TooFewReplicasError) as caught:
            await keys(cluster.nodes["a"], ack="all")
        assert str(caught.value).startswith("sw/0: 2 of 3 replicas answered, all needs 3; not: c (")
        with pytest.raises(TooFewReplicasError) as caught:
            await keys(cluster.nodes["c"])
        problem = str(caught.value)
        assert problem.startswith("sw/0: ")
        assert "quorum needs 2; not: " in problem
        assert "a (" in problem or "b (" in problem


@pytest.mark.slow
@pytest.mark.parametrize("ack", ["one", "quorum"])
@pytest.mark.parametrize("order_by", ["", "t"])
async def test_a_replica_that_hangs_costs_one_timeout(
    ack: str, order_by: str, autojump_clock: object
) -> None:
    async with running(Cluster(("a", "b", "c", "d"), ("sw:8:3",))) as cluster:
        for i in range(100):
            await cluster.coordinator("a").apply(version(f"n/{i:03}", t=i).payload, replace=False, ack="all")
        cluster.hang("b")
        for name in ("a", "d"):
            for most in (REPLICA_SECONDS * 1.1, 0.1):
                began = trio.current_time()
                found = await keys(cluster.nodes[name], ack=ack, order_by=order_by)
                assert found == [f"n/{i:03}" for i in range(100)]
                assert trio.current_time() - began <= most


@pytest.mark.slow
async def test_a_search_that_hangs_on_its_way_to_a_replica_costs_one_timeout(
    autojump_clock: object,
) -> None:
    """So many ids fill a window: sending, too, has to come to an end."""
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, version("n/1"))
        cluster.hang("b")
        ids = frozenset([*(f"{i:0500}" for i in range(7000)), "1"])
        began = trio.current_time()
        assert await keys(cluster.nodes["a"], ids=ids) == ["n/1"]
        assert trio.current_time() - began <= REPLICA_SECONDS * 1.1


@pytest.mark.slow
@pytest.mark.parametrize("order", [{}, {"order_by": "t"}])
async def test_a_replica_that_dies_in_the_middle_of_its_answer(
    order: dict[str, Any], autojump_clock: object
) -> None:
    async with running(Cluster(groups=("sw:2:3",))) as cluster:
        count = 1500
        await put(cluster, ALL, *(version(f"n/{i:04}", t=i, s="x" * 3000) for i in range(count)))
        found: list[str] = []
        async with queries_of(cluster.nodes["a"]).open(Query(("sw",), limit=count, **order)) as under_way:
            while (page := await under_way.next_page()) is not None:
                found += [one.entity.id for one in page]
                if len(found) >= 200 and not cluster.faults.severed:
                    await cluster.isolate("c")
        assert found == [f"{i:04}" for i in range(count)]
        failures = {report.replica: report.failure for report in under_way.trace.reports}
        assert failures["c"]
        assert not failures["a"]
        assert not failures["b"]


async def interrupted(cluster: Cluster, found: list[str], *, at: int) -> None:
    """Ask node a for everything, and part it from the others once it has found so many records."""
    async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += [one.entity.id for one in page]
            if len(found) == at:
                await cluster.isolate("a")
                await quiet()


@pytest.mark.slow
async def test_when_too_few_are_left_in_the_middle_of_an_answer_it_fails(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, *(version(f"n/{i:04}", s="x" * 3000) for i in range(1500)))
        with pytest.raises(TooFewReplicasError, match="1 of 3 replicas answered, quorum needs 2; not: b "):
            await interrupted(cluster, [], at=64)


@pytest.mark.slow
async def test_a_stale_copy_is_not_taken_for_certain_once_the_others_have_broken_off(
    autojump_clock: object,
) -> None:
    """What the others had said before they broke off counts: here, that the record is deleted."""
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, *(version(f"n/{i:04}") for i in range(300) if i != 170))
        await put(cluster, "a", version("n/0170"))
        await put(cluster, "bc", version("n/0170", 2, deleted=2))
        stall(cluster, "b", after=3)
        stall(cluster, "c", after=3)
        found: list[str] = []
        with pytest.raises(TooFewReplicasError):
            await paused(cluster, found, at=128)
        assert found == [f"{i:04}" for i in range(192) if i != 170][: len(found)]
        assert len(found) > 170


def stall(cluster: Cluster, name: str, *, after: int) -> None:
    """Let a node's store give so many more pages, and nothing behind them."""
    store = cluster.stores[name]
    scan, left = store.scan, after

    async def scan_or_stall(*args: Any, **options: Any) -> list[Record]:
        nonlocal left
        left -= 1
        if left < 0:
            await trio.sleep_forever()
        return await scan(*args, **options)

    store.scan = scan_or_stall  # type: ignore[method-assign]


async def paused(cluster: Cluster, found: list[str], *, at: int) -> None:
    """Ask node a for everything, and take nothing for a while once it has found so many records."""
    async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += [one.entity.id for one in page]
            if len(found) == at:
                await trio.sleep(REPLICA_SECONDS * 2)


@pytest.mark.slow
async def test_with_one_the_next_replica_takes_over_from_one_that_breaks_off(autojump_clock: object) -> None:
    async with running(Cluster(("a", "b", "c", "d"), ("sw:1:3",))) as cluster:
        holders = cluster.nodes["a"].parts.local.shards.replicas(
            cluster.nodes["a"].parts.local.shards.shards_of("sw")[0]
        )
        (outside,) = set("abcd") - set(holders)
        count = 1500
        await put(cluster, holders, *(version(f"n/{i:04}", s="x" * 3000) for i in range(count)))
        found: list[str] = []
        query = Query(("sw",), everything=True, ack="one")
        async with queries_of(cluster.nodes[outside]).open(query) as under_way:
            while (page := await under_way.next_page()) is not None:
                found += [one.entity.id for one in page]
                if len(found) == 64:
                    await cluster.isolate(holders[0])
        assert found == [f"{i:04}" for i in range(count)]


# --- other views ---


@pytest.mark.slow
async def test_replicas_of_another_view_are_compared_with_and_asked_anew(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        admin = cluster.nodes["b"].parts.membership.groups
        await admin.create("g")
        await put(cluster, ALL, version("n/old", group="g"))
        assert await keys(cluster.nodes["a"], "g") == ["n/old"]
        await cluster.isolate("a")
        await admin.delete("g")
        await admin.create("g")
        await put_as(cluster, "b", "bc", version("n/new", group="g"))
        cluster.faults.heal()
        assert await keys(cluster.nodes["a"], "g", order_by="k") == ["n/new"]


async def put_as(cluster: Cluster, view: str, names: str, *records: Record) -> None:
    """As `put`, in the view of a node."""
    shards = cluster.nodes[view].parts.local.shards
    for name in names:
        await cluster.stores[name].write([(shards.shard_of(each.entity), each) for each in records])


# --- bounds ---


@pytest.mark.slow
async def test_leaving_early_stops_the_replicas(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        count = 1500
        await put(cluster, ALL, *(version(f"n/{i:04}", s="x" * 4000) for i in range(count)))
        async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as under_way:
            assert await under_way.next_page()
            assert scans_under_way(cluster) == {"a": 0, "b": 1, "c": 1}
        await quiet()
        assert scans_under_way(cluster) == {"a": 0, "b": 0, "c": 0}
        assert all(report.rows_read < count for report in under_way.trace.reports)


def scans_under_way(cluster: Cluster) -> dict[str, int]:
    return {name: node.parts.scan.under_way for name, node in cluster.nodes.items()}


@pytest.mark.slow
async def test_a_query_over_very_many_records_holds_few_of_them(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        count = 10_000
        records = [version(f"n/{i:05}", t=i) for i in range(count)]
        await put(cluster, ALL, *records)
        found, most = 0, 0
        async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as under_way:
            while (page := await under_way.next_page()) is not None:
                found += len(page)
                streams = under_way._running._streams
                most = max(most, sum(each.candidates for each in streams) - 3 * found)
        assert found == count
        assert most <= 3 * 3 * 64
