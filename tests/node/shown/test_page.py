"""The status page of whole nodes, over the network in memory."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
import trio
import trio.testing

from gossipnode.concurrency.shares import Caller
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.shown import page_state, record_query
from gossipnode.node.shown.page_state import SHARDS_SHOWN
from gossipnode.observe.http.live_page import STREAMS_MAX
from gossipnode.observe.http.status_server import CONNECTIONS_MAX, IDLE_SECONDS
from gossipnode.observe.node_view import PageQuery, QueryRefusedError, ShardFigures
from gossipnode.sim import Cluster, running
from tests.node.shown.web import STATUS, get, shown_at, start_with_status
from tests.records import prop, record

HOSTILE = "<img src=x onerror=alert(1)>&\"'\u202e\x1b[2J"
ALONE: dict[str, Any] = {"names": "a", "groups": ("sw:1:1",), "overrides": shown_at()}


class OpenPage:
    """A page that stays open."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.told = b""

    async def state(self) -> Any:
        """The next state that it is told."""
        while (end := self.told.find(b"\n\n", (at := self.told.find(b"data: ")) + 1)) < 0 or at < 0:
            self.told += await self.stream.receive_some()
        state, self.told = self.told[at + 6 : end], self.told[end:]
        return json.loads(state)["state"]


async def open_page(cluster: Cluster) -> OpenPage:
    stream = await cluster.network.connect(STATUS)
    await stream.send_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    return OpenPage(stream)


async def test_the_page_shows_the_cluster_and_its_rounds(autojump_clock: object) -> None:
    cluster = Cluster(groups=("flags:1:3", "sw:1:3"))
    async with trio.open_nursery() as nursery:
        await start_with_status(cluster, nursery)
        page = await open_page(cluster)
        state = await page.state()
        assert (state["node"], state["state"], state["problem"]) == ("a", "ready", "")
        assert [(member["name"], member["state"]) for member in state["members"]] == [
            ("a", "up"),
            ("b", "up"),
            ("c", "up"),
        ]
        await cluster.put("a", record("n/1"))
        finished = await cluster.round("a")
        while not (state["rounds"] and state["rounds"][0]["outcome"]):
            state = await page.state()
        assert finished.outcome is RoundOutcome.REPAIRED
        (shown,) = state["rounds"]
        assert (shown["round"], shown["outcome"]) == (finished.round, "repaired")
        assert [(hop["from"], hop["to"], hop["outcome"]) for hop in shown["hops"]] == [
            ("a", "b", "repaired"),
            ("b", "c", "repaired"),
            ("c", "a", "equal"),
        ]
        flags, sw = state["groups"]
        assert (sw["held"], sw["records"], sw["never_equal"]) == (1, 1, 0)
        assert (flags["held"], flags["records"], flags["never_equal"]) == (1, 0, 1)
        assert [shard["replicas"] for shard in state["shards"]] == [["a", "b", "c"]] * 2
        assert "round" in {event["kind"] for event in state["events"]}
        cluster.stop()


async def test_the_page_says_why_a_member_that_is_up_lacks_writes(autojump_clock: object) -> None:
    """Whoever looks at another node than the one whose disk is full sees that it falls behind, and why."""
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await start_with_status(cluster, nursery)
        cluster.stores["c"].set_full(True)
        await cluster.coordinator("a").apply(prop("n/1"), replace=False)
        page = await open_page(cluster)
        while not (member := (await page.state())["members"][2])["behind_because"]:
            pass
        assert (member["name"], member["state"]) == ("c", "up")
        assert "no space left" in member["behind_because"]
        cluster.stores["c"].set_full(False)
        while (await page.state())["members"][2]["behind_because"]:
            pass
        cluster.stop()


async def test_records_are_shown_as_clients_read_them(autojump_clock: object) -> None:
    async with running(Cluster(**ALONE)) as cluster:
        await cluster.coordinator("a").apply(prop("n/1", x=1, note=HOSTILE), replace=False)
        await cluster.coordinator("a").apply(prop(f"n/{HOSTILE}", x="y" * 5000), replace=False)
        status, body = await get(cluster, "/records?group=sw&name=n&id=1")
        assert status == 200
        assert b"<" not in body.replace(b"<img", b"", 1), "as JSON, and of the type of JSON"
        (shown,) = json.loads(body)["records"]
        assert shown["key"] == "sw/n/1"
        assert dict(shown["tags"])["x"] == "1"
        assert dict(shown["tags"])["note"] == HOSTILE
        _, body = await get(cluster, "/records?group=sw")
        first, second = sorted(json.loads(body)["records"], key=lambda shown: shown["key"])
        assert second["key"] == f"sw/n/{HOSTILE}"
        assert len(dict(second["tags"])["x"]) == record_query.VALUE_MAX_CHARACTERS + 1
        assert first["revision"].isdecimal()
        status, body = await get(cluster, "/records?group=other")
        assert (status, body[:25]) == (400, b"group 'other' is unknown ")


async def test_records_are_found_by_an_expression_in_an_order_and_up_to_a_limit(
    autojump_clock: object,
) -> None:
    async with running(Cluster(**ALONE)) as cluster:
        for number in range(8):
            await cluster.coordinator("a").apply(prop(f"n/{number}", x=number % 4, y=number), replace=False)

        async def found(**asked: object) -> tuple[list[str], bool]:
            status, body = await get(cluster, f"/records?{urlencode({'group': 'sw', **asked})}")
            assert status == 200, body
            told = json.loads(body)
            return [shown["key"].removeprefix("sw/n/") for shown in told["records"]], told["more"]

        assert await found(where="x = 3 OR (y > 4 AND y < 6)") == (["3", "5", "7"], False)
        assert await found(where="  ", limit="3") == (["0", "1", "2"], True)
        assert await found(limit="8") == ([str(number) for number in range(8)], False)
        assert await found(order_by="y", desc="yes", limit="2") == (["7", "6"], True)
        assert await found(where="x >= 2", order_by="y") == (["2", "3", "6", "7"], False)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"where": "x >"}, "where: column 4: expected a value"),
        ({"where": "x = 5)"}, "where: column 6: expected AND, OR or the end, found ')'"),
        ({"where": "x < (1, 2)"}, "where: column 5: expected a value"),
        ({"where": f"x IN ({'1,' * 4096}1)"}, "where: IN on tag 'x' takes 4,096 values at most"),
        ({"limit": "0"}, "limit: expected a number from 1 to 500, got '0'"),
        ({"limit": "501"}, "limit: expected a number from 1 to 500, got '501'"),
        ({"limit": "²"}, "limit: expected a number from 1 to 500, got '²'"),
        ({"desc": "yes"}, "the largest first: say by which tag"),
    ],
)
async def test_a_query_that_is_wrong_is_told_in_one_line(
    autojump_clock: object, asked: dict[str, str], problem: str
) -> None:
    async with running(Cluster(**ALONE)) as cluster:
        status, body = await get(cluster, f"/records?{urlencode({'group': 'sw', **asked})}")
        assert status == 400
        assert body.decode().startswith(problem)
        assert body.count(b"\n") == 1


async def test_only_a_few_pages_query_at_once(autojump_clock: object) -> None:
    async with running(Cluster(**ALONE)) as cluster:
        answers: list[int] = []

        async def ask() -> None:
            answers.append((await get(cluster, "/records?group=sw"))[0])

        async def hang(*_: object, **__: object) -> Any:
            await trio.sleep_forever()

        store = cluster.stores["a"]
        scan, store.scan = store.scan, hang  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.sleep(1)
            assert answers == [400] * (5 - record_query.QUERIES_AT_ONCE)
        store.scan = scan  # type: ignore[method-assign]
        await ask()
        assert answers[-1] == 200


async def test_one_caller_leaves_a_query_to_others(autojump_clock: object) -> None:
    async with running(Cluster(**ALONE)) as cluster:
        queries = record_query.RecordQueries(cluster.parts("a").queries)
        hanging = trio.Event()

        async def hang(*_: object, **__: object) -> Any:
            hanging.set()
            await trio.sleep_forever()

        store = cluster.stores["a"]
        scan, store.scan = store.scan, hang  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queries.ask, PageQuery("sw"), Caller("greedy"))
            await hanging.wait()
            store.scan = scan  # type: ignore[method-assign]
            with pytest.raises(QueryRefusedError, match="other queries of pages are under way"):
                await queries.ask(PageQuery("sw"), Caller("greedy"))
            assert (await queries.ask(PageQuery("sw"), Caller("another"))).records == []
            nursery.cancel_scope.cancel()


async def test_two_hundred_pages_leave_room_for_scrapes(autojump_clock: object) -> None:
    async with running(Cluster(**ALONE)) as cluster:
        pages = [await open_page(cluster) for _ in range(200)]
        await trio.sleep(3)
        heads = [await page.stream.receive_some() for page in pages]
        assert sum(b"HTTP/1.1 200" in head for head in heads) == STREAMS_MAX
        assert sum(b"HTTP/1.1 503" in head for head in heads) == 200 - STREAMS_MAX
        assert (await get(cluster, "/metrics"))[0] == 200
        await cluster.coordinator("a").apply(prop("n/1", x=1), replace=False)


async def test_idle_connections_end_and_too_many_are_refused(autojump_clock: object) -> None:
    async with running(Cluster(**ALONE)) as cluster:
        idle = [await cluster.network.connect(STATUS) for _ in range(50)]
        while len(idle) < CONNECTIONS_MAX:
            await trio.testing.wait_all_tasks_blocked()
            idle += [await cluster.network.connect(STATUS) for _ in range(50)]
        await trio.testing.wait_all_tasks_blocked()
        refused = await cluster.network.connect(STATUS)
        assert await refused.receive_some() == b""
        await trio.sleep(IDLE_SECONDS + 1)
        assert (await get(cluster, "/livez"))[0] == 200


def test_shards_that_need_a_look_come_first() -> None:
    shards = [ShardFigures("sw", number, 1, 0, 3, 1000 + number, 0) for number in range(1000)]
    shards[700] = shards[700]._replace(behind=3)
    shards[800] = shards[800]._replace(last_converged=0)
    shown = page_state._worth_a_look(shards, {})
    numbers = [shard.shard for shard in shown]
    assert len(shown) == SHARDS_SHOWN
    assert numbers == sorted(numbers)
    assert {0, 1, 700, 800} <= set(numbers)
