"""What a check may look at: what clients heard, how rounds ended, what happened to nodes and stores.

A history is written while the run goes on and read afterwards. It holds no object of a node, so that a check
can be tried on a history written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop, RoundOutcome
from gossipnode.sim.history.operations import Operation, Tags


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the story: what was done to a lane (a node, a client, `network`), or what happened there."""

    time: float
    lane: str
    text: str
    kind: str = "event"
    """`fault` for what a scenario did to the cluster, `error` for what should not have happened."""


@dataclass(frozen=True, slots=True)
class RoundSeen:
    """A round as its origin reported it. `outcome` is empty if the origin was lost before the end."""

    began: float
    ended: float
    origin: str
    shard: ShardId
    outcome: str
    hops: tuple[Hop, ...]
    replicas: int
    equal_before: bool
    """Whether all replicas that run held the same when it began."""
    equal_after: bool
    """Whether all replicas that run held the same when it ended."""
    final: bool = False
    """Whether it belongs to the end of a run: everything is healed, and nobody writes."""
    cause: str = "asked"
    """Why it was started: `asked` by a step, or `scheduled`."""
    number: str = ""
    """Its id."""
    lacking: tuple[str, ...] = ()
    """Those of its replicas that ran and held no such shard, neither when it began nor when it ended."""
    mended: bool = False
    """Whether nodes meanwhile had sessions because their roots differed, which may have repaired it."""

    @property
    def ended_well(self) -> bool:
        """Whether it says that it left no replica and no record out."""
        return self.outcome in (RoundOutcome.CONVERGED.value, RoundOutcome.REPAIRED.value)


@dataclass(frozen=True, slots=True)
class WentBack:
    """A version in a store was replaced by an older one."""

    time: float
    node: str
    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """A node's process has ended by itself. `expected` if the scenario asked for that, as a forget does."""

    time: float
    node: str
    reason: str
    expected: bool
    forgotten: bool = False
    """Whether it is a member no more, and stopped for that."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A node logged an error that names a defect of its own."""

    time: float
    node: str
    text: str


Held: TypeAlias = Mapping[str, tuple[int, int, Tags]]
"""What one store holds of a shard: key -> (mod_revision, delete_time, tags)."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica of a shard when the run had ended."""

    node: str
    root: str
    held: Held


@dataclass(frozen=True, slots=True)
class Usage:
    """What a running node held while the cluster was idle at the end of a run, and how much it did."""

    node: str
    tasks: int
    connections: int
    memory_bytes: int
    steps_a_minute: int


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which something held, such as a majority being up and connected."""

    begins: float
    ends: float


DOWN = "down"
"""The harm of a machine whose node does not run."""

MEMBERS = "members"
"""The harm of a machine that comes or goes as a member."""

DISK = "disk"
"""The harm of a machine whose disk is slow, full or broken. Its node speaks all the same."""

CLOCK = "clock"
"""The harm of a machine whose clock is wrong. As a replica it is as good as any other."""


@dataclass(frozen=True, slots=True)
class Harm:
    """A time in which something was wrong with a machine, such as `down` or `network`."""

    kind: str
    host: str
    begins: float
    ends: float
    """Infinite while it goes on: a run may end before it is mended."""


@dataclass(slots=True)
class WatchView:
    """What a client that watches a group believes to be there, by the events that it was told."""

    client: str
    group: str
    records: dict[str, tuple[int, Tags]] = field(default_factory=dict[str, tuple[int, Tags]])
    """key -> (mod_revision, tags)"""
    ready: bool = False
    events: int = 0
    gaps: int = 0
    breaks: int = 0
    """How often no node could be asked, and the watch began again from its last token."""
    overlapped: list[str] = field(default_factory=list[str])
    """The keys of the conflicts that it was told of, in their order."""


@dataclass(slots=True)
class History:
    """The history of one run. Times are in seconds of virtual time since the run began."""

    nodes: tuple[str, ...] = ()
    """The nodes that the run began with."""
    groups: Mapping[str, int] = field(default_factory=dict[str, int])
    """For each group of the configuration, the number of its replicas."""
    operations: list[Operation] = field(default_factory=list[Operation])
    events: list[Event] = field(default_factory=list[Event])
    rounds: list[RoundSeen] = field(default_factory=list[RoundSeen])
    went_back: list[WentBack] = field(default_factory=list[WentBack])
    ended_nodes: list[NodeEnded] = field(default_factory=list[NodeEnded])
    defects: list[Defect] = field(default_factory=list[Defect])
    calm: list[Period] = field(default_factory=list[Period])
    """When all nodes were up, connected and fast, with right clocks and good disks."""
    served: list[Period] = field(default_factory=list[Period])
    """When a majority of the replicas of every shard was up, connected and fast."""
    harms: list[Harm] = field(default_factory=list[Harm])
    """What was wrong with which machine, and when."""
    replicas: dict[ShardId, list[Replica]] = field(default_factory=dict[ShardId, list[Replica]])
    """At the end, by shard, the replicas of the running nodes. Empty if the run did not come to its end."""
    usage: list[Usage] = field(default_factory=list[Usage])
    deleted_groups: dict[str, float] = field(default_factory=dict[str, float])
    """When an operator first asked to delete a group. What its keys showed from then on is not judged."""
    gone_groups: set[str] = field(default_factory=set[str])
    """Groups whose deletion was acknowledged, and which nobody asked to create since."""
    watched: list[WatchView] = field(default_factory=list[WatchView])
    """What clients have that watch groups until the end of the run."""
    healed_at: float | None = None
    """When everything was healed for good. Nobody writes from here on, except as the end of a run does."""
    spins: str = ""
    """Why the run did not come to its end, if it did not."""
    places: int = 0
    """How many beginnings and ends of operations there were."""
    reached: dict[str, int] = field(default_factory=dict[str, int])
    """How often each kind of fault was reached, such as `crash`, or `cut while a round ran`."""

    @property
    def spare(self) -> int:
        """How many machines may be harmed without any group of the configuration losing its majority."""
        return min(((replicas - 1) // 2 for replicas in self.groups.values()), default=0)

    def tell(self, time: float, lane: str, text: str, kind: str = "event") -> None:
        """Add a line to the story."""
        self.events.append(Event(time, lane, text, kind))

    def next_place(self) -> int:
        """The place of the next beginning or end of an operation."""
        self.places += 1
        return self.places

    def count(self, point: str) -> None:
        """Note that a fault point was reached."""
        self.reached[point] = self.reached.get(point, 0) + 1
