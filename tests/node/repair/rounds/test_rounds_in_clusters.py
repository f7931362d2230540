"""Rounds over whole nodes in memory: what they repair, whom they skip, and how they end."""

from __future__ import annotations

import re

import pytest
import trio
import trio.testing

from gossipnode.concurrency import loop_pulse
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Round, RoundOutcome
from gossipnode.core.ring.turn import Cause, HopEnd
from gossipnode.core.session.messages import ClientMessage, RootCompare, ServerMessage, TreeRoot
from gossipnode.node.endpoints.repair_service import CLIENT_SILENCE_SECONDS
from gossipnode.node.membership import epochs, member_admin
from gossipnode.node.peers import call_metadata, hello
from gossipnode.rpc import ClientStream, RpcError, Server, ServerStream, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.services import PROPAGATION, REPAIR
from tests.records import record


def hops(finished: Round) -> list[tuple[str, str, HopEnd]]:
    return [(hop.from_node, hop.to_node, hop.end) for hop in finished.hops]


def moved(finished: Round) -> int:
    return sum(hop.sent + hop.received for hop in finished.hops)


async def fill_differently(cluster: Cluster) -> None:
    """Missing, newer, deleted and tied records on each of three nodes."""
    await cluster.put(
        "a", record("n/only-a"), record("n/newer", k="new", revision=9), record("n/tied", k="a")
    )
    await cluster.put(
        "b", record("n/newer", k="old", revision=3), record("n/deleted"), record("n/tied", k="b")
    )
    await cluster.put("c", record("n/deleted", revision=5, delete_time=6), record("n/tied", k="c"))


async def test_three_nodes_that_all_differ_are_equal_after_one_round(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await fill_differently(cluster)
        first = await cluster.round()
        assert first.outcome is RoundOutcome.REPAIRED
        assert [(hop.from_node, hop.to_node) for hop in first.hops] == [("a", "b"), ("b", "c"), ("c", "a")]
        assert len(set((await cluster.roots()).values())) == 1
        (newer, deleted) = await cluster.stores["c"].read(
            ShardId("sw", 0), [record("n/newer").entity, record("n/deleted").entity]
        )
        assert newer is not None
        assert newer.version.mod_revision == 9
        assert deleted is not None
        assert deleted.deleted

        second = await cluster.round("b")
        assert second.outcome is RoundOutcome.CONVERGED
        assert moved(second) == 0
        cluster.stop()


@pytest.mark.parametrize("nodes", [2, 3, 4, 5])
async def test_a_round_of_n_nodes_takes_2n_minus_3_hops(nodes: int, autojump_clock: object) -> None:
    cluster = Cluster(names="abcde"[:nodes], groups=("sw:1:5",))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for at, name in enumerate(cluster.names):
            await cluster.put(name, record(f"n/{at}"))
        finished = await cluster.round()
        assert len(finished.hops) == 2 * nodes - 3
        assert finished.outcome is RoundOutcome.REPAIRED
        assert len(set((await cluster.roots()).values())) == 1
        cluster.stop()


async def test_a_node_alone_has_rounds_without_hops(autojump_clock: object) -> None:
    cluster = Cluster(names="a")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        finished = await cluster.round()
        assert (finished.outcome, finished.hops) == (RoundOutcome.CONVERGED, ())
        cluster.stop()


async def test_a_dead_peer_in_the_middle_is_skipped_with_a_reason(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", "c")
        await cluster.put("a", record("n/1"))
        await cluster.put("c", record("n/2"))
        finished = await cluster.round()
        assert finished.outcome is RoundOutcome.INCOMPLETE
        assert "cannot be reached" in finished.hops[0].reason
        assert hops(finished)[:2] == [("a", "b", HopEnd.SKIPPED), ("a", "c", HopEnd.REPAIRED)]
        roots = await cluster.roots()
        assert roots["a"] == roots["c"]

        await cluster.start(nursery, "b")
        healed = await cluster.round()
        assert healed.outcome is RoundOutcome.REPAIRED
        assert len(set((await cluster.roots()).values())) == 1
        cluster.stop()


async def test_a_peer_without_a_tree_is_skipped_and_the_next_one_repaired(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", "c")
        await cluster.start(nursery, "b", groups=["other:1:3"])
        await cluster.put("a", record("n/1"))
        finished = await cluster.round()
        assert finished.outcome is RoundOutcome.INCOMPLETE
        assert hops(finished)[:2] == [("a", "b", HopEnd.SKIPPED), ("a", "c", HopEnd.REPAIRED)]
        assert finished.hops[0].reason == "no tree for the shard"
        roots = await cluster.roots()
        assert roots["a"] == roots["c"] != ""
        cluster.stop()


async def test_nobody_else_there_ends_the_round_early_and_says_so(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "b")
        finished = await cluster.round("b")
        assert finished.outcome is RoundOutcome.INCOMPLETE
        assert hops(finished) == [("b", "c", HopEnd.SKIPPED), ("b", "a", HopEnd.SKIPPED)]
        cluster.stop()


@pytest.mark.slow
async def test_a_connection_cut_in_mid_session_fails_the_hop_and_the_next_round_repairs(
    autojump_clock: object,
) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("b", *(record(f"n/{i}", k="x" * 2000) for i in range(2000)))
        run = cluster.start_round(nursery)
        while (await cluster.stores["a"].counts(ShardId("sw", 0))).records < 100:
            await trio.lowlevel.checkpoint()
        await cluster.network.cut(cluster.address("b"))
        broken = await run.result()
        assert broken.outcome is RoundOutcome.INCOMPLETE
        assert broken.hops[0].end is HopEnd.FAILED
        assert 100 <= (await cluster.stores["a"].counts(ShardId("sw", 0))).records < 2000

        assert (await cluster.round()).outcome is RoundOutcome.REPAIRED
        assert len(set((await cluster.roots()).values())) == 1
        cluster.stop()


@pytest.mark.slow
async def test_a_holder_that_dies_ends_the_round_with_its_name(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("c", *(record(f"n/{i}", k="x" * 2000) for i in range(2000)))
        run = cluster.start_round(nursery)
        # b holds the message once it takes records of c.
        while (await cluster.stores["b"].counts(ShardId("sw", 0))).records < 100:
            await trio.lowlevel.checkpoint()
        cluster.kill("b")
        finished = await run.result()
        assert finished.outcome is RoundOutcome.INCOMPLETE
        assert finished.hops[-1].reason == "holder b does not report"
        cluster.stop()


@pytest.mark.slow
async def test_rounds_of_many_shards_run_side_by_side_and_end_equal(autojump_clock: object) -> None:
    cluster = Cluster(groups=("sw:4:3", "flags:2:3"))
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for name in cluster.names:
            shards = cluster.nodes[name].parts.local.shards
            for i in range(40):
                for group in ("sw", "flags"):
                    one = record(f"n/{name}-{i}", group=group)
                    await cluster.stores[name].write([(shards.shard_of(one.entity), one)])
        async with trio.open_nursery() as rounds:
            for group, count in (("sw", 4), ("flags", 2)):
                for shard in range(count):
                    rounds.start_soon(cluster.round, "a", group, shard)
        for group, count in (("sw", 4), ("flags", 2)):
            for shard in range(count):
                assert len(set((await cluster.roots(group, shard)).values())) == 1
        counts = [await cluster.stores["b"].counts(ShardId("sw", number)) for number in range(4)]
        assert sum(count.records for count in counts) == 120
        cluster.stop()


@pytest.mark.slow
async def test_a_day_of_scheduled_rounds_passes_in_moments(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a node does every few seconds belongs to no round, and would happen a million times in a day.
    for module, period in (
        (hello, "HELLO_MAX_SECONDS"),
        (loop_pulse, "PULSE_SECONDS"),
        (member_admin, "LOOK_ELSEWHERE_SECONDS"),
        (epochs, "UNDECIDED_SECONDS"),
    ):
        monkeypatch.setattr(module, period, 3600.0)
    cluster = Cluster(overrides={"repair.schedule": "*/30 * * * *"})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await fill_differently(cluster)
        await trio.sleep(24 * 3600)
        assert len(set((await cluster.roots()).values())) == 1
        for name in cluster.names:
            known = cluster.nodes[name].parts.repair.origin.rounds()
            assert known[0].outcome is not None
        started = sum(len(cluster.nodes[name].parts.repair.origin.rounds()) for name in cluster.names)
        assert started >= 100
        ran = [
            known
            for name in cluster.names
            for known in cluster.nodes[name].parts.repair.origin.rounds()
            if known.outcome is RoundOutcome.CONVERGED
        ]
        # One round each half hour is enough: those of the other origins are refused, and say so.
        assert 40 <= len(ran) <= 60
        cluster.stop()


@pytest.mark.slow
async def test_draining_ends_a_session_within_the_grace_period_with_a_reason(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("b", *(record(f"n/{i}", k="x" * 2000) for i in range(3000)))
        # A commit that takes long makes a session that outlasts every grace period.
        cluster.stores["a"].commit_seconds = 3.0
        run = cluster.start_round(nursery)
        await trio.sleep(4)
        assert 0 < (await cluster.stores["a"].counts(ShardId("sw", 0))).records < 3000
        asked = trio.current_time()
        cluster.nodes["b"].request_drain()
        await cluster.ended["b"].wait()
        assert 5 <= trio.current_time() - asked <= 10
        finished = await run.result()
        assert finished.outcome is RoundOutcome.INCOMPLETE
        assert finished.hops[0].end is HopEnd.FAILED
        cluster.stop()


async def test_a_node_with_nothing_to_finish_drains_at_once(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("a", record("n/1"))
        await cluster.round()
        asked = trio.current_time()
        for name in cluster.names:
            cluster.nodes[name].request_drain()
        for name in cluster.names:
            await cluster.ended[name].wait()
        assert trio.current_time() - asked < 3


async def test_a_busy_successor_is_asked_again_before_it_is_skipped(autojump_clock: object) -> None:
    cluster = Cluster(names="ab", overrides={"repair.max_sessions": 1})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("a", record("n/1"))
        async with cluster.channel("b") as channel:
            ours = {call_metadata.NODE: "a"}
            async with channel.stream(REPAIR, timeout=None, metadata=ours) as held:
                # The only slot that b has for sessions of a is taken.
                await held.send(TreeRoot("sw", 0, "not the root"))
                assert await held.recv() is not None
                before = trio.current_time()
                refused = await cluster.round()
                assert trio.current_time() > before
                assert refused.outcome is RoundOutcome.INCOMPLETE
                assert [hop.end for hop in refused.hops] == [HopEnd.SKIPPED]
                assert "the most for one caller" in refused.hops[0].reason

                async def free() -> None:
                    await trio.sleep(0.3)
                    await held.half_close()

                nursery.start_soon(free)
                assert (await cluster.round()).outcome is RoundOutcome.REPAIRED
        cluster.stop()


async def test_a_message_that_a_foreign_holder_passed_on_is_carried_on(
    autojump_clock: object,
) -> None:
    """The message has no round id and no cause. The nodes that take it make the hops that are left."""
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await fill_differently(cluster)
        async with cluster.channel("a") as channel:
            context = banyandb.PropagationContext(
                nodes=["a", "b", "c"], max_propagation_count=3, current_propagation_count=0, origin_node="b"
            )
            request = banyandb.PropagationRequest(context=context, group="sw", shard_id=0)
            await channel.unary(PROPAGATION, request, timeout=5)
            await trio.sleep(10)
        assert len(set((await cluster.roots()).values())) == 1
        cluster.stop()


async def test_a_client_that_says_nothing_loses_its_session_slot(autojump_clock: object) -> None:
    cluster = Cluster(names="ab", overrides={"repair.max_sessions": 1})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        async with cluster.channel("b") as channel:
            for said in ((), (TreeRoot("sw", 0, "not the root"),)):
                async with channel.stream(REPAIR, timeout=None) as held:
                    await held.send_batch(said)
                    began = trio.current_time()
                    with pytest.raises(RpcError, match="said nothing") as ended:
                        await _hear_all(held)
                    assert ended.value.status is Status.DEADLINE_EXCEEDED
                    assert trio.current_time() - began <= CLIENT_SILENCE_SECONDS + 1
            await cluster.put("a", record("n/1"))
            assert (await cluster.round()).outcome is RoundOutcome.REPAIRED
        cluster.stop()


async def _hear_all(stream: ClientStream[ClientMessage, ServerMessage]) -> None:
    while await stream.recv() is not None:
        pass


class ForeignPeer:
    """The server of a peer that speaks the compatible protocol alone, and knows no tree."""

    def __init__(self) -> None:
        self.taken: list[banyandb.PropagationRequest] = []

    async def repair(self, stream: ServerStream[object, object]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=False, root_match=False))
        raise RpcError(Status.INTERNAL, "the tree is not built")

    async def propagation(self, asked: banyandb.PropagationRequest, call: object) -> object:
        self.taken.append(asked)
        return banyandb.PropagationResponse()


async def test_a_foreign_peer_without_a_tree_is_skipped_whatever_error_it_ends_with(
    autojump_clock: object,
) -> None:
    cluster = Cluster()
    foreign = ForeignPeer()
    server = Server({REPAIR: foreign.repair, PROPAGATION: foreign.propagation})
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, await cluster.network.listen(cluster.address("b")))
        await cluster.start(nursery, "a", "c")
        finished = await cluster.round()
        assert [(hop.to_node, hop.end) for hop in finished.hops][:2] == [
            ("b", HopEnd.SKIPPED),
            ("c", HopEnd.EQUAL),
        ]
        assert finished.hops[0].reason == "no tree for the shard"
        cluster.stop()
        nursery.cancel_scope.cancel()


async def test_rounds_have_ids_of_24_hexadecimal_digits(autojump_clock: object) -> None:
    """Some of a hundred would have another digit if ids had one bit more."""
    async with running(Cluster()) as cluster:
        origin = cluster.parts("a").repair.origin
        ids = {origin.open(ShardId("sw", 0), "abc", Cause.ASKED)[0].round for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("[0-9a-f]{24}", each) for each in ids)


async def test_six_who_ask_for_a_round_at_once_are_all_told_of_a_good_one(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        await fill_differently(cluster)
        cluster.stores["b"].commit_seconds = 1
        rounds = cluster.nodes["a"].parts.repair.rounds
        watches = [rounds.start(ShardId("sw", 0), Cause.ASKED) for _ in range(6)]
        for watch in watches:
            while watch.now().outcome is None:
                await watch.changed.wait()
        assert [watch.now().outcome for watch in watches] == [
            RoundOutcome.REPAIRED,
            *[RoundOutcome.CONVERGED] * 5,
        ]
