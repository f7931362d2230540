"""A node from its start to its end: errors of starting, a store that fails, and the order of stopping."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog.testing
import trio
import trio.testing

from gossipnode.config.settings import Settings
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import SILENCE_MAX_SECONDS, Ended, Report, RoundOutcome
from gossipnode.core.ring.turn import Cause, HopEnd
from gossipnode.node.node import (
    DRAIN_CLOSE_SECONDS,
    DRAIN_SECONDS,
    DRAIN_SESSIONS_SECONDS,
    Node,
    NodeFailedError,
    run_node,
)
from gossipnode.rpc import RpcError, Status
from gossipnode.rpc.server.health import CHECK, ServingStatus
from gossipnode.sim import Cluster
from gossipnode.store.interface import IndexRows, LeafDigest, Store, StoreClosedError, StoreLockedError
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_APPLY, NODE_GET, NODE_IMPORT, NODE_STATUS
from tests.records import prop, record

SHARD = ShardId("sw", 0)


async def test_a_port_in_use_is_an_error_of_its_own(autojump_clock: object) -> None:
    cluster = Cluster()
    await cluster.network.listen(cluster.address("a"))
    with pytest.raises(OSError, match="in use"):
        await run_node(cluster.settings("a"), cluster.world("a"))
    # The store was closed again.
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "b")
        cluster.stop()


async def test_a_data_directory_in_use_is_an_error_of_its_own() -> None:
    cluster = Cluster()

    @asynccontextmanager
    async def locked(settings: object, digest: LeafDigest, rows: IndexRows) -> AsyncIterator[Store]:
        raise StoreLockedError("in use by another node")
        yield

    with pytest.raises(StoreLockedError):
        await run_node(cluster.settings("a"), replace(cluster.world("a"), open_store=locked))
    with pytest.raises(ConnectionRefusedError):
        await cluster.network.connect(cluster.address("a"))


async def test_a_start_that_fails_later_gives_the_address_back(autojump_clock: object) -> None:
    cluster = Cluster()
    world = cluster.world("a")

    @asynccontextmanager
    async def unreadable(settings: Settings, digest: LeafDigest, rows: IndexRows) -> AsyncIterator[Store]:
        async with world.open_store(settings, digest, rows) as store:
            await store.close()  # type: ignore[attr-defined]
            yield store

    with pytest.raises(StoreClosedError):
        await run_node(cluster.settings("a"), replace(world, open_store=unreadable))
    assert await cluster.network.listen(cluster.address("a"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a", [("lone", 2, 1), ("sw", 3, 1)]),
        ("ab", [("sw", 3, 2)]),
        ("abc", []),
    ],
)
async def test_a_configured_group_with_too_few_members_is_warned_of_once(
    names: str, expected: list[tuple[str, int, int]], autojump_clock: object
) -> None:
    cluster = Cluster(names=names, groups=["sw:1:3", "lone:1:2", "one:1:1"])
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            await cluster.start(nursery, "a")
            await trio.sleep(600)
            cluster.stop()
    told = [line for line in logs if line["event"] == "fewer members than replicas"]
    assert [(line["group"], line["replicas"], line["members"]) for line in told] == expected
    assert {line["log_level"] for line in told} <= {"warning"}
    assert all("`all` needs" in line["until_then"] for line in told)


async def health(cluster: Cluster, name: str = "a") -> ServingStatus:
    async with cluster.channel(name) as channel:
        return await channel.unary(CHECK, "", timeout=5)


async def apply_to(cluster: Cluster, identity: str) -> None:
    async with cluster.channel("a") as channel:
        await channel.unary(NODE_APPLY, v1.ApplyRequest(property=prop(f"n/{identity}")), timeout=5)


async def test_a_node_is_healthy_once_it_serves(autojump_clock: object) -> None:
    cluster = Cluster(names="a")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        assert await health(cluster) is ServingStatus.SERVING
        assert cluster.nodes["a"].state == "ready"
        cluster.stop()


async def test_a_full_disk_is_told_once_and_ends_by_itself(autojump_clock: object) -> None:
    cluster = Cluster(names="a", groups=("sw:1:1",))
    said: list[tuple[object, ...]] = []
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("a", record("n/1"))
        with structlog.testing.capture_logs() as logs:
            for full in (True, True, False, True):
                cluster.stores["a"].set_full(full)
                for number in range(3 * full):
                    with pytest.raises(RpcError, match="no space left") as refused:
                        await apply_to(cluster, f"full-{number}")
                    assert refused.value.status is Status.RESOURCE_EXHAUSTED
                await trio.testing.wait_all_tasks_blocked()
                async with cluster.channel("a") as channel:
                    status = await channel.unary(NODE_STATUS, v1.StatusRequest(), timeout=5)
                    found = await channel.unary(
                        NODE_GET, v1.GetRequest(group="sw", name="n", id="1"), timeout=5
                    )
                assert found.record is not None
                said.append((status.state, status.disk.state, await health(cluster)))
        full_disk = ("unhealthy", "full", ServingStatus.NOT_SERVING)
        assert said == [full_disk, full_disk, ("ready", "ok", ServingStatus.SERVING), full_disk]
        cluster.stop()
    assert [(each["log_level"], each["event"].split(":")[0]) for each in logs] == [
        ("error", "disk full"),
        ("warning", "disk has room again"),
        ("error", "disk full"),
    ]


async def test_a_node_whose_disk_is_full_stops_in_order(autojump_clock: object) -> None:
    cluster = Cluster(names="a")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        store = cluster.stores["a"]
        store.set_full(True)
        await trio.testing.wait_all_tasks_blocked()
        node = cluster.nodes["a"]
        node.request_drain()
        store.set_full(False)
        await trio.testing.wait_all_tasks_blocked()
        assert node.state == "draining"


async def test_a_store_that_fails_ends_the_node_with_its_reason(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    ended: list[BaseException] = []
    over = trio.Event()

    async def run(task_status: trio.TaskStatus[Node]) -> None:
        try:
            await run_node(cluster.settings("a"), cluster.world("a"), task_status=task_status)
        except NodeFailedError as error:
            ended.append(error)
        over.set()

    async with trio.open_nursery() as nursery:
        node: Node = await nursery.start(run)
        await cluster.start(nursery, "b")
        began = trio.current_time()
        cluster.stores["a"].crash()
        await over.wait()
        assert trio.current_time() - began < DRAIN_SECONDS
        assert node.state == "unhealthy"
        cluster.stop()
    assert str(ended[0]) == "the store has crashed"


async def test_a_node_that_is_cancelled_ends_without_an_error(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        await cluster.put("a", *(record(f"n/{i}") for i in range(100)))
        cluster.stores["b"].commit_seconds = 5
        run = cluster.start_round(nursery)
        await trio.sleep(2)
        cluster.stop()
        finished = await run.result()
        assert finished.outcome is RoundOutcome.INCOMPLETE


async def test_draining_ends_in_time_whatever_is_still_running(autojump_clock: object) -> None:
    """A session has a slow store, an import has no end, and an origin takes no reports."""
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", "b")
        # The origin of the round that b held listens, but never answers.
        await cluster.network.listen(cluster.address("c"))
        await cluster.put("b", record("n/1"))
        cluster.stores["a"].commit_seconds = 20
        run = cluster.start_round(nursery, "b")
        await trio.sleep(1)
        async with cluster.channel("b") as channel, channel.stream(NODE_IMPORT, timeout=None) as stream:
            await stream.send(v1.ImportRequest(group="sw", records=[]))
            await stream.recv()
            for number in range(5):
                cluster.nodes["b"].parts.repair.reports.tell(
                    "c", Report(f"r{number}", SHARD, "b", 0, (), Ended("over"))
                )
            began = trio.current_time()
            cluster.nodes["b"].request_drain()
            await cluster.ended["b"].wait()
            took = trio.current_time() - began
            assert DRAIN_SESSIONS_SECONDS <= took <= DRAIN_SECONDS - DRAIN_CLOSE_SECONDS + 0.1
        assert (await run.result()).outcome is RoundOutcome.INCOMPLETE
        cluster.stop()


async def test_work_that_finishes_within_the_grace_period_is_finished(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        # Two commits: the first write after a start waits for the ceiling of its stamp, too.
        cluster.stores["a"].commit_seconds = 2
        async with cluster.channel("a") as channel:
            answers: list[v1.ApplyResponse] = []

            async def apply() -> None:
                request = v1.ApplyRequest(property=prop("n/1"))
                answers.append(await channel.unary(NODE_APPLY, request, timeout=10))

            async with trio.open_nursery() as calls:
                calls.start_soon(apply)
                await trio.sleep(1)
                cluster.nodes["a"].request_drain()
                await trio.sleep(1)
                with pytest.raises(RpcError):
                    await channel.unary(NODE_APPLY, v1.ApplyRequest(property=prop("n/2")), timeout=1)
            assert answers[0].created
            await cluster.ended["a"].wait()
            # A commit that only notes how far the other one is may still be under way.
            assert 4 <= trio.current_time() <= 6
        cluster.stop()


async def test_a_session_that_ends_within_the_grace_period_is_finished(autojump_clock: object) -> None:
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["b"].commit_seconds = 3
        await cluster.put("a", record("n/1"))
        run = cluster.start_round(nursery, "a")
        await trio.sleep(1)
        cluster.nodes["a"].request_drain()
        assert (await run.result()).outcome is RoundOutcome.REPAIRED
        cluster.stop()


async def test_a_round_of_ours_that_has_a_session_elsewhere_ends_with_a_reason(
    autojump_clock: object,
) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["c"].commit_seconds = 100
        await cluster.put("b", record("n/1"))
        run = cluster.start_round(nursery, "a")
        await trio.sleep(5)
        cluster.nodes["a"].request_drain()
        finished = await run.result()
        assert finished.hops[-1].reason == "the origin is stopping"
        cluster.stop()


async def test_what_the_node_held_is_told_to_the_origin_while_it_stops(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["c"].commit_seconds = 100
        await cluster.put("b", record("n/1"))
        run = cluster.start_round(nursery, "a")
        await trio.sleep(5)
        cluster.nodes["b"].request_drain()
        finished = await run.result()
        reasons = [hop.reason for hop in finished.hops]
        assert any("holder b is stopping" in reason for reason in reasons), reasons
        assert trio.current_time() < 20
        cluster.stop()


async def test_waiting_for_a_slot_is_no_death(autojump_clock: object) -> None:
    """There are two shards, one session at a time, and a slow store. Both rounds end well."""
    cluster = Cluster(names="ab", groups=("sw:2:2",), overrides={"repair.max_sessions": 1})
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        shards = cluster.nodes["a"].parts.local.shards
        for i in range(10):
            one = record(f"n/{i}")
            await cluster.stores["a"].write([(shards.shard_of(one.entity), one)])
        cluster.stores["b"].commit_seconds = 1.5 * SILENCE_MAX_SECONDS
        watches = [
            cluster.nodes["b"].parts.repair.rounds.start(ShardId("sw", number), Cause.ASKED)
            for number in range(2)
        ]
        for watch in watches:
            while watch.now().outcome is None:
                await watch.changed.wait()
            assert watch.now().outcome is RoundOutcome.REPAIRED, watch.now().hops
        cluster.stop()


async def test_rounds_of_two_origins_at_once_end_equal(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for name in cluster.names:
            await cluster.put(name, *(record(f"n/{name}-{i}") for i in range(30)))
        runs = [cluster.start_round(nursery, name) for name in cluster.names]
        for run in runs:
            finished = await run.result()
            assert all(hop.end is not HopEnd.FAILED for hop in finished.hops)
        assert len(set((await cluster.roots()).values())) == 1
        cluster.stop()
