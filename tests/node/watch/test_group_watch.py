"""Watches over whole nodes: what is there, then what comes, over all shards and wherever they are."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gossipnode.core.query.criteria import Condition, Op
from gossipnode.node.watch.group_watch import WATCH_ALIVE_SECONDS
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.query.criteria_codec import encode_criteria
from tests.node.asking import asked
from tests.node.watch.watching import shortly, watch
from tests.records import entity, prop


async def put(cluster: Cluster, key: str, at: str = "a", group: str = "sw", **tags: Any) -> None:
    await cluster.coordinator(at).apply(prop(key, group, **tags), replace=True)


async def test_what_is_there_comes_first_and_then_what_changes(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1", x=1)
        await put(cluster, "n/2", x=1)
        await put(cluster, "n/gone")
        await cluster.coordinator("a").delete(entity("n/gone"))
        async with watch(channel) as watching:
            assert await watching.until_ready() == [("put", "1"), ("put", "2")]
            await put(cluster, "n/1", at="b", x=2)
            event = await watching.next()
            assert shortly(event) == ("put", "1")
            assert (event.through, event.from_) == ("client", "b")
            assert read_tags(event.record.property) == {"x": 2}
            assert read_tags(event.old) == {"x": 1}
            await cluster.coordinator("c").delete(entity("n/1"))
            await put(cluster, "n/3")
            assert await watching.take(2) == [("delete", "1"), ("put", "3")]
            await watching.nothing_for(60)


async def test_a_watch_goes_on_from_its_token(autojump_clock: object) -> None:
    cluster = Cluster(groups=("sw:4:3",))
    async with asked(cluster) as channel:
        await put(cluster, "n/0")
        async with watch(channel) as watching:
            assert await watching.until_ready() == [("put", "0")]
            await put(cluster, "n/1")
            await watching.next()
            token = watching.token
        assert token
        for each in range(2, 9):
            await put(cluster, f"n/{each}")
        await cluster.coordinator("a").delete(entity("n/0"))
        async with watch(channel, since=token) as watching:
            told = await watching.until_ready()
            assert told == [("delete", "0"), *(("put", str(each)) for each in range(2, 9))]
            token = watching.token
        async with watch(channel, since=token) as watching:
            assert await watching.until_ready() == []


@pytest.mark.slow
async def test_shards_of_other_nodes_are_watched_there(autojump_clock: object) -> None:
    cluster = Cluster(groups=("sw:6:1",))
    async with asked(cluster) as channel:
        for each in range(12):
            await put(cluster, f"n/{each:02}")
        async with watch(channel) as watching:
            assert await watching.until_ready() == [("put", f"{each:02}") for each in range(12)]
            for each in range(12):
                await put(cluster, f"n/{each:02}", at="b")
            assert sorted(await watching.take(12)) == [("put", f"{each:02}") for each in range(12)]
            token = watching.token
        for each in range(6):
            await put(cluster, f"n/{each:02}", at="c", x=5)
        async with watch(channel, since=token) as watching:
            assert await watching.until_ready() == [("put", f"{each:02}") for each in range(6)]


async def test_a_watch_tells_what_it_asks_for_alone(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1", x=1)
        await put(cluster, "m/1", x=9)
        await put(cluster, "n/2", x=9)
        where = encode_criteria(Condition("x", Op.GT, 5))
        async with watch(channel, name="n", where=where) as watching, watch(channel, ids=["1"]) as ones:
            assert await watching.until_ready() == [("put", "2")]
            assert await ones.until_ready() == [("put", "1"), ("put", "1")]
            await put(cluster, "n/1", x=2)
            await put(cluster, "n/2", x=3)
            await put(cluster, "n/1", x=8)
            # The record that matches no more is gone for this watch.
            assert await watching.take(2) == [("delete", "2"), ("put", "1")]
            assert await ones.take(2) == [("put", "1")] * 2


async def test_only_what_a_quorum_has_is_shown_where_that_is_asked_for(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1", x=1)
        async with watch(channel, ack="quorum") as watching:
            assert await watching.until_ready() == [("put", "1")]
            cluster.hang("b")
            cluster.hang("c")
            await cluster.coordinator("a").apply(prop("n/1", x=2), replace=True, ack="local")
            await watching.nothing_for(20)
            cluster.faults.heal()
            assert read_tags((await watching.next()).record.property) == {"x": 2}
            held = await cluster.held_of(entity("n/1"))
            assert sum(read_tags(each.payload) == {"x": 2} for each in held.values() if each) >= 2


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        ({"group": "nope"}, Status.NOT_FOUND, "nope"),
        ({"ack": "all"}, Status.INVALID_ARGUMENT, "ack"),
        ({"since": b"junk"}, Status.INVALID_ARGUMENT, "no token"),
        ({"since": b"\x0a\x02ab"}, Status.INVALID_ARGUMENT, "no token"),
    ],
)
async def test_a_wrong_watch_is_refused(
    autojump_clock: object, wrong: dict[str, object], status: Status, words: str
) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        with pytest.raises(RpcError, match=words) as caught:
            async with watch(channel, **{"group": "sw", **wrong}) as watching:
                await watching.next()
        assert caught.value.status is status


async def test_a_watch_shows_that_it_is_there_while_nothing_is_for_it(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel, watch(channel, name="n") as watching:
        assert await watching.until_ready() == []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_now_and_then, cluster)
            for _ in range(4):
                with trio.fail_after(WATCH_ALIVE_SECONDS + 1):
                    answer = await watching.stream.recv()
                assert answer is not None
                assert (answer.events, bool(answer.token)) == ([], True)
            nursery.cancel_scope.cancel()


async def write_now_and_then(cluster: Cluster) -> None:
    for each in range(1000):
        await put(cluster, f"other/{each}")
        await trio.sleep(1)
