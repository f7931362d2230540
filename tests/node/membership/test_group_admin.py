"""Groups as part of every epoch: made, changed and deleted, by a majority."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import trio

from gossipnode.core.cluster.change_refusals import ChangeRefusedError, GroupExistsError
from gossipnode.core.cluster.cluster_metadata import Group, InvalidGroupError
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.node.refusals.request_errors import (
    RefusedGroupError,
    TooFewMembersError,
    TooFewReplicasError,
    UnknownGroupError,
    UnknownLevelError,
)
from gossipnode.sim import Cluster
from tests.node.moving import eventually, held, moving, moving_cluster, put_one, settled, tidy, value

pytestmark = pytest.mark.slow

WITHIN_SECONDS = 2.0


def shards_of(cluster: Cluster, group: str) -> list[ShardId]:
    return [shard for name in cluster.running for shard in held(cluster, name) if shard.group == group]


def same_everywhere(cluster: Cluster, group: str, names: Iterable[str] = "abc") -> bool:
    found = [cluster.view(name).groups.get(group) for name in names]
    return found[0] is not None and found.count(found[0]) == len(found)


async def test_a_created_group_works_on_every_member_at_once(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        began = trio.current_time()
        change = await cluster.parts("b").membership.groups.create(
            "new", shards=4, replicas=2, indexes=["k", "k"]
        )
        assert trio.current_time() - began < WITHIN_SECONDS
        assert (change.acknowledged, change.members) == (3, 3)
        assert change.group.indexes == ("k",)
        for number, name in enumerate("abc"):
            await put_one(cluster, name, f"n/{number}", number, group="new")
        for number in range(3):
            for name in "abc":
                assert await value(cluster, name, f"n/{number}", group="new") == number
        assert cluster.parts("c").membership.groups.groups("new") == [change.group]
        assert [group.name for group in cluster.parts("a").membership.groups.groups()] == ["new", "sw"]


async def test_a_group_has_defaults(autojump_clock: object) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster):
        group = (await cluster.parts("a").membership.groups.create("new", force=True)).group
        default = Group("new")
        assert (group.shards, group.replicas, group.ack) == (
            default.shards,
            default.replicas,
            AckLevel.QUORUM,
        )
        assert group.tombstone_retention_seconds == default.tombstone_retention_seconds


async def test_a_member_that_was_away_has_the_group_on_its_return(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.end("c")
        change = await cluster.parts("a").membership.groups.create("new")
        assert (change.acknowledged, change.members) == (2, 3)
        await put_one(cluster, "a", "n/1", 1, group="new")
        await cluster.start(nursery, "c")
        assert await value(cluster, "c", "n/1", group="new") == 1
        await put_one(cluster, "c", "n/1", 2, group="new", ack="all")


async def test_a_member_that_was_cut_off_has_the_group_soon(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        await cluster.isolate("c")
        await cluster.parts("a").membership.groups.create("new")
        with pytest.raises(UnknownGroupError):
            await value(cluster, "c", "n/1", group="new")
        cluster.faults.heal()
        with trio.fail_after(20):
            await eventually(lambda: same_everywhere(cluster, "new"))


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"name": "sw"}, GroupExistsError, "exists already"),
        ({"name": ""}, InvalidGroupError, "name: expected"),
        ({"name": "a/b"}, InvalidGroupError, "name: expected"),
        ({"name": "_x"}, RefusedGroupError, "the system's own"),
        ({"name": "_system"}, RefusedGroupError, "the system's own"),
        ({"name": "x", "shards": 5000}, InvalidGroupError, "shards: expected 1 to"),
        ({"name": "x", "shards": -1}, InvalidGroupError, "shards: expected 1 to"),
        ({"name": "x", "replicas": -1}, InvalidGroupError, "replicas: expected 1 to"),
        ({"name": "x", "ack": "most"}, UnknownLevelError, "expected one of"),
        ({"name": "x", "ack": "local"}, InvalidGroupError, "ack: expected one, quorum or all"),
        ({"name": "x", "indexes": [""]}, InvalidGroupError, "is no tag key"),
        ({"name": "x", "tombstone_retention_seconds": -5}, InvalidGroupError, "tombstone_retention"),
    ],
)
async def test_what_cannot_be_created_is_refused(
    arguments: dict[str, object], error: type[Exception], problem: str, autojump_clock: object
) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster):
        with pytest.raises(error, match=problem):
            await cluster.parts("a").membership.groups.create(**arguments)  # type: ignore[arg-type]
        assert list(cluster.view("a").groups) == ["sw"]


async def test_two_clients_of_one_node_cannot_both_create_a_group(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        cluster.stores["a"].commit_seconds = 0.01
        said: list[str] = []

        async def create() -> None:
            try:
                await cluster.parts("a").membership.groups.create("new")
            except GroupExistsError:
                said.append("exists")
            else:
                said.append("made")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(create)
            nursery.start_soon(create)
        assert sorted(said) == ["exists", "made"]


# --- alter ---


async def test_what_can_change_of_a_group_does_everywhere(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        made = (await cluster.parts("a").membership.groups.create("new", shards=4, replicas=2)).group
        await put_one(cluster, "a", "n/1", 1, group="new")
        change = await cluster.parts("b").membership.groups.alter(
            "new", ack="all", tombstone_retention_seconds=60, indexes=["k"]
        )
        for name in "abc":
            assert cluster.view(name).groups["new"] == change.group
        altered = change.group
        assert (altered.shards, altered.replicas, altered.incarnation) == (4, 2, made.incarnation)
        assert (altered.ack, altered.tombstone_retention_seconds, altered.indexes) == (
            AckLevel.ALL,
            60,
            ("k",),
        )
        assert await value(cluster, "c", "n/1", group="new") == 1
        await cluster.parts("b").membership.groups.alter("new", indexes=[])
        assert cluster.view("c").groups["new"].indexes == ()
        assert cluster.view("c").groups["new"].ack is AckLevel.ALL


async def test_two_changes_of_one_group_at_once_both_hold(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        await cluster.parts("a").membership.groups.create("new")
        cluster.stores["a"].commit_seconds = 0.01

        async def alter_ack() -> None:
            await cluster.parts("a").membership.groups.alter("new", ack="one")

        async def alter_indexes() -> None:
            await cluster.parts("a").membership.groups.alter("new", indexes=["k"])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(alter_ack)
            nursery.start_soon(alter_indexes)
        group = cluster.view("b").groups["new"]
        assert (group.ack, group.indexes) == (AckLevel.ONE, ("k",))


async def test_a_change_that_cannot_be_is_refused(autojump_clock: object) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster):
        groups = cluster.parts("a").membership.groups
        with pytest.raises(UnknownGroupError):
            await groups.alter("new", ack="all")
        with pytest.raises(RefusedGroupError):
            await groups.alter("_system", ack="all")
        with pytest.raises(UnknownLevelError):
            await groups.alter("sw", ack="most")
        with pytest.raises(InvalidGroupError):
            await groups.alter("sw", tombstone_retention_seconds=-1)


async def test_a_group_of_the_configuration_is_one_like_all_others(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        await cluster.parts("a").membership.groups.alter("sw", indexes=["k"])
        await cluster.end("b")
        await cluster.start(nursery, "b")
        for name in "abc":
            assert cluster.view(name).groups["sw"].indexes == ("k",)
            assert await value(cluster, name, "n/1") == 1
        await cluster.parts("a").membership.groups.delete("sw")
        await cluster.end("b")
        await cluster.start(nursery, "b")
        for name in "abc":
            assert "sw" not in cluster.view(name).groups


# --- delete ---


async def test_deleting_a_group_removes_its_records_everywhere(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.parts("a").membership.groups.create("new", shards=2)
        for number in range(10):
            await put_one(cluster, "a", f"n/{number}", number, group="new", ack="all")
        await cluster.end("c")
        change = await cluster.parts("b").membership.groups.delete("new")
        assert (change.acknowledged, change.members) == (2, 3)
        with pytest.raises(UnknownGroupError):
            await value(cluster, "a", "n/1", group="new")
        with pytest.raises(UnknownGroupError):
            await cluster.parts("a").membership.groups.delete("new")
        await eventually(lambda: not shards_of(cluster, "new"))
        assert any(shard.group == "new" for shard in held(cluster, "c"))
        await cluster.start(nursery, "c")
        await eventually(lambda: not shards_of(cluster, "new"))


async def test_a_group_made_again_never_shows_old_records(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.parts("a").membership.groups.create("new")
        for number in range(5):
            await put_one(cluster, "a", f"n/{number}", number, group="new", ack="all")
        await cluster.end("c")
        await cluster.parts("a").membership.groups.delete("new")
        await cluster.parts("b").membership.groups.create("new", shards=3)
        await put_one(cluster, "b", "n/new", 7, group="new")
        await cluster.start(nursery, "c")
        for name in "abc":
            for number in range(5):
                assert await value(cluster, name, f"n/{number}", group="new") is None
            assert await value(cluster, name, "n/new", group="new") == 7
        await eventually(lambda: len({shard.incarnation for shard in shards_of(cluster, "new")}) == 1)


async def test_a_minority_makes_changes_and_deletes_nothing(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        await cluster.parts("a").membership.groups.create("old")
        await eventually(lambda: same_everywhere(cluster, "old"))
        await cluster.isolate("c")
        groups = cluster.parts("c").membership.groups
        with pytest.raises(TooFewMembersError, match="1 of 3 members agreed"):
            await groups.create("new")
        with pytest.raises(TooFewMembersError, match="1 of 3 members agreed"):
            await groups.alter("old", ack="all")
        await cluster.parts("a").membership.groups.delete("old")
        cluster.faults.heal()
        await eventually(lambda: len({cluster.view(name).epoch for name in "abc"}) == 1)
        await trio.sleep(30)
        for name in "abc":
            assert "old" not in cluster.view(name).groups


async def test_replicas_are_added_and_taken_away_while_records_stay(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcde", groups=("sw:4:2",))
    async with moving(cluster):
        for number in range(20):
            await put_one(cluster, "abcde"[number % 5], f"n/{number}", number)
        for replicas in (4, 1, 3):
            change = await cluster.parts("b").membership.groups.alter("sw", replicas=replicas)
            assert change.group.replicas == replicas
            for number in range(20):
                assert await value(cluster, "a", f"n/{number}") == number
            await settled(cluster, "abcde")
            await tidy(cluster)
            for shard in cluster.view("a").shards():
                placement = cluster.view("a").placement(shard)
                assert placement is not None
                assert len(placement.holders) == replicas
            for number in range(20):
                assert await value(cluster, "abcde"[number % 5], f"n/{number}", ack="all") == number


async def test_more_replicas_than_members_want_to_be_forced(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        groups = cluster.parts("a").membership.groups
        with pytest.raises(ChangeRefusedError, match="is to have 4 replicas, and the number of members is 3"):
            await groups.create("new", replicas=4)
        with pytest.raises(ChangeRefusedError, match="is to have 4 replicas, and the number of members is 3"):
            await groups.alter("sw", replicas=4)
        await groups.create("new", replicas=4, force=True)
        await put_one(cluster, "a", "n/1", 1, group="new")


# --- the system's own ---


async def test_clients_do_not_write_to_groups_of_the_system(autojump_clock: object) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster):
        with pytest.raises(RefusedGroupError):
            await put_one(cluster, "a", "member/x", 1, group="_system")
        with pytest.raises(RefusedGroupError):
            await cluster.coordinator("a").delete(Entity("_system", "member", "a"))
        with pytest.raises(RefusedGroupError):
            await cluster.parts("a").membership.groups.delete("_system")


async def test_a_group_survives_the_restart_of_all(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.parts("a").membership.groups.create("new", shards=2)
        await put_one(cluster, "b", "n/1", 1, group="new")
        for name in "abc":
            await cluster.end(name)
        for name in "abc":
            await cluster.start(nursery, name)
        assert await value(cluster, "c", "n/1", group="new") == 1


async def test_with_too_few_members_a_quorum_is_refused_by_the_number(autojump_clock: object) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster):
        await cluster.parts("a").membership.groups.create("new", replicas=3, force=True)
        with pytest.raises(TooFewReplicasError, match="there are 1 members for 3 replicas"):
            await put_one(cluster, "a", "n/1", 1, group="new")
        await put_one(cluster, "a", "n/1", 1, group="new", ack="one")
