"""Faults of the network."""

from __future__ import annotations

from gossipnode.sim.scenario.faults.episode import Episode, Steps


def cut(e: Episode) -> Steps:
    """A machine is cut off, from all others or from one."""
    link = e.rng.choice((f"{e.host}-*", f"{e.host}-{e.other}"))
    return [e.step(0, "cut", link), e.step(1, "mend", link)]


def one_way(e: Episode) -> Steps:
    """A machine is cut off in one direction."""
    link = e.rng.choice((f"{e.host}>*", f"*>{e.host}", f"{e.host}>{e.other}"))
    verb = e.rng.choice(("cut", "drop"))
    return [e.step(0, verb, link), e.step(1, "mend", link)]


def drop(e: Episode) -> Steps:
    """What is sent to a machine and by it vanishes for a while."""
    link = e.rng.choice((f"{e.host}-*", f"{e.host}-{e.other}"))
    return [e.step(0, "drop", link), e.step(1, "mend", link)]


def flap(e: Episode) -> Steps:
    """A machine is cut off again and again, for a short time."""
    period = e.rng.choice((0.2, 1.0, 3.0))
    count = max(1, int((e.ends - e.begins) / (2 * period)))
    return [e.step(0, "flap", f"{e.host}-*", f"{period:g}", f"{count}")]


def reset(e: Episode) -> Steps:
    """The connections of a machine break."""
    return [e.step(part, "reset", f"{e.host}-*") for part in (0.0, 0.4, 1.0)]


def latency(e: Episode) -> Steps:
    """Bytes are long under way."""
    most = e.rng.choice(("0.02", "0.2", "1.5"))
    return [
        e.step(0, "latency", f"{e.host}-*", "0.001", most),
        e.step(1, "latency", f"{e.host}-*", "0", "0.001"),
        e.step(1, "mend", f"{e.host}-*"),
    ]


def bandwidth(e: Episode) -> Steps:
    """A machine's links carry few bytes."""
    rate = e.rng.choice(("500", "5000", "50000"))
    return [e.step(0, "bandwidth", f"{e.host}-*", rate), e.step(1, "mend", f"{e.host}-*")]


def mute(e: Episode) -> Steps:
    """What a node says is lost, again and again."""
    link = f"{e.host}>*"
    parts = (0.0, 0.25, 0.5, 0.75)
    return [
        step for part in parts for step in (e.step(part, "drop", link), e.step(part + 0.15, "mend", link))
    ]


def ahead(e: Episode) -> Steps:
    """A node with a clock that is ahead reaches one other alone."""
    alone = e.other
    away = [f"{e.host}-{other}" for other in e.others if other != alone]
    ahead = e.rng.choice(("2", "30"))
    steps = [e.step(0, "clock", e.host, f"+{ahead}"), e.step(1, "clock", e.host, f"-{ahead}")]
    return steps + [e.step(part, verb, link) for link in away for part, verb in ((0.1, "cut"), (0.6, "mend"))]
