"""Coordination as a whole: the parts of this room, put together. The face of this room.

Coordination
 |- replicas      requests to replicas, which may outlive the client's request that made them
 `- read repair   writes the newest version to stale copies
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from gossipnode.node.coordinate.bulk_writes import BulkWrites
from gossipnode.node.coordinate.coordinator import Coordinator
from gossipnode.node.coordinate.read_repair import ReadRepair
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.coordinate.replica_calls import Missed, ReplicaCalls, nobody_is_told
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.peers.members import Members
from gossipnode.node.replica.replica import Replica
from gossipnode.observe.traces.traces import NO_TRACES, Traces


@dataclass(frozen=True, slots=True)
class Coordination:
    """The parts, of which `replicas` and `read_repair` are to be run."""

    replicas: ReplicaCalls
    read_repair: ReadRepair
    steps: RecordSteps
    coordinator: Coordinator
    bulk: BulkWrites


def make_coordination(
    local: LocalState,
    members: Members,
    replica: Replica,
    news: EpochNews,
    rng: random.Random | None = None,
    missed: Missed = nobody_is_told,
    traces: Traces = NO_TRACES,
) -> Coordination:
    """The parts. Nothing runs yet; `replica` is this node's own copy.

    `missed` is told of each replica that did not take a write that another one took. With `traces` that are
    on, the trace of a request tells which replicas it asked.
    """
    replicas = ReplicaCalls(members, replica, local.clock, missed, traces)
    read_repair = ReadRepair(local.shards, members, replica)
    steps = RecordSteps(local, replicas, read_repair, news, rng)
    return Coordination(replicas, read_repair, steps, Coordinator(steps), BulkWrites(local, steps))
