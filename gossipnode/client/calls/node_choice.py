"""Which node is asked next. Pure: time and chance are passed in.

The last node that answered is asked first, the others as they were given. A node that failed is put aside
for a while and until then comes last: it is never left out, since all others may be worse.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from gossipnode.rpc.client.retry import backoff_seconds

ASIDE_MIN_SECONDS = 0.1
ASIDE_MAX_SECONDS = 10.0
"""How long a node that failed is asked only if no other is left; doubles from one to the other."""


@dataclass(slots=True)
class _Health:
    failures: int = 0
    """In a row; those of calls that failed side by side count as one."""
    aside_until: float = float("-inf")
    """Seconds, on the clock that the caller uses."""


class NodeChoice:
    """The health of some nodes, which are known by their numbers from 0."""

    def __init__(self, nodes: int, rng: random.Random) -> None:
        """Begin with all nodes in good health."""
        self._health = [_Health() for _ in range(nodes)]
        self._last_good = 0
        self._rng = rng

    def order(self, now: float) -> list[int]:
        """All nodes, the one to ask first in front."""
        return sorted(range(len(self._health)), key=lambda node: self._place(node, now))

    def _place(self, node: int, now: float) -> tuple[float, bool, int]:
        aside_until = self._health[node].aside_until
        return (aside_until if aside_until > now else float("-inf"), node != self._last_good, node)

    def succeeded(self, node: int) -> None:
        """The node answered."""
        self._health[node] = _Health()
        self._last_good = node

    def failed(self, node: int, now: float) -> None:
        """The node did not answer, or said that it cannot."""
        health = self._health[node]
        if now < health.aside_until:
            return
        health.failures += 1
        health.aside_until = now + backoff_seconds(
            health.failures, ASIDE_MIN_SECONDS, ASIDE_MAX_SECONDS, self._rng
        )
