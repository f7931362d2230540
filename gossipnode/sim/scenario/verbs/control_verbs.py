"""The course of a scenario: time that passes, healing, the end, and what must hold on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import trio

from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.version import payload_digest
from gossipnode.node.node import DRAIN_SECONDS
from gossipnode.sim.history.history import DOWN, Replica, Usage
from gossipnode.sim.scenario.scenario import ScenarioError, parse_seconds
from gossipnode.sim.scenario.stage import OUTSIDE, Stage
from gossipnode.sim.scenario.verb import Verb, Words, by_name
from gossipnode.sim.scenario.verbs.disk_verbs import reinstate
from gossipnode.sim.scenario.verbs.machine_verbs import restart
from gossipnode.sim.scenario.verbs.round_verbs import run_round
from gossipnode.sim.world.machines import Machine
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.wire_errors import WireError

CALM_SECONDS = 60.0
"""How long the end of a run waits for members to find each other and for shards to settle."""

PURGE_SECONDS = 30.0
PURGE_POLL_SECONDS = 0.1
"""How long the end of a run waits for replicas that purge tombstones, and how often it looks at them."""

REINSTATE_SECONDS = 120.0
"""How long the healing waits for a node with an empty disk to have its place again."""

LOOK_SECONDS = 0.1
"""How often `until` looks at a node."""

IDLE_SECONDS = 60.0
"""How long a cluster that has nothing to do is watched at the end of a run."""


async def _wait(stage: Stage, words: Words) -> None:
    await trio.sleep(parse_seconds(words[0]))


async def _heal(stage: Stage, words: Words) -> None:
    """End every fault: what is down starts, what stands still goes on, clocks are right, disks have room."""
    machines = stage.machines
    machines.links.heal()
    for host in stage.hosts():
        stage.scheduler.slow(host, 0)
        stage.scheduler.go_on(host)
        machines.clocks.right(host)
        stage.machine(host).disk.heal()
    stage.tell(OUTSIDE, "everything is healed", "fault")
    for host in stage.hosts():
        machine = stage.machine(host)
        if (DOWN, host) in stage.broken and machine.running:
            # It was told to stop, and may still be at it.
            with trio.move_on_after(DRAIN_SECONDS):
                await machine.ended.wait()
        if not machine.running and not machine.twin and not machine.empty:
            await restart(stage, (host,))
    await _reinstate_all(stage)
    stage.broken.clear()
    stage.mended("network")


async def _reinstate_all(stage: Stage) -> None:
    """Nodes with empty disks take their places again, in turn: each may be a source of the next."""
    for host in stage.hosts():
        machine = stage.machine(host)
        with trio.move_on_after(REINSTATE_SECONDS):
            while machine.empty and not machine.twin:
                whole = [member.host for member in stage.machines.running if not member.empty]
                if whole:
                    await reinstate(stage, machine, whole[0])
                await trio.sleep(1)


async def _finish(stage: Stage, words: Words) -> None:
    """The end of a run: rounds of every shard twice, then what every replica holds, then an idle minute."""
    stage.history.healed_at = stage.now
    await trio.sleep(CALM_SECONDS)
    for _ in range(2):
        for shard in await _shards(stage):
            if replicas := stage.replicas(shard):
                await run_round(stage, replicas[0], shard, final=True)
    with trio.move_on_after(PURGE_SECONDS):
        while await _is_purging(stage):  # noqa: ASYNC110 - disks tell nobody
            await trio.sleep(PURGE_POLL_SECONDS)
    await _look(stage)
    await _idle(stage)


async def _is_purging(stage: Stage) -> bool:
    """Whether a replica still holds tombstones that another one has purged: the replicas do so one by one."""
    for shard in await _shards(stage):
        replicas = [(machine, machine.node) for machine in stage.replicas(shard) if machine.node is not None]
        marks = [node.parts.local.retention.marks(shard).mark for _, node in replicas]
        mark = max(marks, default=0)
        for machine, _ in replicas:
            held = machine.disk.contents().get(shard, {}).values()
            if any(record.deleted and record.version.stamp <= mark for record in held):
                return True
    return False


async def _shards(stage: Stage) -> list[ShardId]:
    """The shards that any running node holds."""
    nodes = [machine.node for machine in stage.machines.running if machine.node is not None]
    return sorted({shard for node in nodes for shard in await node.parts.local.shards.held()})


async def _look(stage: Stage) -> None:
    """Note what every replica holds."""
    for shard in await _shards(stage):
        replicas: list[Replica] = []
        for machine in stage.replicas(shard):
            assert machine.node is not None, "only those that run are replicas here"
            tree = await machine.node.parts.local.store.tree(shard)
            held = {
                record.entity.text: (record.version.mod_revision, record.version.delete_time, tags)
                for record, tags in _held(stage, machine, shard)
            }
            replicas.append(Replica(machine.host, tree.root, held))
        stage.history.replicas[shard] = replicas


def _held(stage: Stage, machine: Machine, shard: ShardId) -> Iterator[tuple[Record, dict[str, int]]]:
    """What a machine holds of a shard, with its tags. A rotten record has those of an equal one."""
    good = {
        (entity, record.version): record.payload
        for other in stage.replicas(shard)
        for entity, record in other.disk.contents().get(shard, {}).items()
        if payload_digest(record.payload) == record.version.digest
    }
    for entity, record in sorted(machine.disk.contents().get(shard, {}).items()):
        yield record, _tags(good.get((entity, record.version), record.payload))


def _tags(payload: bytes) -> dict[str, int]:
    try:
        return {name: value for name, value in read_tags(payload).items() if isinstance(value, int)}
    except WireError:
        return {}


async def _idle(stage: Stage) -> None:
    """Note how much each node does while nobody wants anything."""
    steps = stage.scheduler.count_steps()
    await trio.sleep(IDLE_SECONDS)
    stage.scheduler.steps_of = None
    for machine in stage.machines.running:
        assert machine.node is not None, "it runs"
        memory = machine.node.parts.memory.shares.held
        stage.history.usage.append(
            Usage(
                machine.host,
                tasks=stage.scheduler.tasks_of(machine.host),
                connections=stage.machines.links.count(machine.host),
                memory_bytes=memory,
                steps_a_minute=int(steps.get(machine.host, 0) * 60 / IDLE_SECONDS),
            )
        )


# What must hold


async def _equal(stage: Stage, words: Words) -> Iterable[str]:
    shards = [shard for shard in await _shards(stage) if not words or shard.group == words[0]]
    different = [str(shard) for shard in shards if not stage.equal(shard)]
    return ["ok"] if not different else ["fails", f"replicas differ in {', '.join(different)}"]


async def _holds(stage: Stage, words: Words) -> Iterable[str]:
    host, key = words
    for records in stage.machine(host).disk.contents().values():
        for entity, record in records.items():
            if entity.text == key:
                tags = [f"{name}={value}" for name, value in sorted(_tags(record.payload).items())]
                return ["deleted"] if record.deleted else ["live", *tags]
    return ["nothing"]


async def _state(stage: Stage, words: Words) -> Iterable[str]:
    machine = stage.machine(words[0])
    if machine.node is not None:
        return ["running"]
    reasons = [ended.reason for ended in stage.history.ended_nodes if ended.node == machine.host]
    return ["ended", *" ".join(reasons[-1:]).split()]


async def _until(stage: Stage, words: Words) -> Iterable[str]:
    """Wait until a machine's node runs, or has ended."""
    host, state, *rest = words
    if state not in ("running", "ended"):
        raise ScenarioError("write: until HOST running|ended [SECONDS]")
    limit = parse_seconds(rest[0]) if rest else CALM_SECONDS
    with trio.move_on_after(limit):
        while (stage.machine(host).node is not None) != (state == "running"):  # noqa: ASYNC110 - virtual time
            await trio.sleep(LOOK_SECONDS)
        return ["ok"]
    return ["fails", f"{host} is not {state} after {limit:g} s"]


async def _busy(stage: Stage, words: Words) -> Iterable[str]:
    """Watch how many steps the tasks of each machine take, and name those that take more than they may."""
    seconds, most = parse_seconds(words[0]), int(parse_seconds(words[1]))
    counted = stage.scheduler.count_steps()
    await trio.sleep(seconds)
    stage.scheduler.steps_of = None
    found = {host: steps for host, steps in sorted(counted.items()) if host in stage.machines.by_host}
    stage.tell(OUTSIDE, f"steps in {seconds:g} s: {', '.join(f'{host} {n}' for host, n in found.items())}")
    busy = [host for host, steps in found.items() if steps > most]
    return ["fails", *busy] if busy else ["ok"]


VERBS = by_name(
    Verb("wait", "SECONDS", "Let time pass.", _wait, 1, 1),
    Verb("heal", "", "End every fault, and start what is down.", _heal, 0, 0),
    Verb("finish", "", "Run rounds until all is equal, and look at what every node holds.", _finish, 0, 0),
    Verb("equal", "[GROUP]", "Whether all replicas that run hold the same.", _equal, 0, 1),
    Verb("holds", "HOST KEY", "What the disk of a machine holds of a record.", _holds, 2, 2),
    Verb("state", "HOST", "Whether a node runs, or why it has ended.", _state, 1, 1),
    Verb("busy", "SECONDS STEPS", "Whether a node takes more steps than that, in that time.", _busy, 2, 2),
    Verb("until", "HOST running|ended [SECONDS]", "Wait for a node.", _until, 2, 3),
)
