"""Nodes that become members when they start: they join, come back, move elsewhere, or are refused."""

from __future__ import annotations

import pytest
import structlog.testing

from gossipnode.core.model.property import ShardId
from gossipnode.node.membership.standing import addresses
from tests.node.moving import eventually, moving, moving_cluster, put_one, settled, value
from tests.records import record

pytestmark = pytest.mark.slow


async def test_a_node_that_joins_is_known_to_all_and_to_nobodys_configuration(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d", through="b")
        await settled(cluster, "abcd")
        for name in "abcd":
            assert str(cluster.view(name).members["d"].address) == "d:7400"
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
    cluster = moving_cluster(names="d", formed=False)
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
        assert after.birth == before.birth
        await eventually(lambda: cluster.view("a").members["d"].address == "elsewhere:7401")
        assert cluster.view("a").is_settled
        await put_one(cluster, "a", "n/1", 1, ack="all")


async def test_a_second_node_of_one_name_is_refused(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.join(nursery, "d")
        await settled(cluster, "abcd")
        twin = moving_cluster(formed=False)
        twin.network, twin.faults, twin.seed = cluster.network, cluster.faults, 7
        before = cluster.view("a").members["d"]
        for overrides, why in (
            ({"cluster.peers": [], "cluster.join": ["a:7400"]}, "has another data directory"),
            ({"cluster.peers": [], "cluster.join": ["a:7400"], "cluster.replace": True}, "running already"),
            (
                {"cluster.peers": ["a=a:7400", "b=b:7400", "c=c:7400"]},
                "another data directory is the member d",
            ),
        ):
            assert why in await twin.refused("d", **overrides, **{"node.listen": "twin:7400"})
            assert cluster.view("a").members["d"] == before


async def test_a_node_without_its_disk_is_told_to_take_its_own_place(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        await cluster.lose_disk("c")
        assert "--join --replace" in await cluster.refused("c")
        cluster.through["c"] = "a"
        assert "--join --replace" in await cluster.refused("c")
        before = cluster.view("a").members["c"]
        await cluster.replace(nursery, "c")
        assert cluster.view("a").members["c"].birth != before.birth
        await settled(cluster, "abc")
        assert await value(cluster, "c", "n/1", ack="local") == 1


async def test_a_member_of_the_configuration_is_replaced_at_another_address(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.lose_disk("c")
        await cluster.replace(nursery, "c", **{"node.listen": "elsewhere:7401"})
        assert cluster.view("a").members["c"].address == "elsewhere:7401"
        await settled(cluster, "abc")


async def test_what_could_lose_writes_is_refused_and_names_the_shards(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:4:1",))
    async with moving(cluster) as nursery:
        await cluster.lose_disk("c")
        cluster.through["c"] = "a"
        refusal = await cluster.refused("c", **{"cluster.replace": True})
        assert "without losing acknowledged writes" in refusal
        assert "sw/" in refusal
        await cluster.replace(nursery, "c", **{"cluster.accept_loss": True})
        await settled(cluster, "abc")


async def test_other_settings_than_the_clusters_are_refused(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        cluster.through["d"] = "a"
        why = "the cluster has sw:1:3, the settings say sw:4:3"
        assert why in await cluster.refused("d", groups=["sw:4:3"])
        assert list(cluster.view("a").members) == ["a", "b", "c"]
        await cluster.end("c")
        assert why in await cluster.refused("c", groups=["sw:4:3"])
        with structlog.testing.capture_logs() as logs:
            await cluster.start(nursery, "c", groups=["sw:1:3", "more:1:3"])
        assert [log["difference"] for log in logs if "difference" in log] == [
            "group more is in the settings and not in the cluster: "
            "`group create more --shards 1 --replicas 3` makes it"
        ]
        assert list(cluster.view("c").groups) == ["sw"]


async def test_a_node_with_the_peers_of_a_cluster_that_runs_forms_none(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        await cluster.end("c")
        refusal = await cluster.refused("g", **{"cluster.peers": ["a=a:7400", "b=b:7400"]})
        assert refusal == "the cluster of a at a:7400 has no member g: start it with --join"
        assert list(cluster.view("a").members) == ["a", "b", "c"]


async def test_a_directory_of_an_earlier_version_is_refused_with_what_to_do(autojump_clock: object) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster):
        await cluster.stores["a"].write([(ShardId("_gossipnode", 0, 0), record("n/1", group="_gossipnode"))])
        await cluster.end("a")
        assert "import --keep-versions" in await cluster.refused("a")


async def test_a_member_is_where_it_said_then_where_the_epoch_has_it(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        parts = cluster.nodes["a"].parts
        settings = cluster.settings("a", **{"cluster.peers": ["b=other:1", "z=z:1"]})
        await eventually(lambda: len(parts.members.said_addresses) == 2)
        parts.members.said_addresses["c"] = "said:1"
        found = addresses(settings, parts.local.cluster, parts.members)
        assert {name: str(address) for name, address in found.items()} == {
            "a": "a:7400",
            "b": "b:7400",
            "c": "said:1",
        }
