"""Scenarios made from a seed: what clients do, and what befalls the cluster meanwhile."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gossipnode.sim.scenario.faults.episode import ClusterShape, Episode
from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS
from gossipnode.sim.scenario.scenario import Scenario, Step

NODES = 5
MINUTES = 5.0
OPERATIONS = 300
"""The size of a run unless something else is asked for."""

NAMES = "abcdefghijklmnop"
GROUP = "sw"
WEAK = "weak"
"""The name of the records that are written and read at `one` and `local`, too, which promise nothing."""


LOSES_THE_ONLY_COPY = frozenset({"empty-disk", "flip", "older-disk", "rejoin"})
"""Faults after which nothing can be promised of a group of one replica."""
EACH_MINUTE = "* * * * *"
"""The schedule of rounds that comes most often."""

ONCE_PART = 0.05
"""The part of all runs in which nodes start rounds by a schedule that comes once in a run."""


AFTER_ONCE_SECONDS = 960.0
"""How long such a run goes on after all is healed: a round that was lost is to be made good meanwhile."""

ONE_AWAY_PART = 0.3
"""The part of all runs that have rounds at the end in which one machine is down."""

BURST_SECONDS = (0.0, 0.01, 0.1, 0.5)
"""How long the operations of a burst take to begin; 0 is all at once."""

LAST_WORDS = 10
"""Writes and reads that come all at once at the end: what is written last must be the same everywhere."""

AGAIN_PART = 0.25
"""How many of the operations that follow each other closely are for the same record, at the same node."""

AGAIN_SECONDS = 0.1
"""How close that is."""

USUAL_LATENCY_SECONDS = ("0.05", "0.25")
"""The longest that bytes are under way in a run with a usual network; in others they arrive at once."""

USUAL_COMMIT_SECONDS = ("0.02", "0.15")
"""The longest that a commit takes in a run with usual disks; in others it takes no time."""

SCHEDULED_PART = 0.1
"""The part of all runs in which nodes start rounds by a schedule, too: one a minute."""

HEALED_SECONDS = 120.0
"""How long after the faults an episode begins that comes after all is healed."""

JOINS = ("join", "moving", "left-behind", "late-commit", "broken-news")
"""Faults in which nodes join."""

LANE_EPISODES = 1000
"""How many numbers each lane has for its episodes."""

CALM_LANE = 9
"""The lane of the episode that comes after all is healed."""

JOINED_MAX = 4
"""How many nodes may have joined before no other one does: a run is about five nodes, not about twenty."""

MISSED_RECORDS = 24
"""How many records are at one replica alone before the last rounds, so that these have work."""


@dataclass(frozen=True, slots=True)
class Temper:
    """What the schedules of some seeds have more of."""

    keys: Sequence[int]
    """How many records clients want to write at the same time."""
    lanes: Sequence[int]
    """How many faults may go on at a time. A cluster withstands one, and comes back from two."""
    episode_seconds: tuple[float, float]
    """How long a fault lasts, least and most."""
    pause_seconds: tuple[float, float]
    """The time between two faults of a lane."""
    near: float
    """How many of the bursts of operations begin as a fault begins or ends."""


CALM = Temper((3, 6, 12), (1, 1, 2), (2.0, 45.0), (1.0, 20.0), 0.3)
STORM = Temper((1, 2, 3), (1, 1, 2), (0.5, 8.0), (0.2, 6.0), 0.7)


def generate(
    seed: int,
    *,
    nodes: int = NODES,
    minutes: float = MINUTES,
    operations: int = OPERATIONS,
    faults: Collection[str] = tuple(FAULT_KINDS),
) -> Scenario:
    """The scenario of a seed: the same arguments give the same one. `faults` are names of `FAULT_KINDS`."""
    rng = random.Random(f"scenario {seed}")
    names = tuple(NAMES[:nodes])
    seconds = minutes * 60.0
    temper = rng.choice((CALM, STORM))
    replicas = min(nodes, rng.choice((1, 2, 3, 3, 3, 3, 5, 5)))
    shards = rng.choice((1, 2, 8))
    groups = (f"{GROUP}:{shards}:{replicas}",)
    keys = [f"{GROUP}/n/{number}" for number in range(rng.choice(temper.keys))]
    cluster = ClusterShape(names, GROUP, shards, replicas, keys)
    steps: list[Step] = []
    every = sorted(set(faults) - LOSES_THE_ONLY_COPY if replicas == 1 else faults)
    kinds = [kind for kind in every if not FAULT_KINDS[kind].calm]
    for lane in range(rng.choice(temper.lanes) if kinds else 0):
        steps += _fault_steps(rng, cluster, seconds, kinds, lane, temper)
    moments = sorted({step.at for step in steps if step.at is not None})
    usual = _usual_steps(rng, names)
    steps += usual
    steps += _client_steps(rng, cluster, _times(rng, seconds, operations, moments, temper.near))
    schedule, waits = _schedule(rng, seconds)
    if not waits:
        steps += _round_steps(rng, names, seconds, groups[0])
    elif "dying-origin" in kinds:
        steps.append(Step(0.0, "crash-origin", (GROUP, "20", f"{seconds:g}")))
    steps += [Step(0.0, "watch", (names[seed % nodes], GROUP))]
    steps.sort(key=lambda step: step.at or 0.0)
    settings = {"repair.schedule": schedule} if schedule else {}
    ending = _end_steps(rng, names, usual, waits=waits)
    steps += _calm_steps(rng, cluster, seconds, [kind for kind in every if FAULT_KINDS[kind].calm], usual)
    steps += ending
    return Scenario(f"seed {seed}", names, groups, seed, settings, steps=tuple(steps))


def _schedule(rng: random.Random, seconds: float) -> tuple[str, bool]:
    """The schedule of rounds, if there is one, and whether it comes but once."""
    chance = rng.random()
    if chance < ONCE_PART:
        return f"{rng.randrange(max(1, int(seconds / 60.0)))} * * * *", True
    return (EACH_MINUTE, False) if chance < ONCE_PART + SCHEDULED_PART else ("", False)


def _end_steps(rng: random.Random, names: Sequence[str], usual: Sequence[Step], *, waits: bool) -> list[Step]:
    """All is healed; rounds have work, in some runs first without one of the machines."""
    heal = _heal_steps(usual)
    steps = list(heal)
    if waits:
        steps.append(Step(None, "wait", (f"{AFTER_ONCE_SECONDS:g}",)))
    if rng.random() < ONE_AWAY_PART and len(names) > 1:
        steps += [
            Step(None, "wait", ("60",)),
            Step(None, "crash", (rng.choice(names),)),
            Step(None, "wait", ("40",)),
            _miss(f"{GROUP}/late"),
            Step(None, "round-all", (GROUP,)),
            *heal,
        ]
    return [*steps, _miss(f"{GROUP}/missed"), _miss(f"{GROUP}/behind", "older=1"), Step(None, "finish")]


def _heal_steps(usual: Sequence[Step]) -> list[Step]:
    """All is healed. Bytes and commits go on to take the time that they usually take."""
    return [Step(None, "heal"), *(Step(None, step.verb, step.arguments) for step in usual)]


def _calm_steps(
    rng: random.Random, cluster: ClusterShape, seconds: float, kinds: Sequence[str], usual: Sequence[Step]
) -> list[Step]:
    """One of the episodes that come after all is healed."""
    if not kinds:
        return []
    kind = FAULT_KINDS[rng.choices(kinds, [FAULT_KINDS[each].weight for each in kinds])[0]]
    begins = seconds + HEALED_SECONDS
    number = CALM_LANE * LANE_EPISODES
    made = kind.make(Episode(rng, begins, begins, rng.choice(cluster.names), number, cluster))
    made.sort(key=lambda step: step.at or 0.0)
    return [*_heal_steps(usual), Step(None, "wait", ("60",)), *made]


def _miss(prefix: str, *options: str) -> Step:
    """Records each of which is at one replica alone, or in an older version at all others."""
    return Step(None, "raw-put-many", (prefix, "0", f"{MISSED_RECORDS}", "x=0", *options))


def _times(
    rng: random.Random, seconds: float, count: int, moments: Sequence[float], near: float
) -> list[float]:
    """When operations begin: some alone, some in bursts in which they meet, some as a fault does."""
    times = [seconds] * min(LAST_WORDS, count)
    while len(times) < count:
        begins = rng.uniform(0.0, seconds)
        if moments and rng.random() < near:
            begins = min(seconds, max(0.0, rng.choice(moments) + rng.uniform(-0.3, 1.5)))
        lasts = rng.choice(BURST_SECONDS)
        times += [min(seconds, begins + rng.uniform(0.0, lasts)) for _ in range(rng.choice((1, 1, 2, 3, 6)))]
    return sorted(round(time, 3) for time in times[:count])


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


def _client_steps(rng: random.Random, cluster: ClusterShape, times: Sequence[float]) -> list[Step]:
    steps: list[Step] = []
    before, node, key = -1.0, "", ""
    for number, time in enumerate(times, 1):
        if time - before > AGAIN_SECONDS or rng.random() > AGAIN_PART:
            last = number > len(times) - LAST_WORDS
            node, key = rng.choice(cluster.names), rng.choice(cluster.keys[:1] if last else cluster.keys)
        steps.append(_client_step(rng, node, key, time, number))
        before = time
    return steps


def _client_step(rng: random.Random, node: str, key: str, time: float, number: int) -> Step:
    ack = "quorum"
    chance = rng.random()
    if chance < 0.08:
        ack = "all"
    elif chance < 0.16:
        key, ack = f"{GROUP}/{WEAK}/{rng.randrange(3)}", rng.choice(("one", "local", "quorum"))
    options = [f"ack={ack}"]
    if rng.random() < 0.5:
        options.append("via=none")
    tag = f"{rng.choice('xyz')}={number}"
    kind = rng.choices(("apply", "replace", "delete", "get", "query", "import"), (38, 8, 14, 30, 6, 4))[0]
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
    rng: random.Random,
    cluster: ClusterShape,
    seconds: float,
    kinds: Sequence[str],
    lane: int,
    temper: Temper,
) -> list[Step]:
    steps: list[Step] = []
    time, number, joined = rng.uniform(*temper.pause_seconds), lane * LANE_EPISODES, 0
    while time < seconds:
        possible = [kind for kind in kinds if kind not in JOINS or joined < JOINED_MAX]
        if not possible:
            break
        weights = [FAULT_KINDS[each].weight for each in possible]
        kind = FAULT_KINDS[rng.choices(possible, weights)[0]]
        ends = time + max(kind.least_seconds, rng.uniform(*temper.episode_seconds))
        episode = Episode(
            rng,
            time,
            max(min(ends, seconds), time + kind.least_seconds),
            rng.choice(cluster.names),
            number,
            cluster,
        )
        made = kind.make(episode)
        joined += sum(step.verb == "join" for step in made)
        steps += made
        time, number = ends + rng.uniform(*temper.pause_seconds), number + 1
    return steps
