"""Data directories with records that come as new members: their records reach the others, once."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
import structlog.testing
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.node.identity.birth import BIRTH_NOTE, OFFER_NOTE
from gossipnode.node.identity.owner import OWNER_NOTE, give_store, owner_of
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.node.local.fill_state import FILLED_NOTE
from gossipnode.node.membership.recover_store import carry_out_recovery, plan_recovery
from gossipnode.sim import Cluster
from gossipnode.store.memory import MemoryStore
from tests.node.moving import eventually, held, moving, moving_cluster, put_one, settled, tidy, value
from tests.records import entity, record

pytestmark = pytest.mark.slow

AS_NEW: dict[str, Any] = {"cluster.as_new": True}
GROUPS = ("sw:2:3", "two:8:2", "alone:8:1")
KEYS = [f"n/{number}" for number in range(20)]


async def write_all(
    cluster: Cluster, name: str = "a", groups: Iterable[str] = ("sw", "two", "alone")
) -> None:
    for group in groups:
        for number, key in enumerate(KEYS):
            await put_one(cluster, name, key, number, group=group)


async def assert_all(cluster: Cluster, names: Iterable[str]) -> None:
    for name in names:
        for group in ("sw", "two", "alone"):
            found = [await value(cluster, name, key, group=group) for key in KEYS]
            assert found == list(range(len(KEYS))), (name, group)


async def recover(cluster: Cluster, name: str) -> None:
    """End every node, and make the store of one that of a cluster of its own."""
    for each in [*cluster.running]:
        await cluster.end(each)
    store = cluster.stores[name] = cluster.stores[name].reopen()
    await carry_out_recovery(store, await plan_recovery(store, name, random.Random(7)))


async def as_new(
    cluster: Cluster, nursery: trio.Nursery, name: str, through: str = "a", **more: object
) -> None:
    cluster.through[name] = through
    await cluster.start(nursery, name, **{**AS_NEW, **more})


def birth(cluster: Cluster, name: str) -> int:
    return cluster.view(name).members[name].birth


async def notes(cluster: Cluster, name: str) -> list[bytes | None]:
    return [await cluster.stores[name].note(key) for key in (BIRTH_NOTE, CLUSTER_NOTE, OWNER_NOTE)]


async def test_a_cluster_goes_on_from_one_survivor(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=GROUPS)
    async with moving(cluster) as nursery:
        await write_all(cluster)
        # What a quorum acknowledged need not be on the survivor.
        await cluster.end("a")
        await put_one(cluster, "b", "late/1", 1)
        before = {name: birth(cluster, name) for name in "abc"}
        kept = {*held(cluster, "a"), *held(cluster, "c")}
        only_c = {*held(cluster, "c")} - {*held(cluster, "a")}
        assert {shard.group for shard in only_c} == {"two", "alone"}
        await cluster.lose_disk("b")
        await recover(cluster, "a")
        await cluster.start(nursery, "a")
        assert list(cluster.view("a").members) == ["a"]
        assert cluster.view("a").epoch == 1_000_001
        await as_new(cluster, nursery, "c")
        await cluster.join(nursery, "b")
        await settled(cluster, "abc")
        await tidy(cluster)
        await eventually(lambda: all_have(cluster, "late/1", "abc"), "the late record everywhere")
        assert birth(cluster, "a") == before["a"]
        assert birth(cluster, "c") not in (0, before["c"])
        shard_of = cluster.parts("a").local.shards.shard_of
        for group in ("sw", "two", "alone"):
            for number, key in enumerate(KEYS):
                wanted = number if shard_of(entity(key, group)) in kept else None
                found = [await value(cluster, name, key, group=group) for name in "abc"]
                assert found == [wanted] * 3, (group, key)


async def all_have(cluster: Cluster, key: str, names: Iterable[str]) -> bool:
    held_by = await cluster.held_of(entity(key))
    return all(held_by[name] is not None for name in names)


async def test_what_a_new_member_alone_had_reaches_every_replica(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:1:4",))
    async with moving(cluster) as nursery:
        await cluster.end("d")
        await cluster.put("d", record("lonely/1", k=7))
        await cluster.forget("d")
        await settled(cluster, "abc")
        # Filling does without c, and d is started again before c is back.
        await cluster.end("c")
        await as_new(cluster, nursery, "d")
        await settled(cluster, "abcd")
        assert await all_have(cluster, "lonely/1", "abd")
        assert not await all_have(cluster, "lonely/1", "c")
        await cluster.end("d")
        await cluster.start(nursery, "d", **{"cluster.peers": [], "cluster.join": []})
        await trio.sleep(30)
        await cluster.start(nursery, "c")
        await eventually(lambda: all_have(cluster, "lonely/1", "c"), "the record at c")
        await trio.sleep(60)
        assert await cluster.stores["d"].note(OFFER_NOTE) is None


async def test_a_member_that_was_forgotten_while_it_was_away_hands_over_what_it_alone_has(
    autojump_clock: object,
) -> None:
    cluster = moving_cluster(groups=GROUPS)
    async with moving(cluster) as nursery:
        await write_all(cluster)
        await cluster.end("c")
        shard = cluster.parts("a").local.shards.shard_of(entity("lonely/1", "alone"))
        await cluster.put("c", record("lonely/1", group="alone", k=7), shard=shard.shard)
        await cluster.forget("c", accept_loss=True)
        await settled(cluster, "ab")
        why = await cluster.refused("c")
        assert "--join ADDR --as-new" in why
        await as_new(cluster, nursery, "c")
        await settled(cluster, "abc")
        await tidy(cluster)
        await assert_all(cluster, "abc")
        assert [await value(cluster, name, "lonely/1", group="alone") for name in "abc"] == [7, 7, 7]
        assert list(cluster.view("a").metadata.forgotten) == []


async def test_it_is_done_once(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.end("c")
        await cluster.forget("c")
        await as_new(cluster, nursery, "c")
        await settled(cluster, "abc")
        joined = birth(cluster, "c")
        epoch = cluster.view("a").epoch
        await cluster.end("c")
        await as_new(cluster, nursery, "c")
        assert (birth(cluster, "c"), cluster.view("c").epoch) == (joined, epoch)
        # A whole cluster that is started again has nobody to ask yet.
        for name in "abc":
            await cluster.end(name)
        await as_new(cluster, nursery, "c")
        await cluster.start(nursery, "a", "b")
        await settled(cluster, "abc")
        assert birth(cluster, "c") == joined
        # A member that never came as a new one does not become one either.
        before = birth(cluster, "b")
        await cluster.end("b")
        await as_new(cluster, nursery, "b")
        assert birth(cluster, "b") == before


async def test_who_came_as_new_before_comes_as_new_again_when_it_is_no_member(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.end("c")
        await cluster.forget("c")
        await as_new(cluster, nursery, "c")
        await settled(cluster, "abc")
        first = birth(cluster, "c")
        await recover(cluster, "a")
        await cluster.start(nursery, "a")
        await as_new(cluster, nursery, "c")
        await settled(cluster, "ac")
        assert birth(cluster, "c") != first


async def test_an_old_member_that_is_started_as_before_is_told_what_to_do(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await recover(cluster, "a")
        await cluster.start(nursery, "a")
        with structlog.testing.capture_logs() as logs:
            await cluster.start(nursery, "c")
            await trio.sleep(60)
        said = [log for log in logs if log["event"] == "a member is not at its address"]
        assert [log["member"] for log in said] == ["a"]
        assert "belongs to another cluster" in said[0]["reason"]
        assert "--join a:7400 --as-new" in said[0]["reason"]
        assert cluster.view("a").epoch == 1_000_001


async def test_a_store_that_nobody_answers_is_left_as_it_is(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        for name in "abc":
            await cluster.end(name)
        before = await notes(cluster, "c")
        cluster.through["c"] = "a"
        assert "no member to join" in await cluster.refused("c", **AS_NEW)
        assert await notes(cluster, "c") == before


@pytest.mark.parametrize("kept", range(6))
async def test_a_crash_leaves_a_store_that_is_no_members(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.end("c")
        await cluster.put("c", record("lonely/1", k=7))
        await cluster.forget("c")
        await settled(cluster, "ab")
        keep_note, left = MemoryStore.keep_note, kept

        async def keep_some(store: MemoryStore, key: str, note: bytes | None) -> None:
            nonlocal left
            if not left:
                raise OSError("power failure")
            left -= 1
            await keep_note(store, key, note)

        cluster.through["c"] = "a"
        with monkeypatch.context() as patched:
            patched.setattr(MemoryStore, "keep_note", keep_some)
            assert "power failure" in await cluster.refused("c", **AS_NEW)
        del cluster.through["c"]
        assert "--as-new" in await cluster.refused("c")
        await as_new(cluster, nursery, "c")
        await settled(cluster, "abc")
        await eventually(lambda: all_have(cluster, "lonely/1", "abc"), "the record everywhere")


async def test_an_empty_data_directory_comes_as_any_new_one(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        await as_new(cluster, nursery, "d")
        await settled(cluster, "abcd")
        assert await value(cluster, "d", "n/1") == 1
        assert await cluster.stores["d"].note(OFFER_NOTE) is None


async def test_a_copy_comes_under_another_name(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        copy = cluster.stores["zz"] = cluster.stores["c"].reopen()
        await give_store(copy, "c")
        await as_new(cluster, nursery, "zz")
        await settled(cluster, ["a", "b", "c", "zz"])
        assert await owner_of(cluster.stores["zz"]) == "zz"


async def test_records_of_shards_that_it_is_not_to_hold_are_handed_over(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=GROUPS)
    async with moving(cluster) as nursery:
        copy = cluster.stores["zz"] = cluster.stores["c"].reopen()
        shard_of = cluster.parts("a").local.shards.shard_of
        for group in ("two", "alone"):
            for key in KEYS:
                await copy.write([(shard_of(entity(key, group)), record(key, group=group, k=7))])
        before = {*copy.shards()}
        await as_new(cluster, nursery, "zz")
        await settled(cluster, ["a", "b", "c", "zz"])
        await tidy(cluster)
        given_up = before - {*held(cluster, "zz")}
        assert {shard.group for shard in given_up} == {"two", "alone"}
        for name in cluster.running:
            for group in ("two", "alone"):
                assert [await value(cluster, name, key, group=group) for key in KEYS] == [7] * len(KEYS)


async def test_a_members_name_needs_replace_as_well(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        other = moving_cluster(seed=9)
        async with moving(other):
            await put_one(other, "a", "n/2", 2)
        cluster.stores["x"] = other.stores["c"]
        await cluster.end("c")
        cluster.stores["c"] = cluster.stores.pop("x")
        cluster.through["c"] = "a"
        await cluster.stores["c"].keep_note(FILLED_NOTE, b"anything")
        assert "--join --replace" in await cluster.refused("c", **AS_NEW)
        assert [await cluster.stores["c"].note(key) for key in (CLUSTER_NOTE, FILLED_NOTE)] == [None, None]
        await as_new(cluster, nursery, "c", **{"cluster.replace": True})
        await settled(cluster, "abc")
        assert [await value(cluster, name, "n/2") for name in "abc"] == [2, 2, 2]
        assert [await value(cluster, name, "n/1") for name in "abc"] == [1, 1, 1]


@pytest.mark.parametrize(
    ("shard", "named"),
    [
        (ShardId("sw", 0, 3), "sw (made in epoch 3)"),
        (ShardId("gone", 0, 1), "gone (made in epoch 1)"),
        (ShardId("sw", 1, 1), "sw (made in epoch 1)"),
    ],
)
async def test_records_without_a_group_are_not_dropped_without_a_word(
    autojump_clock: object, shard: ShardId, named: str
) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        await cluster.end("c")
        await cluster.forget("c")
        homeless = record("n/9", group=shard.group, k=1)
        await cluster.stores["c"].write([(shard, homeless)])
        before = await notes(cluster, "c")
        cluster.through["c"] = "a"
        why = await cluster.refused("c", **AS_NEW)
        assert "has 1 records of groups that the cluster at a:7400 does not have" in why
        assert f"{named}; --accept-loss drops these records" in why
        assert await notes(cluster, "c") == before
        with structlog.testing.capture_logs() as logs:
            await as_new(cluster, nursery, "c", **{"cluster.accept_loss": True})
        (said,) = [log for log in logs if log["event"].startswith("records dropped")]
        assert (said["shard"], said["records"]) == (str(shard), 1)
        await settled(cluster, "abc")
        assert shard not in held(cluster, "c")
        assert await value(cluster, "c", "n/1", ack="local") == 1


async def test_a_group_with_another_number_of_shards_is_another_group(autojump_clock: object) -> None:
    cluster, other = moving_cluster(groups=("sw:4:3",)), moving_cluster(groups=("sw:8:3",), seed=9)
    async with moving(other):
        for number, key in enumerate(KEYS):
            await put_one(other, "a", key, number, ack="all")
    async with moving(cluster) as nursery:
        await cluster.end("c")
        await cluster.forget("c")
        cluster.stores["c"] = other.stores["c"]
        cluster.through["c"] = "a"
        why = await cluster.refused("c", **AS_NEW)
        assert f"has {len(KEYS)} records of groups that the cluster at a:7400 does not have" in why
        await as_new(cluster, nursery, "c", **{"cluster.accept_loss": True})
        await settled(cluster, "abc")
        assert [await value(cluster, "c", key) for key in KEYS] == [None] * len(KEYS)
        assert held(cluster, "c") == []


async def test_a_disk_that_was_lost_and_is_found_again_is_another_store(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await cluster.end("c")
        await cluster.put("c", record("lonely/1", k=7))
        lost, before = cluster.stores["c"], birth(cluster, "c")
        await cluster.lose_disk("c")
        await cluster.replace(nursery, "c")
        await settled(cluster, "abc")
        await cluster.end("c")
        cluster.stores["c"] = lost
        await as_new(cluster, nursery, "c", **{"cluster.replace": True})
        await settled(cluster, "abc")
        assert birth(cluster, "c") != before
        await eventually(lambda: all_have(cluster, "lonely/1", "abc"), "what the lost disk had")


async def test_a_copy_from_before_the_recovery_is_another_store(autojump_clock: object) -> None:
    """It has the name and the birth of a member, and knows another cluster."""
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        before = birth(cluster, "a")
        await cluster.end("a")
        copy = cluster.stores["a"].reopen()
        await recover(cluster, "a")
        await cluster.start(nursery, "a")
        await as_new(cluster, nursery, "b")
        await as_new(cluster, nursery, "c")
        await settled(cluster, "abc")
        await cluster.end("a")
        cluster.stores["a"], cluster.through["a"] = copy, "b"
        await cluster.start(nursery, "a", **AS_NEW, **{"cluster.replace": True})
        await settled(cluster, "abc")
        assert birth(cluster, "a") != before
