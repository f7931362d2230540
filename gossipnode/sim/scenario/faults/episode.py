"""An episode: a fault that begins at a machine, lasts, and is over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gossipnode.core.cluster.placement import replicas_of
from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import ShardId, parse_entity
from gossipnode.sim.scenario.scenario import Step

Steps: TypeAlias = list[Step]

TAG_BASE = 100_000
"""Tags that episodes write have values from here on: what clients write beside them is smaller."""

WRITES_MAX = 10
"""How many writes an episode may make at most."""


@dataclass(frozen=True, slots=True)
class ClusterShape:
    """The cluster that episodes befall, as its configuration has it."""

    names: Sequence[str]
    group: str
    shards: int
    replicas: int
    keys: Sequence[str]
    """The records that clients want most."""

    def replicas_of(self, key: str, *joined: str) -> tuple[str, ...]:
        """The members that hold a record, if these have joined."""
        return replicas_of(ShardId(self.group, self.shard_of(key)), (*self.names, *joined), self.replicas)

    def shard_of(self, key: str) -> int:
        """The number of the shard of a record."""
        return shard_of(parse_entity(key), self.shards)


@dataclass(frozen=True, slots=True)
class Episode:
    """What an episode of a fault is made of."""

    rng: random.Random
    begins: float
    ends: float
    host: str
    """The machine that it befalls."""
    number: int
    """Tells it from all other episodes of the run."""
    cluster: ClusterShape

    def step(self, part: float, verb: str, *arguments: str) -> Step:
        """A step when `part` of the episode is over: 0 is its beginning and 1 its end."""
        return self.at(part * (self.ends - self.begins), verb, *arguments)

    def at(self, seconds: float, verb: str, *arguments: str) -> Step:
        """A step a number of seconds after the beginning of the episode."""
        return Step(round(self.begins + seconds, 3), verb, arguments)

    @property
    def others(self) -> Sequence[str]:
        """All other machines of the configuration, or the one there is."""
        return [name for name in self.cluster.names if name != self.host] or [self.host]

    @property
    def other(self) -> str:
        """One of the other machines."""
        return self.rng.choice(self.others)

    def tag(self, write: int) -> str:
        """What the episode's write of this number, from 0 on, puts into a record."""
        assert write < WRITES_MAX, "the numbers of the next episode begin there"
        return f"{self.rng.choice('xyz')}={TAG_BASE + self.number * WRITES_MAX + write}"


Make: TypeAlias = Callable[[Episode], Steps]
"""Makes the steps of an episode."""
