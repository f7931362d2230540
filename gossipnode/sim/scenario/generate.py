"""Scenarios made from a seed: what clients do, and what befalls the cluster meanwhile."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from gossipnode.sim.scenario.fault_kinds import FAULT_KINDS, Episode
from gossipnode.sim.scenario.scenario import Scenario, Step

NODES = 5
MINUTES = 5.0
OPERATIONS = 300
"""The size of a run unless something else is asked for."""

NAMES = "abcdefghijklmnop"
GROUP = "sw"
EPISODE_SECONDS = (2.0, 45.0)
"""How long a fault lasts, least and most."""

PAUSE_SECONDS = (1.0, 20.0)
"""The time between two faults of the same lane of faults."""

EACH_MINUTE = "* * * * *"
SCHEDULED_PART = 0.25
"""In so many of all runs, nodes also start rounds by themselves, as often as a schedule can say."""

LEVELS = ("quorum",) * 8 + ("all", "one", "local")


def generate(
    seed: int,
    *,
    nodes: int = NODES,
    minutes: float = MINUTES,
    operations: int = OPERATIONS,
    faults: Collection[str] = tuple(FAULT_KINDS),
) -> Scenario:
    """The scenario of a seed. `faults` are names of `FAULT_KINDS`; the same arguments give the same scenario."""
    rng = random.Random(f"scenario {seed}")
    names = tuple(NAMES[:nodes])
    seconds = minutes * 60.0
    replicas = min(nodes, rng.choice((3, 3, 3, 5)))
    groups = (f"{GROUP}:{rng.choice((1, 2, 8))}:{replicas}",)
    steps = _client_steps(rng, names, seconds, operations)
    steps += _round_steps(rng, names, seconds, groups[0])
    # One lane of faults is what a cluster must withstand; two at a time are what it must come back from.
    for lane in range(rng.choice((1, 1, 2)) if faults else 0):
        steps += _fault_steps(rng, names, seconds, sorted(faults), lane)
    steps.sort(key=lambda step: step.at or 0.0)
    end = (Step(None, "heal"), Step(None, "finish"))
    settings = {"repair.schedule": EACH_MINUTE} if rng.random() < SCHEDULED_PART else {}
    return Scenario(f"seed {seed}", names, groups, seed, settings, steps=(*steps, *end))


def _client_steps(rng: random.Random, names: Sequence[str], seconds: float, count: int) -> list[Step]:
    keys = [f"{GROUP}/n/{number}" for number in range(rng.choice((3, 6, 12)))]
    return [
        _client_step(rng, names, keys, time, number)
        for number, time in enumerate(_times(rng, seconds, count))
    ]


def _times(rng: random.Random, seconds: float, count: int) -> list[float]:
    """When operations begin: some alone, some in bursts, in which they meet each other."""
    times: list[float] = []
    while len(times) < count:
        begins = rng.uniform(0.0, seconds)
        times += [begins + rng.uniform(0.0, 0.5) for _ in range(rng.choice((1, 1, 2, 3, 6)))]
    return sorted(round(time, 3) for time in times[:count])


def _client_step(
    rng: random.Random, names: Sequence[str], keys: Sequence[str], time: float, number: int
) -> Step:
    node, key = rng.choice(names), rng.choice(keys)
    options = [f"ack={rng.choice(LEVELS)}"]
    if rng.random() < 0.4:
        options.append("via=none")
    tag = f"{rng.choice('xyz')}={number + 1}"
    kind = rng.choices(("apply", "replace", "delete", "get", "query", "import"), (40, 8, 12, 30, 6, 4))[0]
    match kind:
        case "apply" | "replace":
            arguments = (node, key, tag, *options)
        case "query":
            arguments = (node, GROUP, "ack=quorum", *options[1:])
        case "import":
            first, many = rng.randrange(20), rng.randrange(1, 12)
            arguments = (node, f"{GROUP}/m", f"{first}", f"{many}", tag, "ack=quorum")
        case _:
            arguments = (node, key, *options)
    return Step(time, kind, arguments)


def _round_steps(rng: random.Random, names: Sequence[str], seconds: float, group: str) -> list[Step]:
    name, shards, _ = group.split(":")
    count = int(seconds / 20.0)
    return [
        Step(
            round(rng.uniform(0.0, seconds), 3),
            "round",
            (rng.choice(names), name, str(rng.randrange(int(shards)))),
        )
        for _ in range(count)
    ]


def _fault_steps(
    rng: random.Random, names: Sequence[str], seconds: float, kinds: Sequence[str], lane: int
) -> list[Step]:
    weights = [FAULT_KINDS[kind].weight for kind in kinds]
    steps: list[Step] = []
    time, number = rng.uniform(*PAUSE_SECONDS), lane * 100
    while time < seconds:
        ends = time + rng.uniform(*EPISODE_SECONDS)
        host = rng.choice(names)
        others = [name for name in names if name != host] or [host]
        episode = Episode(rng, time, min(ends, seconds), host, others, number)
        steps += FAULT_KINDS[rng.choices(kinds, weights)[0]].make(episode)
        time, number = ends + rng.uniform(*PAUSE_SECONDS), number + 1
    return steps
