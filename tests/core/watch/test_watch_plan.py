"""Which replicas a watch listens to, and where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.watch.watch_plan import WatchFeed, plan_feeds
from gossipnode.core.watch.watch_token import (
    FeedPosition,
    TokenError,
    WatchToken,
    check_token,
    moved_on,
)

BIRTHS = {"a": 1, "b": 2, "c": 3}


def at(node: str, sequence: int, *shards: int, birth: int = 0) -> FeedPosition:
    return FeedPosition(node, birth or BIRTHS[node], sequence, frozenset(shards))


def test_the_node_asked_comes_first() -> None:
    plan = plan_feeds("b", {0: ("a", "b"), 1: ("a", "c"), 2: ("b",)}, BIRTHS, ())
    assert plan.feeds == (WatchFeed("b", 2, (0, 2), None, False), WatchFeed("a", 1, (1,), None, False))
    assert not plan.waiting


def test_a_replica_that_the_watch_follows_comes_before_the_node_asked() -> None:
    plan = plan_feeds("b", {0: ("a", "b"), 1: ("a", "b")}, BIRTHS, (at("a", 7, 0),))
    assert plan.feeds == (WatchFeed("a", 1, (0,), 7, True, 0), WatchFeed("b", 2, (1,), None, False))


@pytest.mark.parametrize(
    ("sources", "births", "position"),
    [
        (("b", "c"), BIRTHS, at("a", 7, 0)),
        (("a", "b"), {"b": 2}, at("a", 7, 0)),
        (("a", "b"), BIRTHS, at("a", 7, 0, birth=9)),
    ],
)
def test_without_it_the_records_come_first_as_changes(
    sources: tuple[str, ...], births: dict[str, int], position: FeedPosition
) -> None:
    plan = plan_feeds("b", {0: sources}, births, (position,))
    assert plan.feeds == (WatchFeed("b", 2, (0,), None, True, 0),)


def test_shards_without_a_replica_wait() -> None:
    plan = plan_feeds("b", {0: ("c",), 1: ()}, {"b": 2}, ())
    assert (plan.feeds, plan.waiting) == ((), {0, 1})


def test_a_shard_stands_in_one_place() -> None:
    positions = moved_on((), at("a", 3, 0, 1, 2))
    positions = moved_on(positions, at("b", 9, 1))
    assert positions == (at("a", 3, 0, 2), at("b", 9, 1))
    assert moved_on(positions, at("c", 1, 0, 1, 2)) == (at("c", 1, 0, 1, 2),)


names = st.sampled_from("abc")
positions_drawn = st.lists(
    st.builds(
        FeedPosition,
        names,
        st.integers(1, 3),
        st.integers(0, 9),
        st.frozensets(st.integers(0, 5), min_size=1),
    ),
    max_size=6,
)


@given(
    st.dictionaries(st.integers(0, 5), st.sets(names).map(sorted), min_size=1),
    st.dictionaries(names, st.integers(1, 3)),
    positions_drawn,
)
def test_each_shard_is_followed_once_or_waits(
    sources: dict[int, list[str]], births: dict[str, int], moves: list[FeedPosition]
) -> None:
    positions: tuple[FeedPosition, ...] = ()
    for move in moves:
        positions = moved_on(positions, move)
    told = [shard for position in positions for shard in position.shards]
    assert len(told) == len(set(told))
    plan = plan_feeds("a", sources, births, positions)
    followed = [shard for feed in plan.feeds for shard in feed.shards]
    assert sorted([*followed, *plan.waiting]) == sorted(sources)
    stand = {shard: position for position in positions for shard in position.shards}
    for feed in plan.feeds:
        assert births[feed.node] == feed.birth
        for shard in feed.shards:
            assert feed.node in sources[shard]
            if feed.since is not None:
                position = stand[shard]
                assert (position.node, position.birth, position.sequence) == (
                    feed.node,
                    feed.birth,
                    feed.since,
                )


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (WatchToken("ee", "sw", 1, (at("a", 1, 0),)), "another cluster"),
        (WatchToken("cc", "other", 1, (at("a", 1, 0),)), "of group 'other', not of 'sw'"),
        (WatchToken("cc", "sw", 1, (at("a", 1, 2),)), "damaged"),
        (WatchToken("cc", "sw", 1, (at("a", 1, 0), at("b", 1, 0, 1))), "damaged"),
    ],
)
def test_a_token_of_something_else_is_refused(token: WatchToken, words: str) -> None:
    with pytest.raises(TokenError, match=words):
        check_token(token, "cc", "sw", 2)
    check_token(WatchToken("cc", "sw", 9, (at("a", 1, 0), at("b", 1, 1))), "cc", "sw", 2)
