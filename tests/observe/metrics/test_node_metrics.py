"""The text of a scrape: every figure is there, as Prometheus reads it, and no name breaks a line."""

from __future__ import annotations

import math

import pytest

from gossipnode.concurrency.buckets import Buckets
from gossipnode.observe.events import Events, RoundEnded
from gossipnode.observe.metrics.node_metrics import NodeMetrics
from gossipnode.observe.node_view import MemberFigures, ShardFigures, SnapshotFigures
from tests.observe.metrics.reading import Key, key, read_metrics
from tests.observe.shown import NOW, SECOND, FixedView

HOSTILE = 'a"b\\c\nd{}<script>'


async def scrape(view: FixedView) -> dict[Key, float]:
    return read_metrics(await NodeMetrics(view, Events()).text())


async def test_what_a_node_is_and_holds() -> None:
    found = await scrape(FixedView())
    assert found[key("gossipnode_info", version="0.1.0")] == 1
    assert found[key("gossipnode_state", state="ready")] == 1
    assert found[key("gossipnode_state", state="unhealthy")] == 0
    assert found[key("gossipnode_epoch")] == 7
    assert found[key("gossipnode_connections", direction="in")] == 4
    assert found[key("gossipnode_records", group="sw", shard="1")] == 20
    assert found[key("gossipnode_tombstones", group="sw", shard="2")] == 3
    converged = "gossipnode_last_converged_timestamp_seconds"
    assert found[key(converged, group="sw", shard="0")] == NOW / SECOND - 60
    assert key(converged, group="sw", shard="2") not in found
    assert found[key("gossipnode_member_state", member="c", state="down")] == 1
    assert found[key("gossipnode_clock_ahead_seconds", member="b")] == 0.25
    assert key("gossipnode_clock_ahead_seconds", member="c") not in found
    assert found[key("gossipnode_memory_held_bytes", use="connections")] == 10
    assert found[key("gossipnode_refused_calls_total", reason="role")] == 2
    assert found[key("gossipnode_certificate_days_left")] == 12.5
    assert "process_cpu_seconds_total" in {name for name, _ in found}


async def test_what_is_said_of_a_group_is_the_worst_of_its_shards() -> None:
    found = await scrape(FixedView())
    assert found[key("gossipnode_equal_age_seconds", group="sw")] == 90
    assert found[key("gossipnode_never_equal_shards", group="sw")] == 1
    assert found[key("gossipnode_records_behind", group="sw")] == 7


async def test_a_shard_with_one_replica_has_nothing_to_be_equal_to() -> None:
    view = FixedView()
    view.change(shards=[ShardFigures("sw", 0, 1, 0, 1, 0, 0)])
    assert key("gossipnode_never_equal_shards", group="sw") not in await scrape(view)


async def test_a_spread_becomes_a_histogram() -> None:
    view, buckets = FixedView(), Buckets((0.1, 1.0))
    for value in (0.05, 0.5, 0.5, 2.0):
        buckets.add(value)
    view.change(commit_seconds=buckets)
    found, name = await scrape(view), "gossipnode_store_commit_seconds"
    bounds = {bound: found[key(f"{name}_bucket", le=bound)] for bound in ("0.1", "1.0", "+Inf")}
    assert bounds == {"0.1": 1, "1.0": 3, "+Inf": 4}
    assert found[key(f"{name}_count")] == 4
    assert math.isclose(found[key(f"{name}_sum")], 3.05)


async def test_what_is_known_of_purges() -> None:
    view = FixedView()
    shard = view.shown.shards[0]
    view.change(
        shards=[
            shard._replace(purged_until=NOW - 60 * SECOND),
            shard._replace(shard=1, purged_until=NOW - 90 * SECOND, held_back="seal"),
            shard._replace(shard=2, held_back="seal"),
            shard._replace(shard=3, held_back="moving"),
            shard._replace(group=HOSTILE),
        ]
    )
    found = await scrape(view)
    assert found[key("gossipnode_purge_mark_age_seconds", group="sw")] == 90
    assert key("gossipnode_purge_mark_age_seconds", group=HOSTILE) not in found
    name = "gossipnode_purge_held_back_shards"
    held_back = {labels: value for (metric, labels), value in found.items() if metric == name}
    assert held_back == {
        key(name, group="sw", reason="seal")[1]: 2,
        key(name, group="sw", reason="moving")[1]: 1,
    }


async def test_what_became_of_snapshots() -> None:
    view = FixedView()
    name = "gossipnode_last_snapshot_timestamp_seconds"
    found = await scrape(view)
    assert found[key("gossipnode_snapshots_total", outcome="taken")] == 0
    assert not any(metric == name for metric, _ in found)
    view.change(snapshots=SnapshotFigures(2, 1, NOW, NOW + SECOND))
    found = await scrape(view)
    assert found[key("gossipnode_snapshots_total", outcome="taken")] == 2
    assert found[key("gossipnode_snapshots_total", outcome="failed")] == 1
    assert found[key(name, outcome="failed")] - found[key(name, outcome="taken")] == 1


async def test_names_break_no_line() -> None:
    view, events = FixedView(), Events()
    metrics = NodeMetrics(view, events)
    view.change(
        groups=(HOSTILE,),
        members=[MemberFigures(HOSTILE, "up", 0.5)],
        shards=[ShardFigures(HOSTILE, 0, 1, 0, 3, 0, 4)],
    )
    events.tell(RoundEnded("r", HOSTILE, 0, "converged", 0.1, 0))
    found = read_metrics(await metrics.text())
    assert found[key("gossipnode_records", group=HOSTILE, shard="0")] == 1
    assert found[key("gossipnode_clock_ahead_seconds", member=HOSTILE)] == 0.5
    assert found[key("gossipnode_records_behind", group=HOSTILE)] == 4
    assert found[key("gossipnode_rounds_total", group=HOSTILE, outcome="converged")] == 1


async def test_what_is_gone_is_shown_no_more() -> None:
    view, events = FixedView(), Events()
    metrics = NodeMetrics(view, events)
    events.tell(RoundEnded("r", "sw", 0, "converged", 0.1, 0))
    await metrics.text()
    view.change(groups=(), shards=())
    assert not any("group" in dict(labels) for _, labels in read_metrics(await metrics.text()))


@pytest.mark.parametrize("shards", [99, 100, 101, 1000])
async def test_every_shard_is_there_however_many_there_are(shards: int) -> None:
    view = FixedView()
    view.change(shards=[ShardFigures("sw", number, number, 0, 3, 1, 0) for number in range(shards)])
    found = await scrape(view)
    records = [found[key("gossipnode_records", group="sw", shard=str(number))] for number in range(shards)]
    assert records == list(range(shards))
