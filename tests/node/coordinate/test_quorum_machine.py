"""Random requests at random nodes of a cluster, while one node at a time crashes, hangs or is cut off.

What was acknowledged at quorum is never lost, and no later quorum read shows less. A write that was not
acknowledged is there as a whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import pytest
import structlog
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossipnode.core.model.property import Record
from gossipnode.node.peers.hello import HELLO_MAX_SECONDS
from gossipnode.node.refusals.request_errors import NotStoredError, TooFewReplicasError
from gossipnode.sim import Cluster, running
from gossipnode.wire.property.property_edit import read_tags
from tests.records import entity, prop

NODES = ("a", "b", "c", "d")
HOLDERS_OF_THREE = "sw:1:3"
SETTLE_SECONDS = 2 * HELLO_MAX_SECONDS
CALLER_SECONDS = 10.0

Value: TypeAlias = frozenset[tuple[str, int]] | None
"""The tags of a live record, or None."""


class Ask(NamedTuple):
    """A request of a client. If it is a write that fails, it is made a second time, at the node `again`."""

    kind: Literal["merge", "replace", "delete", "get"]
    at: str
    item: str
    tag: str
    again: str


class Fault(NamedTuple):
    kind: Literal["crash", "hang", "cut off", "mute", "deaf", "full"]
    node: str


class Pause(NamedTuple):
    seconds: float


Step: TypeAlias = Ask | Fault | Pause | Literal["heal"]

nodes = st.sampled_from(NODES)
asks = st.builds(
    Ask,
    st.sampled_from(("merge", "merge", "replace", "delete", "get", "get")),
    nodes,
    st.sampled_from("12"),
    st.sampled_from("xyz"),
    nodes,
)
faults = st.builds(Fault, st.sampled_from(("crash", "hang", "cut off", "mute", "deaf", "full")), nodes)
pauses = st.builds(Pause, st.sampled_from((0.05, 1.0, 5.0)))
steps = st.lists(st.one_of(asks, asks, asks, asks, faults, pauses, st.just("heal")), min_size=15, max_size=40)


@dataclass
class Known:
    """What a client knows for certain of one record."""

    possible: set[Value] = field(default_factory=lambda: {None})
    """What a quorum read may show."""
    floor: int = 0
    """The mod_revision of the newest version known to be at a quorum."""

    def after(self, ask: Ask, number: int) -> set[Value]:
        """What a read may show after a write."""
        if ask.kind == "delete":
            return {None}
        if ask.kind == "replace":
            return {frozenset({(ask.tag, number)})}
        return {frozenset((dict(value or ()) | {ask.tag: number}).items()) for value in self.possible}


def value_of(record: Record | None) -> Value:
    if record is None or record.deleted:
        return None
    return frozenset((key, tag) for key, tag in read_tags(record.payload).items() if isinstance(tag, int))


class Machine:
    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        self.cluster = cluster
        self.nursery = nursery
        self.known = {"1": Known(), "2": Known()}
        self.faulty = ""
        self.changed_at = 0.0
        self.writes = 0

    async def take(self, step: Step) -> None:
        # Every write gets a stamp of its own, above those of all requests before it.
        await trio.sleep(0.01)
        if isinstance(step, Pause):
            await trio.sleep(step.seconds)
        elif isinstance(step, Fault):
            await self.heal()
            await self.break_(step)
        elif isinstance(step, Ask):
            await self.ask(step)
        else:
            await self.heal()

    async def break_(self, fault: Fault) -> None:
        cluster, node = self.cluster, fault.node
        self.faulty, self.changed_at = node, trio.current_time()
        match fault.kind:
            case "crash":
                cluster.kill(node)
                await cluster.ended[node].wait()
            case "hang":
                cluster.hang(node)
            case "cut off":
                await cluster.isolate(node)
            case "mute":
                cluster.faults.hold(*((node, other) for other in cluster.others(node)))
            case "deaf":
                cluster.faults.hold(*((other, node) for other in cluster.others(node)))
            case "full":
                cluster.stores[node].set_full(True)

    async def heal(self) -> None:
        if not self.faulty:
            return
        self.cluster.faults.heal()
        self.cluster.stores[self.faulty].set_full(False)
        if self.cluster.ended[self.faulty].is_set():
            await self.cluster.start(self.nursery, self.faulty)
        self.faulty, self.changed_at = "", trio.current_time()

    def running(self, name: str) -> bool:
        return not self.cluster.ended[name].is_set()

    async def ask(self, ask: Ask) -> None:
        if not self.running(ask.at):
            return
        if ask.kind == "get":
            await self.get(ask)
            return
        self.writes += 1
        number = self.writes
        if await self.write(ask, number, ask.at) or not self.running(ask.again):
            return
        await trio.sleep(0.01)
        await self.write(ask, number, ask.again, second=True)

    async def get(self, ask: Ask) -> None:
        known = self.known[ask.item]
        done = False
        with trio.move_on_after(CALLER_SECONDS):
            try:
                got = await self.cluster.coordinator(ask.at).get(entity(f"n/{ask.item}"))
            except TooFewReplicasError:
                pass
            else:
                done = True
                assert value_of(got.record) in known.possible
                if got.record is not None:
                    assert got.record.version.mod_revision >= known.floor
        self.check_served(ask.at, done)

    async def write(self, ask: Ask, number: int, at: str, *, second: bool = False) -> bool:
        """Make a write, or make it a second time; gives whether it was acknowledged."""
        known = self.known[ask.item]
        coordinator = self.cluster.coordinator(at)
        request_id = f"write {number}"
        wanted = known.after(ask, number)
        done = False
        with trio.move_on_after(CALLER_SECONDS):
            try:
                if ask.kind == "delete":
                    deleted = await coordinator.delete(entity(f"n/{ask.item}"), request_id=request_id)
                    record = deleted.tombstone
                    if record is None:
                        assert None in known.possible
                        return True
                else:
                    payload = prop(f"n/{ask.item}", **{ask.tag: number})
                    replace = ask.kind == "replace"
                    applied = await coordinator.apply(payload, replace=replace, request_id=request_id)
                    record = applied.record
            except (TooFewReplicasError, NotStoredError):
                pass
            else:
                done = True
                version = record.version.mod_revision
                assert version >= known.floor
                known.floor = version
                if second:
                    # This may acknowledge the first try, on top of which other writes may have come.
                    assert value_of(record) in known.possible | wanted
                    known.possible |= wanted
                else:
                    assert value_of(record) in wanted
                    known.possible = {value_of(record)}
        if not done:
            known.possible |= wanted
        self.check_served(at, done)
        return done

    def check_served(self, name: str, done: bool) -> None:
        """Two healthy replicas of three are enough, once all nodes have noticed the fault."""
        settled = trio.current_time() - self.changed_at > SETTLE_SECONDS + CALLER_SECONDS
        assert done or not settled or name == self.faulty

    async def end(self) -> None:
        """Heal everything; then all nodes show the same."""
        await self.heal()
        await trio.sleep(SETTLE_SECONDS)
        holders = self.cluster.nodes["a"].parts.local.shards.replicas(
            self.cluster.nodes["a"].parts.local.shards.shard_of(entity("n/1"))
        )
        await self.cluster.round(holders[0])
        for item, known in self.known.items():
            held = await self.cluster.held_of(entity(f"n/{item}"))
            (version,) = {held[name].version if held[name] else None for name in holders}
            assert version is None or version.mod_revision >= known.floor
            for name in self.cluster.names:
                got = await self.cluster.coordinator(name).get(entity(f"n/{item}"))
                assert value_of(got.record) in known.possible


def within(step: Step, names: str) -> Step:
    """The step, at nodes of this cluster."""

    def known(name: str) -> str:
        return names[NODES.index(name) % len(names)]

    if isinstance(step, Ask):
        return step._replace(at=known(step.at), again=known(step.again))
    return step._replace(node=known(step.node)) if isinstance(step, Fault) else step


async def run(names: str, taken: Iterable[Step]) -> None:
    cluster = Cluster(names=tuple(names), groups=(HOLDERS_OF_THREE,))
    async with running(cluster), trio.open_nursery() as nursery:
        machine = Machine(cluster, nursery)
        for step in taken:
            await machine.take(within(step, names))
        await machine.end()
        cluster.stop()


@pytest.mark.slow
@pytest.mark.parametrize("names", ["abc", "abcd"])
@given(taken=steps)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_was_acknowledged_at_quorum_is_never_lost(names: str, taken: list[Step]) -> None:
    with structlog.testing.capture_logs():
        trio.run(run, names, taken, clock=trio.testing.MockClock(autojump_threshold=0))
