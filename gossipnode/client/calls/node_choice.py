"""Which node is asked next. Pure: time and chance are passed in.

The node that answered last is asked first, then the other nodes in the order given. A node that failed is put
aside for a while. It then comes last, but it is never left out, since every other node may be worse.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from gossipnode.rpc.client.retry import backoff_seconds

ASIDE_MIN_SECONDS = 0.1
ASIDE_MAX_SECONDS = 10.0
"""How long a node that failed comes last. Doubles with each failure in a row, within these limits."""


@dataclass(slots=True)
class _Health:
    failures: int = 0
    """In a row. Calls that run side by side and fail together count as one failure."""
    aside_until: float = float("-inf")
    """Seconds on the caller's clock."""


class NodeChoice:
    """The health of some nodes, which are numbered from 0."""

    def __init__(self, nodes: int, rng: random.Random) -> None:
        """All nodes are in good health at first."""
        self._health = [_Health() for _ in range(nodes)]
        self._last_good = 0
        self._rng = rng

    def order(self, now: float) -> list[int]:
        """The numbers of all nodes, in the order in which to ask them."""
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
