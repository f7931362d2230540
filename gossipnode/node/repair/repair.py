"""Repair as a whole: the parts of this room, put together. The face of this room.

Repair
 |- reports      to origins; they go on while the rest stops
 |- holder       a task per shard that holds a message
 |- rounds       a task per round that this node started, and the schedule
 |- purges       rounds that prove up to which stamp tombstones can go
 |- catch up     sessions with replicas that missed writes and are back
 `- mender       sessions because of roots that differ
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipnode.config.settings import RepairSettings, Settings
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.foreign_turn import UNSEEN_HOLDER_SECONDS
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.peers.shared_roots import SharedRoots
from gossipnode.node.repair.catch_up import CatchUp
from gossipnode.node.repair.foreign.foreign_holders import ForeignHolders
from gossipnode.node.repair.foreign.foreign_witness import ForeignWitness
from gossipnode.node.repair.holder import Holder
from gossipnode.node.repair.neighbours import Neighbours
from gossipnode.node.repair.origin import Origin
from gossipnode.node.repair.reports import Reports
from gossipnode.node.repair.retention.purge_rounds import PurgeRounds
from gossipnode.node.repair.root_mender import RootMender
from gossipnode.node.repair.rounds import Rounds
from gossipnode.node.repair.schedule import Schedule, utc
from gossipnode.node.repair.session_runs import SessionBounds
from gossipnode.node.repair.sessions import Sessions
from gossipnode.node.world import World

ROUND_ID_BITS = 96


@dataclass(frozen=True, slots=True)
class Repair:
    """The parts, of which `reports`, `holder`, `rounds`, `purges`, `catch_up` and `mender` are to be run."""

    bounds: SessionBounds
    origin: Origin
    sessions: Sessions
    reports: Reports
    neighbours: Neighbours
    witness: ForeignWitness
    holder: Holder
    rounds: Rounds
    catch_up: CatchUp
    roots: SharedRoots
    mender: RootMender
    purges: PurgeRounds

    def ended_well(self, shard: ShardId, origin: str) -> None:
        """A round of another node has left all replicas of a shard equal, of which this node is one."""
        self.origin.converged(shard)
        self.holder.ended_well(shard, origin)


def make_repair(settings: Settings, world: World, local: LocalState, members: Members) -> Repair:
    """The parts. Nothing runs yet."""
    repair = settings.repair
    schedule = Schedule(repair.schedule) if repair.schedule else None

    def half_interval() -> float:
        return 0.0 if schedule is None else schedule.last_interval_seconds(utc(local.clock.now())) / 2

    origin = Origin(
        local.own_name,
        wall_clock=local.clock.now,
        new_round_id=lambda: f"{world.rng.getrandbits(ROUND_ID_BITS):024x}",
        deadline_seconds=min(repair.session_deadline_seconds, UNSEEN_HOLDER_SECONDS),
        events=world.events,
        traces=world.traces,
    )
    bounds = _bounds(repair)
    sessions = Sessions(local, members, bounds, world.events)
    reports = Reports(members, origin)
    witness = ForeignWitness(local.own_name, bounds.deadline_seconds)
    foreign = ForeignHolders(members, witness, bounds.deadline_seconds)
    neighbours = Neighbours(members, sessions, reports, foreign)
    holder = Holder(
        local.own_name,
        neighbours,
        max_sessions=repair.max_sessions,
        half_interval=half_interval,
        rng=world.rng,
        events=world.events,
        traces=world.traces,
    )
    rounds = Rounds(local, origin, holder, neighbours, reports, schedule, world.rng)
    catch_up = CatchUp(local, members, sessions, rounds)
    roots = SharedRoots(local)
    mender = RootMender(members, sessions, roots)
    purges = PurgeRounds(local, members, rounds.start)
    rounds.on_ended = purges.ended
    parts = bounds, origin, sessions, reports, neighbours, witness, holder, rounds
    return Repair(*parts, catch_up, roots, mender, purges)


def _bounds(repair: RepairSettings) -> SessionBounds:
    return SessionBounds(
        repair.session_deadline_seconds,
        repair.page_leaves,
        repair.foreign_retention_seconds,
        repair.leaf_json,
    )
