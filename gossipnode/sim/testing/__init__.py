"""Clusters for the tests of an application that uses `gossipnode.client`.

`virtual_cluster` runs one in virtual time, for applications under Trio; `loopback_cluster` runs one in a
thread of its own, which is reached by TCP, for all others. `FaultInjector` is what can go wrong with either.
The fixtures of `gossipnode.sim.pytest_plugin` are made of these.
"""

from gossipnode.sim.testing.fault_injector import ClusterError, FaultInjector
from gossipnode.sim.testing.loopback_cluster import BlockingFaults, LoopbackCluster, loopback_cluster
from gossipnode.sim.testing.virtual_cluster import VirtualCluster, run_in_virtual_time, virtual_cluster

__all__ = [
    "BlockingFaults",
    "ClusterError",
    "FaultInjector",
    "LoopbackCluster",
    "VirtualCluster",
    "loopback_cluster",
    "run_in_virtual_time",
    "virtual_cluster",
]
