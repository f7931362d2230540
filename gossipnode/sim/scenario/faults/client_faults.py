"""Episodes in which clients take part: a request meets a fault on its way, and others follow.

By chance alone a fault seldom meets a request between two of its steps. Here it is aimed at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gossipnode.sim.scenario.clients import CLIENT
from gossipnode.sim.scenario.faults.episode import WRITES_MAX, Episode, Steps

INTERRUPTED_SECONDS = 9.0
"""How long an interrupted request and what follows upon it take."""

MOVING_SECONDS = 10.0
"""How long it takes until a record that moves is read for the last time."""

TWIN_SECONDS = 20.0
"""How long two nodes of a name take to meet clients."""

HOP_SECONDS = "0.1"
"""How long bytes to and from a writer are under way: time enough to interrupt it between two of its steps."""

INTERRUPTED_AFTER_SECONDS = (0.02, 0.6)
"""When a request is interrupted: it reads, writes, and is answered in that time."""

CROWD_HOP_SECONDS = ("0.02", "0.03", "0.05")
"""How long bytes are under way while many write: the same time for all, so that they meet again and again."""

CROWD_WRITES = 4
"""How many writes of a record each node has to do at once."""

CROWD_SECONDS = 15.0
"""How long such writes take at most."""

AHEAD_SECONDS = 8
"""How far a clock is ahead that is wrong while its node writes."""


def interrupted(e: Episode) -> Steps:
    """A node loses the others in the middle of a write."""
    key, host, other, third = _trio(e)
    e = replace(e, host=host)
    first = _change(e, 0, key)
    # Its client may ask others when it hears nothing, or none.
    via = e.rng.choice(("via=none", f"via={other},{third}"))
    steps = [
        e.at(0.0, "latency", f"{host}-*", HOP_SECONDS, HOP_SECONDS),
        e.at(0.5, first[0], host, *first[1:], via),
        *_lost(e, 0.5 + e.rng.uniform(*INTERRUPTED_AFTER_SECONDS)),
        e.at(3.6, "latency", f"{host}-*", "0.001", e.rng.choice((HOP_SECONDS, "0.001"))),
    ]
    if e.rng.random() < 0.3:
        # The other two are needed now, whatever becomes of them.
        steps += [e.at(0.0, "cut", f"{third}-*"), e.at(5.4, "mend", f"{third}-*")]
    return steps + _written_again(e, key, first[0], other) + _reads(e, 5.5, key, (host, other, third))


def _written_again(e: Episode, key: str, verb: str, other: str) -> Steps:
    """Another write of a record at another replica, the same one again, or both."""
    again = e.rng.choice(("same", "same", "other", "other", "both"))
    steps: Steps = []
    if again in ("other", "both"):
        change = _change(e, 1, key)
        steps.append(e.at(e.rng.choice((3.0, 4.0)), change[0], other, *change[1:], "via=none"))
    if again in ("same", "both"):
        change = _change(e, 2, key, verb)
        steps.append(e.at(4.5, verb, e.rng.choice((e.host, e.host, other)), *change[1:], "via=none"))
    return steps


def fast_writer(e: Episode) -> Steps:
    """A node whose clock is ahead loses the others in the middle of a write."""
    made = interrupted(e)
    host = made[0].arguments[0].partition("-")[0]
    ahead = [e.at(0.0, "clock", host, f"+{AHEAD_SECONDS}"), e.at(3.5, "clock", host, f"-{AHEAD_SECONDS}")]
    return made + ahead


def _trio(e: Episode) -> tuple[str, str, str, str]:
    """A record that clients want, and three machines, replicas of it first; each again if there are fewer."""
    key = e.rng.choice(e.cluster.keys)
    holders = list(e.cluster.replicas_of(key))
    e.rng.shuffle(holders)
    rest = [name for name in e.cluster.names if name not in holders]
    hosts = [*holders, *rest]
    return key, hosts[0], hosts[1 % len(hosts)], hosts[2 % len(hosts)]


def tried_again(e: Episode) -> Steps:
    """A write that one replica alone took is tried again at another one, and then the first one is away."""
    key, host, other, third = _trio(e)
    e = replace(e, host=host)
    return [
        e.at(0.0, "latency", f"{host}-*", HOP_SECONDS, HOP_SECONDS),
        e.at(0.5, "apply", host, key, e.tag(0), f"via={other}"),
        # By now it has read, and what it writes does not arrive.
        e.at(0.5 + e.rng.uniform(0.12, 0.4), "drop", f"{host}>*", f"{host}>{CLIENT}"),
        e.at(1.9, "cut", f"{third}-*"),
        # The first node gives it up. Its client does not hear of that, and asks the second one.
        e.at(2.0, "reset", f"{host}-*"),
        e.at(2.0, "mend", f"{host}>*"),
        e.at(2.5, "reset", f"{host}-{CLIENT}"),
        e.at(2.5, "mend", f"{host}>{CLIENT}"),
        e.at(5.4, "mend", f"{third}-*"),
        e.at(5.4, "latency", f"{host}-*", "0", "0.001"),
        e.at(5.5, "cut", f"{host}-*"),
        e.at(6.0, "get", other, key, "via=none"),
        e.at(6.3, "get", third, key, "via=none"),
        e.at(7.5, "mend", f"{host}-*"),
    ]


def crowd(e: Episode) -> Steps:
    """Clients of all nodes write one record at once, several times, over links that are all equally slow."""
    key, write = e.rng.choice(e.cluster.keys), 0
    links = [f"{name}-*" for name in e.cluster.names]
    steps: Steps = []
    for burst, seconds in enumerate(CROWD_HOP_SECONDS):
        begins = burst * CROWD_SECONDS
        steps.append(e.at(begins, "latency", *links, seconds, seconds))
        for name in (*e.cluster.names,) * CROWD_WRITES:
            tag = replace(e, number=e.number + write // WRITES_MAX).tag(write % WRITES_MAX)
            steps.append(e.at(begins + 1.0, "apply", name, key, tag, "via=none"))
            write += 1
    return [*steps, e.at(len(CROWD_HOP_SECONDS) * CROWD_SECONDS, "latency", *links, "0", "0.001")]


def _change(e: Episode, write: int, key: str, verb: str = "") -> list[str]:
    """A write of a record, without the node that is asked for it."""
    verb = verb or e.rng.choice(("apply", "apply", "apply", "replace", "delete", "delete"))
    return [verb, key] if verb == "delete" else [verb, key, e.tag(write)]


def _lost(e: Episode, seconds: float) -> Steps:
    """The machine loses others, in one way or both, or dies; it is back after 3.5 seconds."""
    match e.rng.choice(("says", "says", "says", "some", "some", "both", "hears", "crash")):
        case "says":
            links = [f"{e.host}>*"]
        case "some":
            links = [f"{e.host}-{other}" for other in e.others if e.rng.random() < 0.7]
        case "hears":
            links = [f"*>{e.host}"]
        case "both":
            links = [f"{e.host}-*"]
        case _:
            return [e.at(seconds, "crash", e.host), e.at(3.5, "restart", e.host)]
    if not links:
        return []
    # The connections break: what was under way does not arrive after all.
    return [e.at(seconds, "drop", *links), e.at(3.4, "reset", f"{e.host}-*"), e.at(3.5, "mend", *links)]


def _reads(e: Episode, seconds: float, key: str, hosts: Sequence[str]) -> Steps:
    """Reads at each of the machines, once without one of them and once with all."""
    away = e.rng.choice(hosts)
    steps = [e.at(seconds, "cut", f"{away}-*"), e.at(seconds + 2.0, "mend", f"{away}-*")]
    for place, host in enumerate(hosts):
        if host != away:
            steps.append(e.at(seconds + 0.3 + 0.3 * place, "get", host, key, "via=none"))
        steps.append(e.at(seconds + 2.5 + 0.1 * place, "get", host, key, "via=none"))
    return steps


def moving(e: Episode) -> Steps:
    """A node joins and takes over a record that clients write and read meanwhile."""
    key, host, other, third = _trio(e)
    new = heir_of(e, key)
    cut, mend = e.rng.choice((("cut", "mend"), ("cut", "mend"), ("pause", "resume")))
    away = e.rng.choice((host, other, third))
    meets = 1.5 + e.rng.uniform(0.0, 2.5)
    # The last write is at two of the replicas before the record moves.
    steps = [
        e.at(0.0, "cut", f"{third}-*"),
        e.at(0.3, "apply", host, key, e.tag(0), "via=none"),
        e.at(1.2, "mend", f"{third}-*"),
        e.at(1.5, "join", new, "through", e.other),
    ]
    if e.rng.random() < 0.7:
        steps.append(e.at(1.4, "latency", f"{new}-*", "0.05", e.rng.choice(("0.1", "0.5"))))
    if e.rng.random() < 0.7:
        link = away if cut == "pause" else f"{away}-*"
        steps += [e.at(meets, cut, link), e.at(meets + 2.0, mend, link)]
    for write, part in enumerate((0.1, 0.6, 1.5), 1):
        where = e.rng.choice((new, new, host, other, third))
        change = _change(e, write, key)
        steps.append(e.at(meets + part, change[0], where, *change[1:], "via=none"))
        steps.append(e.at(meets + part + 0.3, "get", e.rng.choice((new, host, other)), key, "via=none"))
    return steps + _reads(e, meets + 2.5, key, (new, other, third))


def heir_of(e: Episode, key: str) -> str:
    """The name of a node that is to hold a record once it is a member."""
    names = [f"n{e.number}{letter}" for letter in "abcdefghijklmnopqrstuvw"]
    return next((name for name in names if name in e.cluster.replicas_of(key, name)), names[0])


def two_of_a_name(e: Episode) -> Steps:
    """A second node of a name takes the place of one that is cut off; then quorums with either."""
    key, host, other, third = _trio(e)
    twin = f"{host}{e.number}"
    # A second one is refused as long as a member believes that the first one runs.
    starts = e.rng.choice((0.3, 5.0, 9.0))
    writes = starts + 4.0
    return [
        e.at(0.0, "cut", f"{host}-*"),
        e.at(starts, "twin", host, twin),
        # The write is at the second node and at one other.
        e.at(writes - 0.3, "cut", f"{third}-*"),
        e.at(writes, "apply", e.rng.choice((twin, twin, other)), key, e.tag(0), "via=none"),
        # Now the first node and the third one are a quorum, too.
        e.at(writes + 1.2, "cut", f"{other}-*", f"{twin}-*"),
        e.at(writes + 1.3, "mend", f"{host}-{third}"),
        e.at(writes + 2.2, "get", host, key, "via=none"),
        e.at(writes + 2.4, "get", third, key, "via=none"),
        e.at(writes + 2.7, "apply", e.rng.choice((host, third)), key, e.tag(1), "via=none"),
        e.at(writes + 3.2, "mend", "all"),
        e.at(writes + 3.3, "get", other, key, "via=none"),
        e.at(writes + 3.5, "get", twin, key, "via=none"),
        e.at(TWIN_SECONDS, "crash", twin),
    ]
