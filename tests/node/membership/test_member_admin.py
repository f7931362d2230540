"""Members stay members until they are forgotten, and then hand over what they have."""

from __future__ import annotations

import pytest
import trio

from gossipnode.node.refusals.request_errors import UnknownMemberError
from tests.node.moving import held, moving, moving_cluster, put_one, settled, settled_but, value

pytestmark = pytest.mark.slow


async def test_a_member_that_is_down_stays_one(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        await cluster.end("c")
        await trio.sleep(3600)
        assert list(cluster.view("a").members) == ["a", "b", "c"]
        assert cluster.view("b").is_settled


async def test_a_forgotten_node_hands_over_and_stops(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:4:2",))
    async with moving(cluster):
        for number in range(40):
            await put_one(cluster, "abcd"[number % 4], f"n/{number}", number)
        await cluster.forget("d", at="b")
        await cluster.ended["d"].wait()
        assert "the cluster has forgotten d: what it held was handed over" in str(cluster.errors["d"])
        assert held(cluster, "d") == []
        await settled(cluster, "abc")
        for number in range(40):
            assert await value(cluster, "abc"[number % 3], f"n/{number}") == number


async def test_a_node_that_forgets_itself_hands_over_and_stops(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:4:2",))
    async with moving(cluster):
        for number in range(20):
            await put_one(cluster, "a", f"n/{number}", number)
        await cluster.forget("d", at="d")
        await cluster.ended["d"].wait()
        assert held(cluster, "d") == []
        await settled(cluster, "abc")
        for number in range(20):
            assert await value(cluster, "abc"[number % 3], f"n/{number}") == number


async def test_a_forgotten_node_that_was_away_learns_of_it_and_stops(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:4:2",))
    async with moving(cluster):
        await cluster.isolate("d")
        await cluster.forget("d")
        await settled_but(cluster, "abc", without="d")
        assert "d" in cluster.running
        cluster.faults.heal()
        await cluster.ended["d"].wait()
        assert held(cluster, "d") == []


async def test_a_forgotten_node_does_not_come_back_with_its_old_store(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd")
    async with moving(cluster):
        await put_one(cluster, "a", "n/1", 1)
        await cluster.end("d")
        await cluster.forget("d")
        for overrides in ({}, {"cluster.peers": [], "cluster.join": ["a:7400"]}):
            assert "forgotten" in await cluster.refused("d", **overrides)
        assert list(cluster.view("a").members) == ["a", "b", "c"]


async def test_a_forgotten_node_that_handed_over_does_not_come_back_when_it_is_restarted(
    autojump_clock: object,
) -> None:
    cluster = moving_cluster(names="abcd")
    async with moving(cluster):
        await put_one(cluster, "a", "n/1", 1)
        await cluster.forget("d")
        await cluster.ended["d"].wait()
        assert held(cluster, "d") == []
        for overrides in ({}, {"cluster.peers": [], "cluster.join": ["a:7400"]}):
            assert "forgotten" in await cluster.refused("d", **overrides)
        assert list(cluster.view("a").members) == ["a", "b", "c"]


async def test_a_forgotten_node_comes_back_empty_as_a_new_member(autojump_clock: object) -> None:
    for join in (False, True):
        cluster = moving_cluster(names="abcd", groups=("sw:4:2",))
        async with moving(cluster) as nursery:
            for number in range(20):
                await put_one(cluster, "a", f"n/{number}", number)
            await cluster.forget("d")
            await cluster.ended["d"].wait()
            await cluster.lose_disk("d")
            if join:
                await cluster.join(nursery, "d")
            else:
                await cluster.start(nursery, "d")
            await settled(cluster, "abcd")
            assert cluster.view("a").members["d"].joined > 0
            for number in range(20):
                assert await value(cluster, "abcd"[number % 4], f"n/{number}") == number


async def test_an_unknown_member_cannot_be_forgotten(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        with pytest.raises(UnknownMemberError, match="there is no member 'x'"):
            await cluster.forget("x")
