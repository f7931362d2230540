from __future__ import annotations

import pytest

from gossipnode.core.placement import replicas_of
from gossipnode.core.property import ShardId


def test_every_member_holds_every_shard_in_order_of_names() -> None:
    assert replicas_of(ShardId("g", 0), ["c", "a", "b", "a"], 3) == ("a", "b", "c")
    assert replicas_of(ShardId("g", 0), ["b", "a"], 3) == ("a", "b")
    assert replicas_of(ShardId("g", 0), [], 3) == ()


def test_more_members_than_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^g/1 has 2 replicas for 3 members: give it as many replicas as"):
        replicas_of(ShardId("g", 1), ["a", "b", "c"], 2)
