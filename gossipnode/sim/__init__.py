"""Whole clusters in memory, under virtual time. Public: users may test their own programs with it.

`Cluster` runs the real nodes on a network in memory; `Faults` holds up bytes and cuts links between them.
The tests of an application begin with `testing`, or with the fixtures of `pytest_plugin`.
"""

from gossipnode.sim.cluster import Cluster, RoundRun, running
from gossipnode.sim.faults import Faults, FaultyNetwork
from gossipnode.sim.network import MemoryNetwork
from gossipnode.sim.world.clocks import DAY_ONE

__all__ = ["DAY_ONE", "Cluster", "Faults", "FaultyNetwork", "MemoryNetwork", "RoundRun", "running"]
