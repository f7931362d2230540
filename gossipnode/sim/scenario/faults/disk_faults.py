"""Faults of a disk."""

from __future__ import annotations

from gossipnode.sim.scenario.faults.episode import Episode, Steps


def full(e: Episode) -> Steps:
    """A disk is full for a while."""
    return [e.step(0, "full", e.host), e.step(1, "room", e.host)]


def slow_disk(e: Episode) -> Steps:
    """Commits take long."""
    most = e.rng.choice(("0.05", "0.5", "4"))
    return [e.step(0, "commits", e.host, "0.001", most), e.step(1, "commits", e.host, "0", "0")]


def fail(e: Episode) -> Steps:
    """Some commits fail."""
    return [e.step(0, "fail", e.host, e.rng.choice(("1", "3"))), e.step(1, "restart", e.host)]


def tear(e: Episode) -> Steps:
    """A node dies in the middle of a commit."""
    return [e.step(0, "tear", e.host), e.step(1, "restart", e.host)]


def flip(e: Episode) -> Steps:
    """A bit of a stored record flips."""
    return [e.step(0, "flip", e.host)]


def older_disk(e: Episode) -> Steps:
    """An older copy of a disk is put back."""
    steps = [e.step(0, "copy", e.host), e.step(0.8, "putback", e.host, "if-settled")]
    if e.rng.random() < 0.7:
        # What was acknowledged meanwhile is at a bare quorum, of which one member forgets it.
        other = e.other
        steps += [e.step(0.05, "cut", f"{other}-*"), e.step(0.85, "mend", f"{other}-*")]
        steps += [e.step(0.9, "cut", f"{e.other}-*"), e.step(1, "mend", "all")]
    return steps


def empty_disk(e: Episode) -> Steps:
    """A disk comes back empty."""
    return [e.step(0.3, "wipe", e.host, "if-settled"), e.step(0.5, "reinstate", e.host, "through", e.other)]
