"""Leaf digests, computed once for all stores of a simulation: nothing else that a store does is as dear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from gossipnode.store.interface import LeafDigest

FORMULAS_MAX = 8
DIGESTS_MAX = 16384
"""How many digests are remembered for each formula."""

PAYLOAD_MAX_BYTES = 2048
"""The digests of longer payloads are not remembered, which would take too much memory."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A function for leaf digests. Those of two processes are equal if they compute the same."""

    function: Callable[..., bytes]
    positional: tuple[object, ...] = ()
    named: tuple[tuple[str, object], ...] = ()

    def __call__(self, payload: bytes, delete_time: int) -> bytes:
        """The digest, computed."""
        return self.function(*self.positional, payload, delete_time, **dict(self.named))


def formula_of(digest: LeafDigest) -> Formula:
    """The formula of a store's digest."""
    if isinstance(digest, partial):
        return Formula(digest.func, digest.args, tuple(sorted(digest.keywords.items())))
    return Formula(digest)


@lru_cache(maxsize=FORMULAS_MAX)
def remembered(formula: Formula) -> LeafDigest:
    """The same digest, which all replicas of a version then share."""
    known = lru_cache(maxsize=DIGESTS_MAX)(formula)

    def digest(payload: bytes, delete_time: int) -> bytes:
        return (known if len(payload) <= PAYLOAD_MAX_BYTES else formula)(payload, delete_time)

    return digest
