"""Stores that are brought back from a snapshot: nothing is lost by them, and nothing old comes back."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
import trio

from gossipnode.core.cluster.change_refusals import ChangeRefusedError
from gossipnode.core.cluster.recovery import EPOCHS_SKIPPED
from gossipnode.node.identity.birth import BIRTH_NOTE, OFFER_NOTE, noted_birth
from gossipnode.node.identity.owner import give_store
from gossipnode.node.local.cluster_state import CLUSTER_NOTE
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.node.snapshots.restored_store import RestoredStore, make_another
from gossipnode.sim import Cluster
from gossipnode.store.interface import StoreError
from gossipnode.store.memory import MemoryStore
from gossipnode.store.snapshot.manifest import SnapshotError
from gossipnode.wire.epochs.epoch_codec import decode_state
from tests.node.moving import eventually, held, moving, moving_cluster, put_one, settled, value
from tests.node.support import memory_store
from tests.records import entity, record


async def snapshot_of(cluster: Cluster, name: str) -> MemoryStore:
    """What a node's store holds now, apart from it."""
    copy = cluster.stores[name].reopen()
    await give_store(copy, name)
    return copy


async def restore(store: MemoryStore, *, new_cluster: bool = False) -> RestoredStore:
    return await make_another(store, random.Random(11), new_cluster=new_cluster)


async def bring_back(
    cluster: Cluster, name: str, snapshot: MemoryStore, *, new_cluster: bool = False
) -> None:
    """Lose the disk of a node, and restore a snapshot in its place."""
    await cluster.lose_disk(name)
    cluster.stores[name] = snapshot
    await restore(snapshot, new_cluster=new_cluster)


async def delete(cluster: Cluster, name: str, key: str) -> None:
    await cluster.coordinator(name).delete(entity(key))


@pytest.mark.slow
async def test_a_lost_node_comes_back_and_brings_nothing_old_back(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:2:3",))
    async with moving(cluster) as nursery:
        for key in ("n/old", "n/gone", "n/kept"):
            await put_one(cluster, "a", key, 1)
        await cluster.put("c", record("n/alone", k=7))
        snapshot = await snapshot_of(cluster, "c")
        before = cluster.view("a").members["c"].birth
        await put_one(cluster, "a", "n/old", 2)
        await put_one(cluster, "b", "n/late", 3)
        await delete(cluster, "a", "n/gone")
        await bring_back(cluster, "c", snapshot)
        await cluster.start(nursery, "c")
        await settled(cluster, "abc")
        assert cluster.view("a").members["c"].birth not in (0, before)
        await eventually(lambda: offered(cluster, "c"), "what c brought along is offered")
        # The others held a quorum of each write. Now every quorum with c has to show them as well.
        await cluster.end("a")
        wanted = {"n/old": 2, "n/gone": None, "n/kept": 1, "n/late": 3, "n/alone": 7}
        for name in "bc":
            assert {key: await value(cluster, name, key) for key in wanted} == wanted


async def offered(cluster: Cluster, name: str) -> bool:
    return await cluster.stores[name].note(OFFER_NOTE) is None


@pytest.mark.slow
async def test_a_restored_node_does_not_count_before_it_is_filled(autojump_clock: object) -> None:
    """It and one other member make no quorum, whatever the other one knows: it has to be taken in again."""
    cluster = moving_cluster()
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        snapshot = await snapshot_of(cluster, "c")
        await cluster.end("b")
        await put_one(cluster, "a", "n/1", 2)
        await bring_back(cluster, "c", snapshot)
        await cluster.end("a")
        await cluster.start(nursery, "b", "c")
        await trio.sleep(30)
        assert not cluster.parts("c").local.cluster.cleared
        for name in "bc":
            with pytest.raises(
                TooFewReplicasError, match="does not know yet whether its store is the newest"
            ):
                await value(cluster, name, "n/1")
        await cluster.start(nursery, "a")
        await settled(cluster, "abc")
        assert await value(cluster, "c", "n/1") == 2


@pytest.mark.slow
async def test_a_whole_cluster_comes_back_from_snapshots_of_different_times(autojump_clock: object) -> None:
    cluster = moving_cluster(groups=("sw:2:3", "alone:8:1"))
    async with moving(cluster) as nursery:
        keys = [f"n/{number}" for number in range(12)]
        for number, key in enumerate(keys):
            for group in ("sw", "alone"):
                await put_one(cluster, "a", key, number, group=group)
        snapshots = {"a": await snapshot_of(cluster, "a")}
        await put_one(cluster, "b", "n/0", 100)
        await delete(cluster, "b", "n/1")
        snapshots |= {name: await snapshot_of(cluster, name) for name in "bc"}
        await put_one(cluster, "b", "n/2", 200)
        for name, snapshot in snapshots.items():
            await bring_back(cluster, name, snapshot, new_cluster=name == "a")
        await cluster.start(nursery, "a")
        assert list(cluster.view("a").members) == ["a"]
        as_new: dict[str, Any] = {"cluster.as_new": True}
        for name in "bc":
            cluster.through[name] = "a"
            await cluster.start(nursery, name, **as_new)
        await settled(cluster, "abc")
        for name in "abc":
            await eventually(partial(offered, cluster, name), f"{name} has offered what it has")
        wanted = dict(enumerate(keys))
        for name in "abc":
            found = [await value(cluster, name, key, group="alone") for key in keys]
            assert found == list(wanted)
            found = [await value(cluster, name, key) for key in keys]
            assert found == [100, None, *list(wanted)[2:]], "the newest of all snapshots"


async def test_another_birth_and_what_was_promised_is_forgotten(autojump_clock: object) -> None:
    cluster = moving_cluster()
    async with moving(cluster):
        snapshot = await snapshot_of(cluster, "b")
        before = await noted_birth(snapshot)
        restored = await restore(snapshot)
        birth = await noted_birth(snapshot)
        assert before is not None
        assert birth is not None
        assert birth.takes_over
        assert birth.number != before.number
        state = decode_state(birth.number, await snapshot.note(CLUSTER_NOTE) or b"")
        assert state.accepted is None
        assert restored.before == state.decided == cluster.view("b").metadata


async def test_the_only_member_needs_a_new_cluster(autojump_clock: object) -> None:
    cluster = moving_cluster(names="a", groups=("sw:1:1",))
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        old = cluster.view("a").metadata
        snapshot = await snapshot_of(cluster, "a")
        with pytest.raises(SnapshotError, match="restore with --new-cluster"):
            await restore(snapshot.reopen())
        await bring_back(cluster, "a", snapshot, new_cluster=True)
        await cluster.start(nursery, "a")
        assert await value(cluster, "a", "n/1") == 1
        new = cluster.view("a").metadata
        assert new.epoch == old.epoch + EPOCHS_SKIPPED
        assert new.cluster_id != old.cluster_id
        assert new.members["a"].birth != old.members["a"].birth


async def test_stores_that_cannot_be_restored_so(autojump_clock: object) -> None:
    store = memory_store()
    with pytest.raises(SnapshotError, match="does not say of which node it is"):
        await restore(store)
    await give_store(store, "a")
    with pytest.raises(StoreError, match="knows no epoch"):
        await restore(store, new_cluster=True)
    # A node that was never a member has no place to take.
    assert (await restore(store)).before is None
    birth = await noted_birth(store)
    assert birth is not None
    assert not birth.takes_over
    await store.keep_note(CLUSTER_NOTE, b"\xff")
    with pytest.raises(SnapshotError, match="damaged"):
        await restore(store)
    cluster = moving_cluster()
    async with moving(cluster):
        other = await snapshot_of(cluster, "a")
        await other.keep_note(BIRTH_NOTE, b"17")
        with pytest.raises(ChangeRefusedError, match="is no member"):
            await restore(other, new_cluster=True)


@pytest.mark.slow
async def test_a_node_that_was_forgotten_meanwhile_is_a_member_again(autojump_clock: object) -> None:
    """What was deleted as a whole since then does not come back with it."""
    cluster = moving_cluster(groups=("sw:2:3", "old:1:3"))
    async with moving(cluster) as nursery:
        await put_one(cluster, "a", "n/1", 1)
        await put_one(cluster, "a", "n/1", 1, group="old")
        snapshot = await snapshot_of(cluster, "c")
        await cluster.end("c")
        await cluster.forget("c", force=True)
        await cluster.parts("a").membership.groups.delete("old")
        await put_one(cluster, "a", "n/1", 2)
        cluster.stores["c"] = snapshot
        await restore(snapshot)
        await cluster.start(nursery, "c")
        await settled(cluster, "abc")
        await eventually(lambda: {shard.group for shard in held(cluster, "c")} == {"sw"}, "c dropped a group")
        assert await value(cluster, "c", "n/1") == 2
