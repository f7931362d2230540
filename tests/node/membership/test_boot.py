"""Nodes that become members when they start: they join, come back, move elsewhere, or are refused."""

from __future__ import annotations

import pytest

from gossipnode.node.membership.boot import addresses
from tests.node.moving import eventually, moving, moving_cluster, put_one, settled, value

pytestmark = pytest.mark.slow


async def test_a_node_that_joins_is_known_to_all_and_to_nobodys_configuration(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d", through="b")
        await settled(cluster, "abcd")
        for name in "abcd":
            assert str(cluster.view(name).members["d"].address) == "d:7400"
            assert cluster.view(name).members["d"].joined > 0
        assert "d" not in cluster.settings("a").members


async def test_a_node_that_joins_needs_no_groups_in_its_configuration(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:4:2",))
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        cluster.through["d"] = "a"
        await cluster.start(nursery, "d", groups=[])
        await settled(cluster, "abcd")
        assert await value(cluster, "d", "n/1") == 1
        assert cluster.view("d").groups == cluster.view("a").groups


async def test_a_node_joins_through_any_of_several_addresses(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.start(nursery, "d", **{"cluster.peers": [], "cluster.join": ["x:7400", "c:7400"]})
        await settled(cluster, "abcd")


async def test_a_node_that_finds_nobody_to_join_does_not_start(autojump_clock: object) -> None:
    cluster = moving_cluster(names="d")
    cluster.through["d"] = "a"
    assert "no member to join" in await cluster.refused("d")


async def test_a_node_that_joined_starts_again_without_asking_anybody(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d")
        await settled(cluster, "abcd")
        joined = cluster.view("a").members["d"]
        await cluster.end("d")
        await cluster.end("a")
        await cluster.start(nursery, "d")
        await cluster.start(nursery, "a")
        await settled(cluster, "abcd")
        assert cluster.view("a").members["d"] == joined


async def test_a_member_learns_on_its_return_who_came_meanwhile(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.end("c")
        await cluster.join(nursery, "d")
        await cluster.start(nursery, "c")
        assert list(cluster.view("c").members) == ["a", "b", "c", "d"]
        await settled(cluster, "abcd")


async def test_a_member_at_a_new_address_stays_the_same_member(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d")
        await settled(cluster, "abcd")
        before = cluster.view("a").members["d"]
        await cluster.end("d")
        await cluster.start(nursery, "d", **{"node.listen": "elsewhere:7401"})
        await eventually(
            lambda: all(
                str(cluster.parts(name).members.peers["d"].address) == "elsewhere:7401" for name in "abc"
            )
        )
        after = cluster.view("a").members["d"]
        assert (after.joined, after.birth) == (before.joined, before.birth)
        assert cluster.view("a").is_settled
        await put_one(cluster, "a", "n/1", 1, ack="all")


async def test_a_second_node_of_one_name_is_refused(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d")
        await settled(cluster, "abcd")
        twin = moving_cluster()
        twin.network, twin.faults = cluster.network, cluster.faults
        for overrides in (
            {"cluster.peers": [], "cluster.join": ["a:7400"]},
            {"cluster.peers": ["a=a:7400", "b=b:7400", "c=c:7400"]},
        ):
            before = cluster.view("a").members["d"]
            assert "running already" in await twin.refused("d", **overrides, **{"node.listen": "twin:7400"})
            assert cluster.view("a").members["d"] == before


async def test_a_node_without_its_disk_joins_again_at_once(autojump_clock: object) -> None:
    """Nobody has noticed yet that it was gone."""
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d")
        await settled(cluster, "abcd")
        before = cluster.view("a").members["d"]
        await cluster.lose_disk("d")
        await cluster.join(nursery, "d")
        assert cluster.view("a").members["d"].joined > before.joined
        await settled(cluster, "abcd")


async def test_a_configured_member_without_its_disk_takes_a_new_address(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.lose_disk("c")
        await cluster.start(nursery, "c", **{"node.listen": "elsewhere:7401"})
        assert cluster.view("a").members["c"].address == "elsewhere:7401"


async def test_an_address_of_the_configuration_wins(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        node = cluster.nodes["a"]
        found = addresses(
            cluster.settings("a", **{"cluster.peers": ["b=other:1"]}), node.parts.local.registry
        )
        assert {name: str(address) for name, address in found.items()} == {
            "a": "a:7400",
            "b": "other:1",
            "c": "c:7400",
        }
