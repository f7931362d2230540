"""A status is quick and true, whatever members and digests do while it is made."""

from __future__ import annotations

import pytest
import trio

from gossipnode.concurrency.loop_steps import STEPS_OF_A_TURN
from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.core.ring.turn import Cause
from gossipnode.node.endpoints.status_report import ROUNDS_SHOWN, STATUS_TREE_SECONDS
from gossipnode.node.peers.members import PROBE_SECONDS
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_STATUS
from tests.node.support import NOW
from tests.records import entity, prop, record


async def status_of(
    cluster: Cluster, name: str = "a", *, group: str = "", shards_max: int = 0
) -> v1.StatusResponse:
    async with cluster.channel(name) as channel:
        request = v1.StatusRequest(group=group, shards_max=shards_max)
        return await channel.unary(NODE_STATUS, request, timeout=10)


async def test_a_node_says_what_it_is_and_what_it_holds(autojump_clock: object) -> None:
    cluster = Cluster(groups=("sw:2:3", "flags:1:3"))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        live, dead = [f"n/{i}" for i in range(99) if shard_of(entity(f"n/{i}"), 2) == 1][:2]
        await cluster.put("a", record(live), record(dead, delete_time=9), shard=1)
        finished = await cluster.round("a", "sw", 1)
        assert finished.outcome is RoundOutcome.REPAIRED
        said = await status_of(cluster)
        assert (said.node, said.address, said.state) == ("a", "a:7400", "ready")
        assert [(one.name, one.address, one.state) for one in said.members] == [
            ("a", "a:7400", "up"),
            ("b", "b:7400", "up"),
            ("c", "c:7400", "up"),
        ]
        assert [(one.group, one.shard) for one in said.shards] == [("flags", 0), ("sw", 0), ("sw", 1)]
        held = said.shards[2]
        assert (held.records, held.tombstones, held.tree) == (1, 1, "ready")
        assert held.replicas == ["a", "b", "c"]
        assert held.root == (await cluster.stores["a"].tree(ShardId("sw", 1))).root
        assert held.last_converged >= NOW
        assert [one.last_converged for one in said.shards[:2]] == [0, 0]
        (shown,) = said.rounds
        assert (shown.round, shown.outcome, len(shown.hops)) == (finished.round, "repaired", 3)
        cluster.stop()


async def test_more_shards_than_are_asked_for_are_summed_up_by_group(autojump_clock: object) -> None:
    async with running(Cluster(groups=("sw:8:3", "flags:3:3"))) as cluster:
        keys = [f"n/{number}" for number in range(20)]
        for key in keys:
            await cluster.coordinator("a").apply(prop(key, x=1), replace=False)
        await cluster.coordinator("a").delete(entity(keys[0]))
        # Digests are filled once writes were quiet for a while.
        await trio.sleep(120)
        said = await status_of(cluster, shards_max=10)
        assert list(said.shards) == []
        shown = [(one.group, one.shards, one.records, one.tombstones) for one in said.groups]
        assert shown == [("flags", 3, 0, 0), ("sw", 8, 19, 1)]
        assert (said.groups[1].building, said.groups[1].moving, said.groups[1].behind) == (0, 0, 0)
        assert said.groups[1].last_converged == 0
        assert not (await status_of(cluster, shards_max=11)).groups
        one = await status_of(cluster, group="flags", shards_max=3)
        assert [(shard.group, shard.shard) for shard in one.shards] == [("flags", n) for n in range(3)]
        with pytest.raises(RpcError) as caught:
            await status_of(cluster, group="none")
        assert caught.value.status is Status.NOT_FOUND


async def test_a_node_says_who_lacks_writes_that_it_knows_of(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await cluster.isolate("c")
        for number in range(3):
            await cluster.coordinator("a").apply(prop(f"n/{number}", x=1), replace=False)
        await trio.sleep(30)
        (shard,) = (await status_of(cluster)).shards
        assert [(each.replica, each.writes) for each in shard.behind] == [("c", 3)]
        cluster.faults.heal()
        await trio.sleep(10)
        (shard,) = (await status_of(cluster)).shards
        assert not shard.behind


async def test_members_that_are_down_or_deaf_cost_a_bounded_wait(autojump_clock: object) -> None:
    cluster = Cluster(names="abcd", groups=("sw:1:4",))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", "b")
        # Something listens at c, but never says a word; nobody listens at d.
        await cluster.network.listen(cluster.address("c"))
        began = trio.current_time()
        said = await status_of(cluster)
        assert {one.name: one.state for one in said.members} == {
            "a": "up",
            "b": "up",
            "c": "down",
            "d": "down",
        }
        assert trio.current_time() - began <= PROBE_SECONDS + 0.1
        # What was just seen is believed for a moment.
        began = trio.current_time()
        await status_of(cluster)
        assert trio.current_time() == began
        cluster.stop()


async def test_a_member_that_comes_back_is_up_again(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a")
        assert (await status_of(cluster)).members[1].state == "down"
        await cluster.start(nursery, "b")
        await trio.sleep(6)
        assert (await status_of(cluster)).members[1].state == "up"
        cluster.stop()


async def test_digests_that_take_long_are_said_to_be_built(autojump_clock: object) -> None:
    """The status waits once, however many shards lack their digests, and shows those that are ready."""
    cluster = Cluster(names="a", groups=("sw:10:1",))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a")
        store = cluster.stores["a"]
        records = [(ShardId("sw", number), record(f"n/{number}")) for number in range(10)]
        await store.write(records)
        tree, summaries = store.tree, store.summaries
        ready = {ShardId("sw", 0), ShardId("sw", 9)}
        for shard in ready:
            await tree(shard)

        async def slow_tree(shard: ShardId) -> object:
            await trio.sleep(60)
            return await tree(shard)

        async def some_unhashed() -> object:
            known = await summaries()
            return {
                shard: summary if shard in ready else summary._replace(root=None)
                for shard, summary in known.items()
            }

        store.tree, store.summaries = slow_tree, some_unhashed  # type: ignore[method-assign,assignment]
        began = trio.current_time()
        said = await status_of(cluster)
        assert trio.current_time() - began <= STATUS_TREE_SECONDS + 0.1
        assert [one.shard for one in said.shards if one.tree == "ready"] == [0, 9]
        assert {one.tree for one in said.shards} == {"ready", "building"}
        cluster.stop()


async def test_a_round_under_way_has_no_outcome_yet(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["b"].commit_seconds = 50
        await cluster.put("a", record("n/1"))
        watch = cluster.nodes["a"].parts.repair.rounds.start(ShardId("sw", 0), Cause.ASKED)
        await trio.sleep(10)
        (shown,) = (await status_of(cluster)).rounds
        assert (shown.outcome, shown.round) == ("", watch.now().round)
        assert shown.seconds == pytest.approx(10, abs=0.1)
        cluster.stop()


async def test_only_the_last_rounds_are_shown(autojump_clock: object) -> None:
    cluster = Cluster(names="a")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for _ in range(ROUNDS_SHOWN + 3):
            await cluster.round()
            await trio.sleep(1)
        shown = (await status_of(cluster)).rounds
        assert len(shown) == ROUNDS_SHOWN
        assert [one.started_at for one in shown] == sorted((one.started_at for one in shown), reverse=True)
        cluster.stop()


async def test_a_draining_node_says_so(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("a") as channel:
            await channel.unary(NODE_STATUS, v1.StatusRequest(), timeout=10)
            cluster.nodes["a"].request_drain()
            await cluster.ended["a"].wait()
            assert cluster.nodes["a"].state == "draining"
            with pytest.raises(RpcError):
                await channel.unary(NODE_STATUS, v1.StatusRequest(), timeout=10)
        cluster.stop()


class Turns(trio.abc.Instrument):
    """How often the loop went round."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def turns_of_a_status(cluster: Cluster, shards: int) -> int:
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    assert len((await status_of(cluster)).shards) == shards
    trio.lowlevel.remove_instrument(turns)
    return turns.count


async def test_a_status_of_many_shards_reads_the_store_in_one_pass(autojump_clock: object) -> None:
    cluster = Cluster(names="a", groups=("sw:1:1",))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a")
        await trio.sleep(60)
        few = await turns_of_a_status(cluster, 1)
        await cluster.parts("a").membership.groups.create("many", shards=512, replicas=1)
        await trio.sleep(60)

        async def refused(shard: ShardId) -> object:
            raise AssertionError(f"{shard} was asked for")

        store = cluster.stores["a"]
        store.tree = store.counts = refused  # type: ignore[method-assign,assignment]
        # Other tasks get their turn now and then.
        assert await turns_of_a_status(cluster, 513) - few >= 3 * 256 // STEPS_OF_A_TURN
        cluster.stop()
