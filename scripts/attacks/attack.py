"""What an attack is: a name, what it does, the kind of cluster it needs, and a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from attacks.attacker import Target
from attacks.clusters import Cluster, Kind


@dataclass(frozen=True, slots=True)
class Scene:
    """What an attack has at hand."""

    cluster: Cluster
    target: Target


Run = Callable[[Scene], Awaitable[None]]
"""Attacks until it is done or cancelled. What it has opened stays open until the innocents are done."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack."""

    name: str
    what: str
    """In half a line."""
    run: Run
    kind: Kind = Kind.PLAIN
    records: int = 0
    """Records of 4 KB that it needs in the store."""


class Attacks(dict[str, Attack]):
    """Attacks by name, in the order in which they were added."""

    def add(
        self, what: str, *, kind: Kind = Kind.PLAIN, records: int = 0, name: str = ""
    ) -> Callable[[Run], Run]:
        """Add the decorated function, named after it."""

        def added(run: Run) -> Run:
            called = name or getattr(run, "__name__", "").replace("_", "-")
            self[called] = Attack(called, what, run, kind, records)
            return run

        return added
