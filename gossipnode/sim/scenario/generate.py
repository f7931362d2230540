"""Scenarios made from a seed: what clients do, and what befalls the cluster meanwhile."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

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

SHORT_EPISODE_SECONDS = (0.02, 3.0)
"""How long a fault lasts that comes and goes in the middle of what clients do."""

PAUSE_SECONDS = (1.0, 20.0)
"""The time between two faults of the same lane of faults."""

AROUND_SECONDS = (-0.3, 1.5)
"""How long before and after a moment at which something breaks or comes back clients are busy."""

BURST_SECONDS = (0.0, 0.01, 0.1, 0.5)
"""How long the operations of a burst take to begin; 0 is all at once."""

USUAL_LATENCY_SECONDS = ("0.05", "0.25")
"""The longest that bytes are under way in a run with a usual network; in others they arrive at once."""

USUAL_COMMIT_SECONDS = ("0.02", "0.15")
"""The longest that a commit takes in a run with usual disks; in others it takes no time."""

TAGS = "xyz"
LEVELS = ("quorum",) * 8 + ("all", "one", "local")


def generate(
    seed: int,
    *,
    nodes: int = NODES,
    minutes: float = MINUTES,
    operations: int = OPERATIONS,
    faults: Collection[str] = tuple(FAULT_KINDS),
) -> Scenario:
    """The scenario of a seed, always the same one. `faults` are names of `FAULT_KINDS`."""
    rng = random.Random(f"scenario {seed}")
    names = tuple(NAMES[:nodes])
    seconds = minutes * 60.0
    replicas = min(nodes, rng.choice((3, 3, 3, 5)))
    groups = (f"{GROUP}:{rng.choice((1, 2, 8))}:{replicas}",)
    steps = _round_steps(rng, names, seconds, groups[0])
    steps += _usual_steps(rng, names)
    # One lane of faults is what a cluster must withstand; two at a time are what it must come back from.
    for lane in range(rng.choice((1, 1, 2)) if faults else 0):
        steps += _fault_steps(rng, names, seconds, sorted(faults), lane)
    # What clients do matters most at the moments when something breaks or comes back.
    moments = [step.at for step in steps if step.at]
    steps += _client_steps(rng, names, seconds, operations, moments)
    steps.sort(key=lambda step: step.at or 0.0)
    end = (Step(None, "heal"), Step(None, "finish"))
    return Scenario(f"seed {seed}", names, groups, seed, steps=(*steps, *end))


@dataclass(frozen=True, slots=True)
class _Burst:
    """Operations that begin within a short time."""

    begins: float
    lasts: float
    size: int
    keys: Sequence[str]
    tags: str


def _burst(rng: random.Random, seconds: float, keys: Sequence[str], moments: Sequence[float]) -> _Burst:
    among = [rng.choice(keys)] if rng.random() < 0.5 else keys
    if moments and rng.random() < 0.5:
        begins = max(0.0, rng.choice(moments) + rng.uniform(*AROUND_SECONDS))
        # A write that is tried again shows only where somebody else has written the same tag meanwhile.
        tags = rng.choice(TAGS) if rng.random() < 0.5 else TAGS
        return _Burst(begins, rng.choice((0.1, 0.5, 2.0)), rng.choice((3, 6, 12)), among, tags)
    begins = rng.uniform(0.0, seconds)
    return _Burst(begins, rng.choice(BURST_SECONDS), rng.choice((1, 1, 2, 3, 6)), among, TAGS)


def _client_steps(
    rng: random.Random, names: Sequence[str], seconds: float, count: int, moments: Sequence[float]
) -> list[Step]:
    keys = [f"{GROUP}/n/{number}" for number in range(rng.choice((3, 6, 12)))]
    steps: list[Step] = []
    while len(steps) < count:
        burst = _burst(rng, seconds, keys, moments)
        if not steps:
            # What is written to a record last must be the same everywhere, also if it is written all at once.
            burst = _Burst(seconds, 0.0, 6, keys[:2], TAGS)
        for _ in range(min(burst.size, count - len(steps))):
            time = round(min(burst.begins + rng.uniform(0.0, burst.lasts), seconds), 3)
            steps.append(_client_step(rng, names, burst, time, len(steps)))
    return steps


def _client_step(rng: random.Random, names: Sequence[str], burst: _Burst, time: float, number: int) -> Step:
    node, key = rng.choice(names), rng.choice(burst.keys)
    options = [f"ack={rng.choice(LEVELS)}"]
    if rng.random() < 0.4:
        options.append("via=none")
    tag = f"{rng.choice(burst.tags)}={number + 1}"
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


def _usual_steps(rng: random.Random, names: Sequence[str]) -> list[Step]:
    """Let bytes and commits take their time in some runs: much can only happen meanwhile."""
    steps: list[Step] = []
    if rng.random() < 0.5:
        most = rng.choice(USUAL_LATENCY_SECONDS)
        steps += [Step(0.0, "latency", (f"{name}-*", "0.001", most)) for name in names]
    if rng.random() < 0.5:
        most = rng.choice(USUAL_COMMIT_SECONDS)
        steps += [Step(0.0, "commits", (name, "0.001", most)) for name in names]
    return steps


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
        ends = time + rng.uniform(*rng.choice((EPISODE_SECONDS, EPISODE_SECONDS, SHORT_EPISODE_SECONDS)))
        host = rng.choice(names)
        others = [name for name in names if name != host] or [host]
        episode = Episode(rng, time, min(ends, seconds), host, others, number)
        steps += FAULT_KINDS[rng.choices(kinds, weights)[0]].make(episode)
        time, number = ends + rng.uniform(*PAUSE_SECONDS), number + 1
    return steps
