"""Episodes in which rounds take part, played after all is healed: only then a round has no excuse.

Each has a record of its own, so that a round has work where the episode wants it.
"""

from __future__ import annotations

from gossipnode.core.cluster.placement import replicas_of
from gossipnode.core.model.property import ShardId
from gossipnode.sim.scenario.faults.episode import Episode, Steps
from gossipnode.sim.scenario.scenario import Step

SLOW_COMMIT_SECONDS = ("32", "36")
"""How long a commit takes of a replica that a round repairs: longer than a holder may be silent."""

SLOW_ROUND_SECONDS = 90.0
"""How long such a round takes at most, and one that waits for it."""

SLOW_NEWS_SECONDS = ("1", "2")
"""How long a holder's bytes are under way to the origin of a round."""

NEWS_SECONDS = 30.0
"""How long such a round takes at most."""


def slow_hop(e: Episode) -> Steps:
    """A replica takes long to store what a round repairs; other rounds of its shard are started meanwhile."""
    first, second, shard, steps = _at_one_replica(e)
    if not second:
        return []
    steps.append(e.at(0.2, "round", e.other, e.cluster.group, shard))
    if e.rng.random() < 0.6:
        # Their messages wait at the first holder, where the last one takes the place of the one before.
        starters = e.rng.sample([name for name in e.cluster.names if name != first], 2)
        steps += [
            e.at(1.0 + place, "round", starter, e.cluster.group, shard)
            for place, starter in enumerate(starters)
        ]
        if e.rng.random() < 0.7:
            # The first holder takes the message of the last one, and its answer is lost.
            link = f"{starters[1]}-{first}"
            steps.append(e.at(1.5, "latency", link, "0.1", "0.1"))
            steps.append(e.at(2.0 + e.rng.uniform(0.1, 0.2), "reset", link))
    return [*steps, e.at(SLOW_ROUND_SECONDS, "commits", second, "0", "0")]


def _at_one_replica(e: Episode) -> tuple[str, str, str, Steps]:
    """A record at the first holder of a round alone, the next one, which is slow to store it, and the shard.

    Where a record has a single replica, the next one is "".
    """
    key = f"{e.cluster.group}/alone/{e.number}"
    first, second, *_ = [*e.cluster.replicas_of(key), ""]
    steps = [
        e.at(0.0, "raw-put", first, key, e.tag(0)),
        e.at(0.1, "commits", second, *SLOW_COMMIT_SECONDS),
    ]
    return first, second, f"{e.cluster.shard_of(key)}", steps


def slow_news(e: Episode) -> Steps:
    """What one of the holders reports is longer under way than what those after it report."""
    key = e.rng.choice(e.cluster.keys)
    ring = e.cluster.replicas_of(key)
    last = ring[(2 * len(ring) - 4) % len(ring)]
    slow = [name for name in ring if name not in (last, e.host)]
    if len(ring) < 3 or not slow:
        return []
    link = f"{e.rng.choice(slow)}>{e.host}"
    return [
        e.at(0.0, "latency", link, *SLOW_NEWS_SECONDS),
        e.at(1.0, "round", e.host, e.cluster.group, f"{e.cluster.shard_of(key)}"),
        e.at(NEWS_SECONDS, "latency", link, "0", "0.001"),
        e.at(NEWS_SECONDS, "mend", link),
    ]


def young_group(e: Episode) -> Steps:
    """A round of a group begins as a member comes back that has not heard of the group.

    With two replicas there is one hop, and no message that the second one could refuse.
    """
    group = f"y{e.number}"
    host, away = replicas_of(ShardId(group, 0), e.cluster.names, 2)
    comes_back = e.rng.uniform(3.0, 6.0)
    return [
        e.at(0.0, "cut", f"{away}-*"),
        e.at(0.5, "create", f"{group}:1:2", "at", host),
        e.at(comes_back, "mend", f"{away}-*"),
        e.at(comes_back + e.rng.uniform(0.0, 0.3), "round", host, group, "0"),
        e.at(comes_back + NEWS_SECONDS, "mend", f"{away}-*"),
    ]


def purge(e: Episode) -> Steps:
    """Deleted records are kept for a second, and rounds try to purge them while clients and faults go on."""
    key = e.rng.choice(e.cluster.keys)
    steps = [e.step(0, "retention", e.cluster.group, "1", "at", e.host)]
    for part in (0.2, 0.5, 0.8):
        origin = e.rng.choice(e.cluster.names)
        steps.append(e.step(part - 0.1, "delete", e.rng.choice(e.cluster.names), key))
        steps.append(e.step(part, "round", origin, e.cluster.group, f"{e.cluster.shard_of(key)}"))
    return steps


def hanging_disk(e: Episode) -> Steps:
    """The disk of a replica hangs during a round, while its node answers all that needs no disk."""
    key = e.rng.choice(e.cluster.keys)
    first, second, *_ = [*e.cluster.replicas_of(key), ""]
    if not second:
        return []
    steps = (
        ("raw-put", first, f"{e.cluster.group}/alone/{e.number}", e.tag(0)),
        ("hang", second),
        ("round", first, e.cluster.group, f"{e.cluster.shard_of(key)}"),
        ("unhang", second),
    )
    # Each after the one before it has ended: nobody knows how long the round takes.
    return [Step(None, verb, tuple(arguments)) for verb, *arguments in steps]
