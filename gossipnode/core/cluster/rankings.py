"""Which members have the highest scores for each shard, remembered from one epoch to the next.

Scores of all members for all shards take a second in a large cluster, and a change of one member changes few
of the ranks. So only what a change can touch is computed again. What is remembered changes no placement.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from heapq import nlargest
from typing import NamedTuple, TypeAlias

from gossipnode.core.cluster.placement import scores
from gossipnode.core.model.property import ShardId

RANKS_OF_A_SHARD = 2
"""A moving shard has ranks among the members that it lies by, and among those that it is to lie by."""

DIFFERENCES_MAX = 64
"""Differences between sets of members that are remembered."""

Names: TypeAlias = frozenset[str]


class Ranks(NamedTuple):
    """The members with the highest scores for a shard, among some."""

    among: Names
    replicas: int
    names: tuple[str, ...]
    """In ring order."""
    least: bytes
    """The lowest score of these. It is empty if all of `among` are here."""


class Rankings:
    """Remembers ranks. One of these goes from each value of the metadata to the next."""

    __slots__ = ("_differences", "_ranks", "scored")

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._ranks: dict[str, dict[int, tuple[Ranks, ...]]] = {}
        self._differences: dict[tuple[Names, Names], tuple[Names, Names]] = {}
        self.scored = 0
        """How many scores were computed so far."""

    def ranks(self, shard: ShardId, among: Names, replicas: int) -> Ranks:
        """The `replicas` members with the highest scores; all of them if they are no more than that.

        The incarnation of a shard does not count.
        """
        of_group = self._ranks.setdefault(shard.group, {})
        known = of_group.get(shard.shard, ())
        for each in known:
            if each.replicas == replicas and (each.among is among or each.among == among):
                found = each
                break
        else:
            found = self._derived(shard, known, among, replicas) or self._best(shard, among, among, replicas)
        if not known or known[0] is not found:
            # The ones that were asked for last are kept.
            others = [each for each in known if each is not found]
            of_group[shard.shard] = (found, *others[: RANKS_OF_A_SHARD - 1])
        return found

    def take_over(self, before: Rankings) -> None:
        """Go by what `before` remembers from now on."""
        self._ranks, self._differences = before._ranks, before._differences

    def keep(self, groups: Container[str]) -> None:
        """Forget all other groups."""
        for name in [name for name in self._ranks if name not in groups]:
            del self._ranks[name]

    def _derived(self, shard: ShardId, known: tuple[Ranks, ...], among: Names, replicas: int) -> Ranks | None:
        """The ranks that follow from known ones, where none of the best has gone."""
        if len(among) <= replicas:
            return None
        for each in known:
            if each.replicas != replicas or not each.least:
                continue
            came, gone = self._difference(each.among, among)
            if not gone.isdisjoint(each.names):
                continue
            if any(found > each.least for found, _ in self._scores(shard, came)):
                return self._best(shard, among, (*each.names, *came), replicas)
            return each._replace(among=among)
        return None

    def _best(self, shard: ShardId, among: Names, candidates: Iterable[str], replicas: int) -> Ranks:
        if len(among) <= replicas:
            return Ranks(among, replicas, tuple(sorted(among)), b"")
        best = nlargest(replicas, self._scores(shard, candidates))
        return Ranks(among, replicas, tuple(sorted([name for _, name in best])), best[-1][0])

    def _scores(self, shard: ShardId, names: Iterable[str]) -> list[tuple[bytes, str]]:
        found = scores(names, shard.group, shard.shard)
        self.scored += len(found)
        return found

    def _difference(self, before: Names, after: Names) -> tuple[Names, Names]:
        """Who came, and who went."""
        found = self._differences.get((before, after))
        if found is None:
            if len(self._differences) >= DIFFERENCES_MAX:
                self._differences.clear()
            found = self._differences[before, after] = (after - before, before - after)
        return found
