"""Watches when nodes are lost, groups made again, and watchers slow: nothing is missed in silence."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.watch.watch_plan import WatchFeed
from gossipnode.core.watch.watch_token import FeedPosition
from gossipnode.node.endpoints.change_service import WATCH_STALLED_SECONDS
from gossipnode.node.watch.store_news import GATHERED_ABOVE_WATCHES, NEWS_MAX_CHANGES
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.replica.change_codec import encode_feed
from gossipnode.wire.watch_codec import decode_token, encode_token
from tests.node.asking import asked
from tests.node.watch.test_group_watch import put
from tests.node.watch.watching import shortly, watch
from tests.records import entity, prop


@pytest.mark.slow
async def test_a_watch_follows_another_replica_when_its_own_is_lost(autojump_clock: object) -> None:
    cluster = Cluster(("a", "b", "c", "d"), ("sw:1:3",))
    async with asked(cluster) as channel:
        holders = cluster.parts("a").local.shards.replicas(cluster.parts("a").local.shards.shards_of("sw")[0])
        (outside,) = set(cluster.names) - set(holders)
        async with cluster.channel(outside) as elsewhere, watch(elsewhere) as watching:
            for each in range(4):
                await put(cluster, f"n/{each}", at=outside)
            await watching.until_ready()
            await put(cluster, "n/gone", at=outside)
            await watching.next()
            followed = decode_token(watching.token).positions[0].node
            await cluster.end(followed)
            await cluster.coordinator(outside).delete(entity("n/gone"))
            await put(cluster, "n/4", at=outside)
            told: set[tuple[str, ...]] = set()
            with trio.fail_after(60):
                while not told >= {("delete", "gone"), ("put", "4")}:
                    told.add(shortly(await watching.next()))
            assert ("gap",) not in told
        assert channel is not None


@pytest.mark.slow
async def test_a_token_goes_on_at_another_node(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/0")
        await put(cluster, "n/1")
        async with watch(channel) as watching:
            await watching.until_ready()
            await put(cluster, "n/2")
            await watching.next()
            token = watching.token
        await put(cluster, "n/3", at="b")
        async with cluster.channel("b") as other:
            async with watch(other, since=token) as watching:
                # The replica that the token knows is still there.
                assert await watching.until_ready() == [("put", "3")]
            await cluster.coordinator("b").delete(entity("n/0"))
            await cluster.end("a")
            async with watch(other, since=token) as watching:
                told = await watching.until_ready()
        assert told == [("delete", "0"), ("put", "1"), ("put", "2"), ("put", "3")]


@pytest.mark.slow
async def test_a_group_that_is_made_again_is_a_gap(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        admin = cluster.parts("a").membership.groups
        await admin.create("made", shards=1, replicas=3)
        await put(cluster, "n/1", group="made")
        async with watch(channel, "made") as watching:
            assert await watching.until_ready() == [("put", "1")]
            await put(cluster, "n/2", group="made")
            await watching.next()
            token = watching.token
            await admin.delete("made")
            with pytest.raises(RpcError) as caught:
                await watching.next()
            assert caught.value.status is Status.NOT_FOUND
        await admin.create("made", shards=1, replicas=3)
        await put(cluster, "n/3", group="made")
        async with watch(channel, "made", since=token) as watching:
            assert await watching.take(3) == [("gap",), ("put", "3"), ("ready",)]


async def test_a_token_from_the_future_is_a_gap(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1")
        async with watch(channel) as watching:
            await watching.until_ready()
            token = decode_token(watching.token)
        (position,) = token.positions
        future = token._replace(positions=(position._replace(sequence=position.sequence + 5),))
        async with watch(channel, since=encode_token(future)) as watching:
            assert await watching.take(3) == [("gap",), ("put", "1"), ("ready",)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cluster": "00" * 8}, "another cluster"),
        ({"group": "other"}, "of group 'other'"),
        ({"positions": (FeedPosition("a", 1, 1, frozenset({7})),)}, "damaged"),
    ],
)
async def test_a_token_of_something_else_is_refused(
    autojump_clock: object, change: dict[str, object], words: str
) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        async with watch(channel) as watching:
            await watching.until_ready()
            token = decode_token(watching.token)._replace(**change)
        with pytest.raises(RpcError, match=words) as caught:
            async with watch(channel, since=encode_token(token)) as watching:
                await watching.next()
        assert caught.value.status is Status.INVALID_ARGUMENT


async def test_a_token_of_a_store_that_was_replaced_begins_with_the_records(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1")
        await put(cluster, "n/2")
        await cluster.coordinator("a").delete(entity("n/2"))
        async with watch(channel) as watching:
            await watching.until_ready()
            token = decode_token(watching.token)
        (position,) = token.positions
        other = token._replace(positions=(position._replace(birth=position.birth + 1, sequence=10**6),))
        async with watch(channel, since=encode_token(other)) as watching:
            assert await watching.until_ready() == [("delete", "2"), ("put", "1")]


@pytest.mark.slow
async def test_a_slow_watch_misses_no_record(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        async with watch(channel) as watching:
            await watching.until_ready()
            count = NEWS_MAX_CHANGES + 200
            for each in range(count):
                await cluster.coordinator("a").apply(prop_of_kilobytes(each), replace=True, ack="local")
            told: set[str] = set()
            while len(told) < count:
                event = shortly(await watching.next())
                assert event[0] == "put"
                told.add(event[1])


def prop_of_kilobytes(number: int) -> bytes:
    return prop(f"n/{number}", text="x" * 2048)


@pytest.mark.slow
async def test_a_watch_that_never_reads_is_ended_and_goes_on_from_its_token(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        async with watch(channel) as watching:
            await watching.until_ready()
            for each in range(200):
                await cluster.coordinator("a").apply(prop_of_kilobytes(each), replace=True, ack="local")
            await trio.sleep(WATCH_STALLED_SECONDS + 30)
            assert cluster.parts("a").watches.under_way == 0
            told: set[str] = set()
            # An answer that waits for room cannot be taken back, so the stream ends by a reset.
            with pytest.raises(RpcError, match="reset"):
                await watching.all_ids(told)
            token = watching.token
        async with watch(channel, since=token) as watching:
            told |= {key for _, key in await watching.until_ready()}
        assert told == {str(each) for each in range(200)}


@pytest.mark.slow
async def test_many_watches_are_told_together(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel, trio.open_nursery() as nursery:
        ready = trio.Semaphore(0)
        ended = trio.Semaphore(0)

        async def follow() -> None:
            async with watch(channel) as watching:
                await watching.until_ready()
                ready.release()
                for each in range(30):
                    assert shortly(await watching.next()) == ("put", str(each))
            ended.release()

        for _ in range(GATHERED_ABOVE_WATCHES + 5):
            nursery.start_soon(follow)
        for _ in range(GATHERED_ABOVE_WATCHES + 5):
            await ready.acquire()
        for each in range(30):
            await put(cluster, f"n/{each}")
        for _ in range(GATHERED_ABOVE_WATCHES + 5):
            await ended.acquire()
        assert cluster.parts("a").watches.under_way == 0
        assert cluster.parts("a").news.watches == 0


@pytest.mark.slow
@pytest.mark.parametrize("group", ["sw:1:3", "sw:2:1"])
async def test_large_records_come_in_messages_of_a_good_size(autojump_clock: object, group: str) -> None:
    """Records of 100 KB, more than a message may hold together, here and from another replica."""
    cluster = Cluster(groups=(group,))
    async with asked(cluster) as channel:
        text = "x" * 100_000
        for each in range(60):
            await put(cluster, f"n/{each:02}", text=text)
        async with watch(channel) as watching:
            assert len(await watching.until_ready()) == 60
            token = watching.token
        for each in range(60):
            await put(cluster, f"n/{each:02}", text=text + "y")
        async with watch(channel, since=token) as watching:
            assert len(await watching.until_ready()) == 60


async def test_a_token_from_the_future_of_another_node_is_a_gap(autojump_clock: object) -> None:
    cluster = Cluster(("a", "b"), ("sw:1:1",))
    async with asked(cluster, at="a"):
        shards = cluster.parts("a").local.shards
        (holder,) = shards.replicas(shards.shards_of("sw")[0])
        (outside,) = set(cluster.names) - {holder}
        await put(cluster, "n/1", at=holder)
        async with cluster.channel(outside) as elsewhere:
            async with watch(elsewhere) as watching:
                await watching.until_ready()
                token = decode_token(watching.token)
            (position,) = token.positions
            future = token._replace(positions=(position._replace(sequence=position.sequence + 5),))
            async with watch(elsewhere, since=encode_token(future)) as watching:
                assert await watching.take(3) == [("gap",), ("put", "1"), ("ready",)]


@pytest.mark.slow
async def test_a_stale_replica_is_not_followed(autojump_clock: object) -> None:
    """It may hold what is deleted, and others have forgotten that it was."""
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "n/1")
        retention = cluster.parts("a").local.retention
        retention.why_not_served = lambda _: "a is stale"  # type: ignore[method-assign]
        async with watch(channel) as watching:
            assert await watching.until_ready() == [("put", "1")]
            assert {position.node for position in decode_token(watching.token).positions} == {"b"}
        async with cluster.channel("a") as to_a:
            shard = cluster.parts("a").local.shards.shards_of("sw")[0]
            feed = WatchFeed("a", cluster.parts("a").local.shards.own.birth, (0,), None, again=False)
            request = encode_feed("sw", shard.incarnation, feed)
            metadata = cluster.parts("b").members.metadata
            async with to_a.stream(services.REPLICA_CHANGES, timeout=None, metadata=metadata) as stream:
                await stream.send(request)
                with pytest.raises(RpcError, match="a is stale") as caught:
                    await stream.recv()
        assert caught.value.status is Status.FAILED_PRECONDITION
