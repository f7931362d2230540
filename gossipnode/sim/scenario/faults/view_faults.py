"""Episodes in which some still see the members as they were, or hear of a change in the middle of a step."""

from __future__ import annotations

from gossipnode.sim.scenario.faults.client_faults import heir_of
from gossipnode.sim.scenario.faults.episode import Episode, Steps

BEHIND_SECONDS = 22.0
"""How long it takes until a record is read that a member wrote which was left behind."""

SETTLED_SECONDS = 15.0
"""How long it takes until a node that joined is filled, and the members are settled."""

LATE_COMMIT_SECONDS = "1.9"
"""How long commits take at replicas that hear of a change of members while they store a write."""

LATE_SECONDS = 16.0
"""How long it takes until such a write is read."""

NEWS_SECONDS = 5.0
"""How long news of a member is on its way where connections break again and again."""


def left_behind(e: Episode) -> Steps:
    """A replica misses that another one takes its place; it comes back, and writes as before."""
    key, new = _moving_key(e)
    before, after = e.cluster.replicas_of(key), e.cluster.replicas_of(key, new)
    (left,), stay = [name for name in before if name not in after] or [""], [n for n in before if n in after]
    if not left or len(stay) < 2:
        return []
    e.rng.shuffle(stay)
    reached, other = stay[0], stay[1]
    away = [f"{left}-{name}" for name in (*e.cluster.names, new) if name not in (left, reached)]
    comes_back = SETTLED_SECONDS
    return [
        e.at(0.0, "cut", f"{left}-{reached}", *away),
        e.at(0.5, "join", new, "through", other),
        e.at(comes_back, "mend", f"{left}-{reached}"),
        e.at(comes_back + e.rng.uniform(0.0, 0.3), "apply", left, key, e.tag(0), "via=none"),
        # Those that hold the record now are a quorum without the one that was reached.
        e.at(comes_back + 2.5, "cut", f"{reached}-*"),
        e.at(comes_back + 2.8, "get", other, key, "via=none"),
        e.at(comes_back + 3.0, "get", new, key, "via=none"),
        e.at(comes_back + 5.0, "mend", f"{reached}-*", *away),
    ]


def late_commit(e: Episode) -> Steps:
    """A node joins and copies from a replica that is about to store a write of the view before."""
    key, new = _moving_key(e)
    before, after = e.cluster.replicas_of(key), e.cluster.replicas_of(key, new)
    stay = [name for name in before if name in after]
    if len(before) != 3 or not stay or len(stay) == 3:
        return []
    source = e.rng.choice(stay)
    host, other = e.rng.sample([name for name in before if name != source], 2)
    slow = [e.at(0.0, "commits", name, LATE_COMMIT_SECONDS, LATE_COMMIT_SECONDS) for name in (host, other)]
    well = [e.at(5.0, "commits", name, "0", "0") for name in (host, other)]
    return [
        *slow,
        e.at(0.3, "join", new, "through", source),
        # The write is not at the replica that is not slow, and the new one does not copy from who was asked.
        e.at(1.0, "cut", f"{host}-{source}", f"{host}-{new}"),
        e.at(e.rng.uniform(1.5, 2.2), "apply", host, key, e.tag(0), "via=none"),
        *well,
        e.at(5.0, "mend", f"{host}-{source}", f"{host}-{new}"),
        e.at(11.0, "cut", f"{host}-*", f"{other}-*"),
        e.at(11.3, "get", source, key, "via=none"),
        e.at(11.6, "get", new, key, "via=none"),
        e.at(LATE_SECONDS, "mend", f"{host}-*", f"{other}-*"),
    ]


def broken_news(e: Episode) -> Steps:
    """A node joins, and the connections of a member break while it stores the news of that."""
    new = heir_of(e, e.rng.choice(e.cluster.keys))
    breaks = [e.at(e.rng.uniform(0.4, 4.0), "reset", f"{e.host}-*") for _ in range(8)]
    return [
        e.at(0.0, "commits", e.host, "0.3", "0.6"),
        e.at(0.3, "join", new, "through", e.other),
        *breaks,
        e.at(NEWS_SECONDS, "commits", e.host, "0", "0"),
    ]


def _moving_key(e: Episode) -> tuple[str, str]:
    """A record, and a node that is to hold it once it is a member."""
    key = e.rng.choice(e.cluster.keys)
    return key, heir_of(e, key)
