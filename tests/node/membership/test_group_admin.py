"""Groups as records of the registry: made, changed, deleted, and made at two places at once."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import structlog.testing
import trio

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.registry_records import InvalidGroupError, group_entity
from gossipnode.core.cluster.view import SYSTEM_GROUP, SYSTEM_SHARD, Group
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.node.local.registry import registry_record
from gossipnode.node.refusals.request_errors import (
    ConfiguredGroupError,
    GroupExistsError,
    RefusedGroupError,
    TooFewReplicasError,
    UnknownGroupError,
    UnknownLevelError,
)
from gossipnode.sim import Cluster
from tests.node.moving import eventually, held, moving, moving_cluster, put_one, value

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
    cluster = moving_cluster(names="a")
    async with moving(cluster):
        group = (await cluster.parts("a").membership.groups.create("new")).group
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
        ({"name": SYSTEM_GROUP}, RefusedGroupError, "the system's own"),
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
            await groups.alter(SYSTEM_GROUP, ack="all")
        with pytest.raises(UnknownLevelError):
            await groups.alter("sw", ack="most")
        with pytest.raises(InvalidGroupError):
            await groups.alter("sw", tombstone_retention_seconds=-1)


async def test_a_configured_group_can_be_altered_and_not_deleted(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        await cluster.parts("a").membership.groups.alter("sw", indexes=["k"])
        with pytest.raises(ConfiguredGroupError):
            await cluster.parts("a").membership.groups.delete("sw")
        await cluster.end("b")
        await cluster.start(nursery, "b")
        for name in "abc":
            assert cluster.view(name).groups["sw"].indexes == ("k",)
            assert await value(cluster, name, "n/1") == 1


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


async def test_a_creator_that_did_not_know_of_a_deletion_brings_nothing_back(autojump_clock: object) -> None:
    """b never heard of the group, and c never of its end. Only a knows both, and its knowledge spreads."""
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.isolate("b")
        await cluster.parts("a").membership.groups.create("new")
        for number in range(5):
            await put_one(cluster, "a", f"n/{number}", number, group="new", ack="one")
        await eventually(lambda: same_everywhere(cluster, "new", "ac"))
        await eventually(lambda: any(shard.group == "new" for shard in held(cluster, "c")))
        await cluster.end("c")
        await cluster.parts("a").membership.groups.delete("new")
        await eventually(lambda: not any(shard.group == "new" for shard in held(cluster, "a")))
        await trio.sleep(1)
        await cluster.parts("b").membership.groups.create("new")
        cluster.faults.heal()
        await eventually(lambda: same_everywhere(cluster, "new", "ab"))
        await trio.sleep(5)
        await cluster.start(nursery, "c")
        await eventually(lambda: same_everywhere(cluster, "new"))
        await trio.sleep(30)
        for name in "abc":
            for number in range(5):
                assert await value(cluster, name, f"n/{number}", group="new") is None


# --- the same name at two places at once ---


async def test_a_group_made_twice_at_once_ends_as_one_with_all_records(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        await cluster.isolate("c")
        await cluster.parts("a").membership.groups.create("new", shards=2, ack="one")
        await trio.sleep(1)
        await cluster.parts("c").membership.groups.create("new", shards=3, ack="one")
        for number in range(6):
            await put_one(cluster, "a", f"n/{number}", number, group="new")
            await put_one(cluster, "c", f"n/{number + 100}", number, group="new")
        await put_one(cluster, "a", "n/both", 1, group="new")
        await trio.sleep(1)
        await put_one(cluster, "c", "n/both", 2, group="new")
        with structlog.testing.capture_logs() as logs:
            cluster.faults.heal()
            await eventually(lambda: same_everywhere(cluster, "new"))
            assert cluster.view("a").groups["new"].shards == 3
            await eventually(
                lambda: len({shard.incarnation for shard in shards_of(cluster, "new")}) == 1,
                "the loser's records are moved",
            )
        warnings = [log for log in logs if log["event"].startswith("group was created twice at once")]
        assert warnings
        assert {(log["log_level"], log["group"]) for log in warnings} == {("warning", "new")}
        for name in "abc":
            for number in range(6):
                assert await value(cluster, name, f"n/{number}", group="new", ack="all") == number
                assert await value(cluster, name, f"n/{number + 100}", group="new", ack="all") == number
            assert await value(cluster, name, "n/both", group="new", ack="all") == 2


async def test_the_losers_records_move_also_from_a_member_that_was_away(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.isolate("c")
        await cluster.parts("c").membership.groups.create("new", ack="one")
        await put_one(cluster, "c", "n/1", 1, group="new")
        await cluster.end("c")
        cluster.faults.heal()
        await trio.sleep(1)
        won = (await cluster.parts("a").membership.groups.create("new")).group
        await put_one(cluster, "a", "n/2", 2, group="new")
        await cluster.start(nursery, "c")
        await eventually(
            lambda: {shard.incarnation for shard in shards_of(cluster, "new")} == {won.incarnation}
        )
        for name in "abc":
            assert await value(cluster, name, "n/1", group="new") == 1
            assert await value(cluster, name, "n/2", group="new") == 2


# --- the system's own ---


async def test_clients_do_not_write_to_groups_of_the_system(autojump_clock: object) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster):
        with pytest.raises(RefusedGroupError):
            await put_one(cluster, "a", "member/x", 1, group=SYSTEM_GROUP)
        with pytest.raises(RefusedGroupError):
            await cluster.coordinator("a").delete(Entity(SYSTEM_GROUP, "member", "a"))
        with pytest.raises(RefusedGroupError):
            await cluster.parts("a").membership.groups.delete(SYSTEM_GROUP)


async def test_a_definition_that_makes_no_sense_is_left_out(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        made = (await cluster.parts("a").membership.groups.create("new")).group
        for name, tags in (("other", {"shards": "many"}), (SYSTEM_GROUP, {"shards": 1})):
            record = registry_record(group_entity(name), tags, revision=9, created=9)
            await cluster.nodes["a"].parts.local.writer.write([(SYSTEM_SHARD, record)])
        with trio.fail_after(30):
            roots = [cluster.nodes[name].parts.local.registry for name in "abc"]
            await eventually(lambda: len({registry.root for registry in roots}) == 1)
        for name in "abc":
            assert set(cluster.view(name).groups) == {"new", "sw"}
            assert cluster.view(name).groups["new"] == made
        await cluster.parts("b").membership.groups.create("other")
        await put_one(cluster, "c", "n/1", 1, group="other")


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
        await cluster.parts("a").membership.groups.create("new", replicas=3)
        with pytest.raises(TooFewReplicasError, match="there are 1 members for 3 replicas"):
            await put_one(cluster, "a", "n/1", 1, group="new")
        await put_one(cluster, "a", "n/1", 1, group="new", ack="one")
