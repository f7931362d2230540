"""Members stay members until they are forgotten, and then hand over what they have."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from gossipnode.core.cluster.change_refusals import ChangeRefusedError, NoSuchThingError
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.sim import Cluster
from tests.node.moving import held, moving, moving_cluster, put_one, settled, settled_but, value
from tests.records import entity

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
        assert "the cluster has forgotten d" in str(cluster.errors["d"])
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


async def test_a_healthy_member_of_a_group_of_one_replica_loses_nothing(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:8:1",))
    async with moving(cluster):
        for number in range(40):
            await put_one(cluster, "a", f"n/{number}", number)
        await cluster.forget("c")
        for number in range(40):
            assert await value(cluster, "a", f"n/{number}") == number
            await put_one(cluster, "a", f"n/{number}", number + 1)
        await cluster.ended["c"].wait()
        await settled(cluster, "ab")
        for number in range(40):
            assert await value(cluster, "b", f"n/{number}") == number + 1


async def test_two_members_that_alone_have_records_are_forgotten_at_once(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcde", groups=("sw:8:3",))
    async with moving(cluster):
        for name in "abc":
            await cluster.isolate(name)
        cluster.faults.mend(("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b"))
        for number in range(20):
            with suppress(TooFewReplicasError):
                await put_one(cluster, "d", f"n/{number}", number)
        there = [number for number in range(20) if await has(cluster, "d", number)]
        assert there
        cluster.faults.heal()
        await cluster.forget("d", at="a")
        await cluster.forget("e", at="b")
        for number in there:
            assert await value(cluster, "a", f"n/{number}") == number
        await settled(cluster, "abc")
        for number in there:
            assert await value(cluster, "c", f"n/{number}") == number


async def has(cluster: Cluster, name: str, number: int) -> bool:
    """Whether a quorum has a record, as a node sees it."""
    try:
        return await value(cluster, name, f"n/{number}") == number
    except TooFewReplicasError:
        return False


async def test_a_record_that_the_leaving_member_alone_has_is_handed_over(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:4:2",))
    async with moving(cluster):
        await cluster.isolate("d")
        mine = [number for number in range(20) if await is_replica(cluster, "d", number)]
        for number in mine:
            await put_one(cluster, "d", f"n/{number}", number, ack="one")
        cluster.faults.heal()
        await cluster.forget("d")
        await cluster.ended["d"].wait()
        await settled(cluster, "abc")
        for number in mine:
            assert await value(cluster, "a", f"n/{number}", ack="all") == number


async def is_replica(cluster: Cluster, name: str, number: int) -> bool:
    shards = cluster.parts(name).local.shards
    return shards.holds(shards.shard_of(entity(f"n/{number}")))


async def test_a_member_that_does_not_answer_is_dropped_if_enough_copies_stay(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:4:3", "one:16:1"))
    async with moving(cluster):
        await cluster.isolate("d")
        with pytest.raises(ChangeRefusedError, match=r"losing acknowledged writes: .* one/\d"):
            await cluster.forget("d")
        await cluster.forget("d", accept_loss=True)
        await settled_but(cluster, "abc", without="d")
        assert "d" in cluster.running
        cluster.faults.heal()
        await cluster.ended["d"].wait()
        assert "the cluster has forgotten d" in str(cluster.errors["d"])


async def test_the_last_member_and_what_a_quorum_needs_are_not_forgotten(autojump_clock: object) -> None:
    cluster = moving_cluster(names="ab", groups=("sw:1:2",))
    async with moving(cluster):
        with pytest.raises(ChangeRefusedError, match="a quorum of group 'sw' needs 2"):
            await cluster.forget("b")
        await cluster.forget("b", force=True)
        await cluster.ended["b"].wait()
        with pytest.raises(ChangeRefusedError, match="a is the last member"):
            await cluster.forget("a", force=True)


async def test_a_forgotten_node_does_not_come_back_with_its_old_store(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd")
    async with moving(cluster):
        await put_one(cluster, "a", "n/1", 1)
        await cluster.end("d")
        await cluster.forget("d")
        assert "forgotten" in await cluster.refused("d")
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
        assert "forgotten" in await cluster.refused("d")
        assert list(cluster.view("a").members) == ["a", "b", "c"]


async def test_a_forgotten_node_comes_back_empty_as_a_new_member(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        for number in range(20):
            await put_one(cluster, "a", f"n/{number}", number)
        await cluster.forget("d")
        await cluster.ended["d"].wait()
        await cluster.lose_disk("d")
        assert "start it with" in await cluster.refused("d")
        await cluster.lose_disk("d")
        await cluster.join(nursery, "d")
        await settled(cluster, "abcd")
        for number in range(20):
            assert await value(cluster, "abcd"[number % 4], f"n/{number}") == number


async def test_an_unknown_member_cannot_be_forgotten(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        with pytest.raises(NoSuchThingError, match="there is no member 'x'"):
            await cluster.forget("x")
