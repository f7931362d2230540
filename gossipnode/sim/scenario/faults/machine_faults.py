"""Faults of one machine: its process, its processor and its clock."""

from __future__ import annotations

from gossipnode.sim.scenario.faults.episode import Episode, Steps


def crash(e: Episode) -> Steps:
    """A node is killed, and starts again later."""
    return [e.step(0, "crash", e.host), e.step(1, "restart", e.host)]


def quick_crash(e: Episode) -> Steps:
    """A node is killed and starts again at once, several times."""
    return [step for part in (0.0, 0.3, 0.6) for step in _at_once(e, part)]


def _at_once(e: Episode, part: float) -> Steps:
    return [e.step(part, "crash", e.host), e.step(part + 0.02, "restart", e.host)]


def dying_origin(e: Episode) -> Steps:
    """A node that opens a round is killed as it begins."""
    away = e.rng.choice(("1", "20"))
    return [e.at(0.0, "crash-origin", e.cluster.group, away, f"{e.ends - e.begins:.3f}")]


def power(e: Episode) -> Steps:
    """A machine loses power: nobody is told that its connections have ended."""
    return [e.step(0, "power", e.host), e.step(1, "restart", e.host)]


def stop(e: Episode) -> Steps:
    """A node is asked to end, and starts again later."""
    return [e.step(0, "stop", e.host), e.step(1, "restart", e.host)]


def pause(e: Episode) -> Steps:
    """A node stands still, and goes on later."""
    return [e.step(0, "pause", e.host), e.step(1, "resume", e.host)]


def slow(e: Episode) -> Steps:
    """Some steps of a node take long."""
    seconds = e.rng.choice(("0.05", "0.2", "1"))
    return [e.step(0, "slow", e.host, seconds), e.step(1, "slow", e.host, "0")]


def clock(e: Episode) -> Steps:
    """A clock jumps, forward or back, and back again."""
    jump = e.rng.choice((0.5, 2.0, 30.0, 3600.0)) * e.rng.choice((-1, 1))
    return [e.step(0, "clock", e.host, f"{jump:+g}"), e.step(1, "clock", e.host, f"{-jump:+g}")]


def drift(e: Episode) -> Steps:
    """A clock is too fast or too slow."""
    drift = e.rng.choice((200, 5000)) * e.rng.choice((-1, 1))
    return [e.step(0, "drift", e.host, f"{drift:+d}"), e.step(1, "drift", e.host, "0")]
