"""Where a scenario is played: the machines, the clients, and the history that is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import trio

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.node.node import Node
from gossipnode.sim.history.history import CLOCK, Defect, Harm, History, NodeEnded, Period, WentBack
from gossipnode.sim.scenario.clients import Clients
from gossipnode.sim.scenario.rounds_seen import RoundsSeen
from gossipnode.sim.scenario.scenario import Scenario, ScenarioError
from gossipnode.sim.world.machines import ASKED_TO, ClusterPlan, Machine, Machines, NodeEnd
from gossipnode.sim.world.scheduler import Scheduler
from gossipnode.sim.world.sim_disk import DiskCopy

NO_MEMBER = ("the cluster has forgotten", "another data directory is the member")
"""How the reason begins for which a node stops that is no longer a member."""

OUTSIDE = "network"
"""The lane of what happens between machines."""


class NotNowError(Exception):
    """A step finds nothing to act upon: its machine has moved, or has not joined yet."""


@dataclass(slots=True)
class Stage:
    """The cluster of one run, and what is known of it from outside."""

    scenario: Scenario
    scheduler: Scheduler
    nursery: trio.Nursery
    history: History
    machines: Machines = field(init=False)
    clients: Clients = field(init=False)
    copies: dict[str, DiskCopy] = field(default_factory=dict[str, DiskCopy])
    """The newest copy of each machine's disk, if one was taken."""
    broken: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """What is wrong now and with which machine, such as (`down`, `a`); empty when everything is well."""
    problems: list[str] = field(default_factory=list[str])
    """What steps expected and did not get."""
    rounds: RoundsSeen = field(init=False)
    _known: frozenset[str] = field(init=False)
    """The hosts that there are at some time of the run."""

    def __post_init__(self) -> None:
        """Make the machines of the configuration. None of them runs."""
        scenario = self.scenario
        self._known = scenario.made().union(scenario.nodes)
        plan = ClusterPlan(scenario.nodes, scenario.groups, scenario.settings)
        self.machines = Machines(
            plan,
            scenario.seed,
            self.scheduler,
            self.nursery,
            on_stored=self._on_stored,
            on_ended=self._on_ended,
            on_serving=self._on_serving,
        )
        self.rounds = RoundsSeen(self.nursery, self.history, self.equal, self.lacking, self._mending)
        self.clients = Clients(self.machines.network, self.nursery, self.history, scenario.seed)

    # What is there

    @property
    def now(self) -> float:
        """Seconds of virtual time since the run began."""
        return trio.current_time()

    def machine(self, host: str) -> Machine:
        """The machine of a step.

        Raises:
            ScenarioError: no step ever makes a machine of that name.
            NotNowError: no such machine exists now.
        """
        self.check_host(host)
        machine = self.machines.by_host.get(host)
        if machine is None:
            raise NotNowError(f"there is no machine {host} now")
        return machine

    def check_host(self, host: str) -> None:
        """Raise ScenarioError if no step ever makes a machine of that name."""
        if host not in self._known:
            raise ScenarioError(f"there is no machine {host}: there are {', '.join(sorted(self._known))}")

    def node(self, host: str) -> Node | None:
        """The node that serves on a machine, if one does."""
        return self.machine(host).node

    def replicas(self, shard: ShardId) -> list[Machine]:
        """The machines that run and hold a shard, as they themselves know it, by host."""
        return [
            machine
            for machine in self.machines.running
            if holds(machine, shard) and not self.scheduler.stops(machine.host)
        ]

    def equal(self, shard: ShardId) -> bool:
        """Whether all replicas of a shard that run hold the same."""
        held = [versions(machine, shard) for machine in self.replicas(shard)]
        return all(each == held[0] for each in held[1:])

    def lacking(self, shard: ShardId) -> frozenset[str]:
        """The names of the nodes that run and hold no such shard, as they themselves know it."""
        holders = {machine.node_name for machine in self.machines.running if holds(machine, shard)}
        return frozenset(
            machine.node_name for machine in self.machines.running if machine.node_name not in holders
        )

    def _mending(self) -> dict[str, int]:
        return {
            machine.node_name: machine.node.parts.repair.mender.steps
            for machine in self.machines.running
            if machine.node is not None
        }

    def hosts(self) -> Iterable[str]:
        """The hosts of all machines, in order."""
        return sorted(self.machines.by_host)

    # What is wrong

    def harm(self, kind: str, host: str) -> None:
        """Something is wrong with a machine from now on."""
        self.broken.add((kind, host))
        self._follow_periods()

    def mended(self, kind: str, host: str = "") -> None:
        """It is over; without a host, on all machines."""
        self.broken = {each for each in self.broken if each[0] != kind or (host and each[1] != host)}
        self._follow_periods()

    def _follow_periods(self) -> None:
        """Note when everything was well, and when a majority of the replicas of every shard was."""
        harmed = {host for _, host in self.broken}
        _follow(self.history.calm, self.now, holds=not harmed)
        away = {host for kind, host in self.broken if kind != CLOCK}
        _follow(self.history.served, self.now, holds=len(away) <= self.history.spare)
        _follow_harms(self.history.harms, self.now, self.broken)

    def begin_periods(self) -> None:
        """The nodes of the configuration run: what holds now holds from here on."""
        self._follow_periods()

    def end_periods(self) -> None:
        """The run is over: what holds now has held until now."""
        _follow(self.history.calm, self.now, holds=False)
        _follow(self.history.served, self.now, holds=False)
        _follow_harms(self.history.harms, self.now, set())

    # What is told

    def tell(self, lane: str, text: str, kind: str = "event") -> None:
        """Add a line to the story."""
        self.history.tell(self.now, lane, text, kind)

    def fault(self, lane: str, text: str, point: str) -> None:
        """Tell of a fault, and count where it was reached."""
        self.tell(lane, text, "fault")
        self.history.count(point)
        if self.rounds.under_way:
            self.history.count(f"{point} while a round ran")

    def defect(self, host: str, text: str) -> None:
        """A node has logged a defect of its own."""
        self.history.defects.append(Defect(self.now, host, text))
        self.tell(host, text, "error")

    def _on_stored(self, host: str, shard: ShardId, before: Version | None, record: Record) -> None:
        if before is not None and record.version < before:
            self.history.went_back.append(
                WentBack(self.now, host, record.entity.text, str(before[:2]), str(record.version[:2]))
            )

    def _on_serving(self, machine: Machine, node: Node) -> None:
        self.rounds.follow(machine, node)

    def _on_ended(self, ended: NodeEnd) -> None:
        machine, history = ended.machine, self.history
        if ended.error is not None:
            self.defect(machine.host, f"the node has died: {ended.error!r}")
        expected = machine.may_end or ended.reason == ASKED_TO
        history.ended_nodes.append(
            NodeEnded(self.now, machine.host, ended.reason, expected, ended.reason.startswith(NO_MEMBER))
        )
        self.tell(machine.host, f"has ended: {ended.reason}", "event" if expected else "error")


def holds(machine: Machine, shard: ShardId) -> bool:
    """Whether a machine runs a node that holds a shard, as the node itself knows it."""
    return machine.node is not None and machine.node.parts.local.shards.holds(shard)


def versions(machine: Machine, shard: ShardId) -> dict[Entity, Version]:
    """The version of each record that a machine holds of a shard. A flipped bit of a payload changes none."""
    held = machine.disk.contents().get(shard, {})
    return {entity: record.version for entity, record in held.items()}


_OPEN = float("inf")


def _follow_harms(harms: list[Harm], now: float, broken: set[tuple[str, str]]) -> None:
    """End what is over, and begin what is new."""
    lasting = {(harm.kind, harm.host): place for place, harm in enumerate(harms) if harm.ends == _OPEN}
    for kind, host in sorted(lasting.keys() - broken):
        place = lasting[kind, host]
        harms[place] = replace(harms[place], ends=now)
    harms += [Harm(kind, host, now, _OPEN) for kind, host in sorted(broken - lasting.keys())]


def _follow(periods: list[Period], now: float, *, holds: bool) -> None:
    """Begin a period, or end the one that is open."""
    is_open = bool(periods) and periods[-1].ends == _OPEN
    if holds and not is_open:
        periods.append(Period(now, _OPEN))
    elif not holds and is_open:
        periods[-1] = Period(periods[-1].begins, now)
