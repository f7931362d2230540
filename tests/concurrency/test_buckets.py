"""Each value is counted once, in the first bucket whose bound it does not exceed."""

from __future__ import annotations

from gossipnode.concurrency.buckets import Buckets


def test_a_value_counts_under_the_first_bound_that_it_does_not_exceed() -> None:
    buckets = Buckets((1, 2.5, 5))
    for value in (0, 1, 1.1, 2.5, 5, 6, 100):
        buckets.add(value)
    assert buckets.counts == [2, 2, 1, 2]
    assert buckets.total == 115.6
