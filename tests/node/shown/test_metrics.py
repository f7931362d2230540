"""The metrics of whole nodes: what happens is counted where it happens."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.peers import call_metadata
from gossipnode.node.shown.shown_node import COMMIT_STUCK_SECONDS
from gossipnode.rpc import RpcError
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_STATUS
from tests.node.shown.web import get, shown_at, start_with_status
from tests.observe.metrics.reading import Key, key, read_metrics
from tests.records import entity, prop, record

CONTRACT = [
    "gossipnode_rounds_total{group,outcome}",
    "gossipnode_round_seconds{group}",
    "gossipnode_hops_total{group,outcome,reason}",
    "gossipnode_session_seconds{kind}",
    "gossipnode_session_bytes_total{kind,direction}",
    "gossipnode_records_repaired_total{group,direction}",
    "gossipnode_records{group,shard}",
    "gossipnode_tombstones{group,shard}",
    "gossipnode_last_converged_timestamp_seconds{group,shard}",
    "gossipnode_store_commit_seconds",
    "gossipnode_store_batch_records",
    "gossipnode_rpc_requests_total{method,code}",
    "gossipnode_rpc_seconds{method}",
    "gossipnode_connections{direction}",
    "gossipnode_clock_ahead_seconds{member}",
]
"""Names and labels that dashboards elsewhere rely on."""


async def scrape(cluster: Cluster) -> dict[Key, float]:
    status, body = await get(cluster, "/metrics")
    assert status == 200
    return read_metrics(body)


async def test_a_round_fills_every_metric_that_others_rely_on(autojump_clock: object) -> None:
    cluster = Cluster(clock_offsets={"b": -2_000_000_000})
    async with trio.open_nursery() as nursery:
        await start_with_status(cluster, nursery)
        await cluster.put("a", record("n/1"))
        for name in ("n/2", "n/3"):
            await cluster.coordinator("a").apply(prop(name, x=1), replace=False)
        await cluster.coordinator("a").delete(entity("n/2"))
        assert (await cluster.round("a")).outcome is RoundOutcome.REPAIRED
        await trio.sleep(60)
        found = await scrape(cluster)
        shown = {
            (name.removesuffix("_count"), frozenset(label for label, _ in labels)) for name, labels in found
        }
        for entry in CONTRACT:
            name, _, labels = entry.rstrip("}").partition("{")
            assert (name, frozenset(labels.split(",") if labels else ())) in shown
        assert found[key("gossipnode_rounds_total", group="sw", outcome="repaired")] == 1
        assert found[key("gossipnode_hops_total", group="sw", outcome="repaired", reason="")] == 1
        assert found[key("gossipnode_records", group="sw", shard="0")] == 2
        assert found[key("gossipnode_tombstones", group="sw", shard="0")] == 1
        assert found[key("gossipnode_equal_age_seconds", group="sw")] == pytest.approx(60, abs=2)
        assert found[key("gossipnode_clock_ahead_seconds", member="b")] == pytest.approx(2, abs=0.1)
        assert found[key("gossipnode_clock_ahead_seconds", member="c")] == pytest.approx(0, abs=0.1)
        assert found[key("gossipnode_connections", direction="out")] == 2
        cluster.stop()


async def test_a_member_that_is_away_shows(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await start_with_status(cluster, nursery)
        await cluster.isolate("c")
        for number in range(3):
            await cluster.coordinator("a").apply(prop(f"n/{number}", x=1), replace=False)
        assert (await cluster.round("a")).outcome is RoundOutcome.INCOMPLETE
        found = await scrape(cluster)
        assert found[key("gossipnode_records_behind", group="sw")] == 3
        assert found[key("gossipnode_member_state", member="c", state="down")] == 1
        assert key("gossipnode_clock_ahead_seconds", member="c") not in found
        assert found[key("gossipnode_rounds_total", group="sw", outcome="incomplete")] == 1
        cluster.stop()


async def test_a_member_that_starts_alone_says_whom_it_waits_for(autojump_clock: object) -> None:
    """Its store counts once a majority has heard of it, and the others may refuse it, or be down."""
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", **shown_at())
        await trio.sleep(10)
        assert await get(cluster, "/readyz") == (503, b"starting: waiting for b, c\n")
        await cluster.start(nursery, "b")
        await trio.sleep(10)
        assert await get(cluster, "/readyz") == (200, b"ok\n")
        cluster.stop()


async def test_a_node_that_waits_for_its_cluster_says_so(autojump_clock: object) -> None:
    cluster = Cluster(formed=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: cluster.start(nursery, "a", **shown_at()))
        await trio.sleep(3)
        assert await get(cluster, "/readyz") == (503, b"starting: waiting for b, c\n")
        assert (await get(cluster, "/livez"))[0] == 200
        await cluster.start(nursery, "b", "c")
        await trio.sleep(10)
        assert await get(cluster, "/readyz") == (200, b"ok\n")
        nursery.start_soon(cluster.end, "a")
        await trio.testing.wait_all_tasks_blocked()
        cluster.stop()


async def test_a_full_disk_and_one_that_hangs_show(autojump_clock: object) -> None:
    async with running(Cluster(names="a", groups=("sw:1:1",), overrides=shown_at())) as cluster:
        assert await get(cluster, "/readyz") == (200, b"ok\n")
        cluster.stores["a"].set_full(True)
        await trio.testing.wait_all_tasks_blocked()
        assert await get(cluster, "/readyz") == (503, b"the disk is full: writes are refused\n")
        assert (await scrape(cluster))[key("gossipnode_disk_full")] == 1
        cluster.stores["a"].set_full(False)
        await trio.testing.wait_all_tasks_blocked()
        commits = cluster.stores["a"].figures.commits
        commits.begin()
        commits._began -= COMMIT_STUCK_SECONDS + 5
        status, body = await get(cluster, "/readyz")
        assert status == 503
        assert body.startswith(b"the store has not finished a commit for 15")
        found = await scrape(cluster)
        assert found[key("gossipnode_store_commit_running_seconds")] >= 15
        assert found[key("gossipnode_counts_current")] == 1


async def test_a_store_that_cannot_be_asked_is_told_and_the_last_counts_stand(autojump_clock: object) -> None:
    async with running(Cluster(names="a", groups=("sw:1:1",), overrides=shown_at())) as cluster:
        await cluster.put("a", record("n/1"))
        records = key("gossipnode_records", group="sw", shard="0")
        assert (await scrape(cluster))[records] == 1
        await cluster.put("a", record("n/2"))
        store = cluster.stores["a"]
        asked = store.figures._begin
        store.figures._begin = trio.sleep_forever
        found = await scrape(cluster)
        assert (found[records], found[key("gossipnode_counts_current")]) == (1, 0)
        store.figures._begin = asked
        # It is left alone for a while, so that a slow store is not asked more than it can answer.
        assert (await scrape(cluster))[records] == 1
        await trio.sleep(300)
        found = await scrape(cluster)
        assert (found[records], found[key("gossipnode_counts_current")]) == (2, 1)


async def test_refused_calls_are_counted_by_what_the_caller_lacks(autojump_clock: object) -> None:
    async with running(Cluster(names="a", groups=("sw:1:1",), overrides=shown_at())) as cluster:
        # A counter that is not there before its first call has no increase that an alert could see.
        assert (await scrape(cluster))[key("gossipnode_refused_calls_total", reason="cluster")] == 0
        async with cluster.channel("a") as channel:
            for _ in range(3):
                with pytest.raises(RpcError, match="belongs to cluster"):
                    await channel.unary(
                        NODE_STATUS, v1.StatusRequest(), timeout=9, metadata={call_metadata.CLUSTER: "x"}
                    )
        found = await scrape(cluster)
        assert found[key("gossipnode_refused_calls_total", reason="cluster")] == 3
        method = NODE_STATUS.path.removeprefix("/")
        refused = key("gossipnode_rpc_requests_total", method=method, code="PERMISSION_DENIED")
        assert found[refused] == 3
