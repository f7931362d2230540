"""Whatever is done to a cluster, one step after the other: every check holds once it is healed.

The rules only write a scenario. It is run as a whole when no more steps come, so that a failure is a scenario
file, which is printed and can be played again.
"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from gossipnode.sim.runs.one_run import run_scenario
from gossipnode.sim.scenario.scenario import Scenario, Step

NODES: Final = ("a", "b", "c")
SHARDS: Final = 2

LEFT_OUT_STEPS: Final = {
    "forget": "records of a healthy member that is forgotten are hidden until its successor is filled",
    "wipe": "a node that comes back with an empty disk answers as if nothing had ever been written",
    "putback": "a node that comes back with an older disk answers as if later writes had never been",
}
"""What no rule does yet, and what goes wrong when it is done."""

LEFT_OUT_CHECKS: Final[dict[str, str]] = {}
"""Checks that are not asked for yet, and why."""

hosts = st.sampled_from(NODES)
keys = st.sampled_from(["sw/n/1", "sw/n/2", "sw/n/3"])
levels = st.sampled_from(["quorum", "all", "one"])


class ClusterMachine(RuleBasedStateMachine):
    """Writes down steps; `teardown` runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.down: set[str] = set()
        self.paused: set[str] = set()
        self.joined = 0

    def do(self, verb: str, *arguments: str) -> None:
        """One more step."""
        self.steps.append(Step(None, verb, arguments))

    def teardown(self) -> None:
        """Run what was written down."""
        if not self.steps:
            return
        end = (Step(None, "heal"), Step(None, "finish"))
        scenario = Scenario("machine", NODES, (f"sw:{SHARDS}:3",), steps=(*self.steps, *end))
        result = run_scenario(scenario)
        assert not LEFT_OUT_STEPS.keys() & {step.verb for step in self.steps}
        broken = [str(each) for each in result.violations if each.check not in LEFT_OUT_CHECKS]
        assert not broken, "\n".join([scenario.text(), *broken])
        assert not result.history.spins, f"{scenario.text()}\n{result.history.spins}"
        assert result.history.replicas, f"{scenario.text()}\nthe run did not come to its end"

    # Clients

    @rule(node=hosts, key=keys, ack=levels)
    def write(self, node: str, key: str, ack: str) -> None:
        # Each value tells its writer.
        self.do("apply", node, key, f"x={len(self.steps) + 1}", f"ack={ack}")

    @rule(node=hosts, key=keys, ack=levels)
    def delete(self, node: str, key: str, ack: str) -> None:
        self.do("delete", node, key, f"ack={ack}")

    @rule(node=hosts, key=keys)
    def read(self, node: str, key: str) -> None:
        self.do("get", node, key)

    # The network

    @rule(host=hosts)
    def cut(self, host: str) -> None:
        self.do("cut", f"{host}-*")

    @rule(host=hosts, to=hosts)
    def drop(self, host: str, to: str) -> None:
        if host != to:
            self.do("drop", f"{host}>{to}")

    @rule()
    def mend(self) -> None:
        self.do("mend", "all")

    # Machines

    @precondition(lambda self: len(self.down) < len(NODES))
    @rule(host=hosts, verb=st.sampled_from(["crash", "power", "stop"]))
    def end(self, host: str, verb: str) -> None:
        if host not in self.down | self.paused:
            self.down.add(host)
            self.do(verb, host)

    @precondition(lambda self: self.down)
    @rule()
    def restart(self) -> None:
        host = min(self.down)
        self.down.remove(host)
        self.do("restart", host)

    @precondition(lambda self: not self.paused)
    @rule(host=hosts)
    def pause(self, host: str) -> None:
        if host not in self.down:
            self.paused.add(host)
            self.do("pause", host)

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        self.do("resume", self.paused.pop())

    @rule(host=hosts, seconds=st.sampled_from(["+0.5", "-2", "+30", "-3600"]))
    def jump_clock(self, host: str, seconds: str) -> None:
        self.do("clock", host, seconds)

    @rule(seconds=st.sampled_from(["0.01", "1", "20"]))
    def wait(self, seconds: str) -> None:
        self.do("wait", seconds)

    # The cluster

    @precondition(lambda self: self.joined < 2)
    @rule(member=hosts)
    def join(self, member: str) -> None:
        if member not in self.down | self.paused:
            self.joined += 1
            self.do("join", f"n{self.joined}", "through", member)

    @rule(host=hosts, shard=st.integers(0, SHARDS - 1))
    def round(self, host: str, shard: int) -> None:
        if host not in self.paused:
            self.do("round", host, "sw", str(shard))


TestClusterMachine = pytest.mark.slow(ClusterMachine.TestCase)
TestClusterMachine.settings = settings(
    max_examples=8,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
