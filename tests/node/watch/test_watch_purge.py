"""Watches and purge: a delete is told before its tombstone is forgotten, or there is a gap."""

from __future__ import annotations

import pytest

from gossipnode.sim import Cluster
from tests.node.repair.rounds.test_purge_rounds import delete, purge, purging, write
from tests.node.watch.watching import watch

pytestmark = pytest.mark.slow


async def test_a_watch_is_told_of_a_purge_and_goes_on_after_it(autojump_clock: object) -> None:
    cluster = Cluster()
    async with purging(cluster), cluster.channel("a") as channel:
        await write(cluster, "n/1", "n/2")
        async with watch(channel) as watching:
            assert await watching.until_ready() == [("put", "1"), ("put", "2")]
            await delete(cluster, "n/1")
            assert await watching.next_shortly() == ("delete", "1")
            assert await purge(cluster) == ""
            assert await watching.next_shortly() == ("purge", "1")
            token = watching.token
        await write(cluster, "n/3")
        async with watch(channel, since=token) as watching:
            assert await watching.until_ready() == [("put", "3")]


@pytest.mark.parametrize("at", ["a", "b"])
async def test_a_watch_from_before_a_purge_begins_again(autojump_clock: object, at: str) -> None:
    cluster = Cluster()
    async with purging(cluster), cluster.channel("a") as channel:
        await write(cluster, "n/1", "n/2")
        async with watch(channel) as watching:
            await watching.until_ready()
            token = watching.token
        await delete(cluster, "n/1")
        assert await purge(cluster) == ""
        if at == "b":
            await cluster.end("a")
        async with cluster.channel(at) as other, watch(other, since=token) as watching:
            assert await watching.take(3) == [("gap",), ("put", "2"), ("ready",)]
