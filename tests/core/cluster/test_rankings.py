"""Remembered ranks are those that scores give, and few scores are computed after a change."""

from __future__ import annotations

from random import Random

import pytest

from gossipnode.core.cluster.placement import replicas_of, score
from gossipnode.core.cluster.rankings import Rankings
from gossipnode.core.model.property import ShardId

MANY = frozenset(f"m{number}" for number in range(20))
SHARDS = [ShardId("g", number) for number in range(50)]


def scored_for(rankings: Rankings, among: frozenset[str], replicas: int = 3) -> int:
    """Rank all shards among these members; gives how many scores that took."""
    before = rankings.scored
    for shard in SHARDS:
        assert rankings.ranks(shard, among, replicas).names == replicas_of(shard, among, replicas)
    return rankings.scored - before


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_those_of_the_scores_whatever_is_remembered(seed: int) -> None:
    random, rankings = Random(seed), Rankings()
    layouts = [frozenset(random.sample(sorted(MANY), random.randrange(1, 9))) for _ in range(6)]
    for _ in range(400):
        shard, among = random.choice(SHARDS[:4]), random.choice(layouts)
        replicas = random.randrange(1, 5)
        found = rankings.ranks(shard, among, replicas)
        assert found.names == replicas_of(shard, among, replicas)
        scores = [score(name, "g", shard.shard) for name in found.names]
        assert found.least == (min(scores) if len(among) > replicas else b"")
        if random.random() < 0.2:
            change = random.randrange(len(layouts))
            layouts[change] ^= {random.choice(sorted(MANY))}
            layouts[change] = layouts[change] or frozenset("a")


def test_what_is_known_is_not_computed_again() -> None:
    rankings = Rankings()
    assert scored_for(rankings, MANY) == len(MANY) * len(SHARDS)
    assert scored_for(rankings, MANY) == 0
    assert scored_for(rankings, frozenset(sorted(MANY))) == 0


def test_a_newcomer_is_compared_with_the_last_of_the_best() -> None:
    rankings = Rankings()
    scored_for(rankings, MANY)
    among = MANY | {"new"}
    better = sum("new" in replicas_of(shard, among, 3) for shard in SHARDS)
    assert 0 < better < len(SHARDS) // 2
    # Where it is better, those that it stands beside are scored with it.
    assert scored_for(rankings, among) == len(SHARDS) + better * 4
    # A moving shard lies by the one and is to lie by the other.
    assert scored_for(rankings, MANY) == scored_for(rankings, among) == 0


def test_who_goes_costs_the_shards_that_it_held() -> None:
    rankings = Rankings()
    scored_for(rankings, MANY)
    held = sum("m7" in replicas_of(shard, MANY, 3) for shard in SHARDS)
    assert 0 < held < len(SHARDS) // 2
    assert scored_for(rankings, MANY - {"m7"}) == held * (len(MANY) - 1)


def test_groups_that_there_are_no_longer_are_forgotten() -> None:
    rankings = Rankings()
    scored_for(rankings, MANY)
    rankings.keep({"g"})
    assert scored_for(rankings, MANY) == 0
    rankings.keep({"h"})
    assert scored_for(rankings, MANY) > 0
