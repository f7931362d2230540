"""Which members hold a shard, what moves when members change, and which quorums share a replica."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import (
    FENCE_BYTES,
    AckLevel,
    Placement,
    Quorum,
    replicas_of,
    score,
)
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import born, place
from tests.core.support import examples

SHARD = ShardId("g", 0)
NAMES = "abcdefg"


def placed(settled: str, members: str, replicas: int = 3, shard: ShardId = SHARD) -> Placement:
    return place(shard, replicas, settled=born(settled), members=born(members))


# --- rendezvous ---


def test_few_members_all_hold_every_shard_in_order_of_names() -> None:
    assert replicas_of(SHARD, ["c", "a", "b", "a"], 3) == ("a", "b", "c")
    assert replicas_of(SHARD, ["b", "a"], 3) == ("a", "b")
    assert replicas_of(SHARD, [], 3) == ()


def test_of_many_members_those_with_the_highest_scores_hold_a_shard() -> None:
    best = sorted(NAMES, key=lambda name: score(name, "g", 5), reverse=True)[:3]
    assert replicas_of(ShardId("g", 5), NAMES, 3) == tuple(sorted(best))


def test_names_that_run_together_have_scores_of_their_own() -> None:
    assert len({score("a", "bc", 1), score("ab", "c", 1), score("a", "b", 1), score("a", "bc", 11)}) == 4


def test_a_group_created_again_lies_where_the_old_one_lay() -> None:
    for number in range(20):
        old, new = ShardId("g", number, 1), ShardId("g", number, 2)
        assert replicas_of(old, NAMES, 2) == replicas_of(new, NAMES, 2)


@pytest.mark.slow
def test_every_member_has_about_its_share() -> None:
    shards = 2000
    counts = dict.fromkeys(NAMES, 0)
    for number in range(shards):
        for name in replicas_of(ShardId("g", number), NAMES, 3):
            counts[name] += 1
    fair = shards * 3 / len(NAMES)
    assert max(counts.values()) < 1.15 * fair
    assert min(counts.values()) > 0.85 * fair


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("before", [4, 5, 9, 16])
def test_a_member_that_joins_moves_its_share_alone(replicas: int, before: int) -> None:
    """At least the share of the new member must move, which is replicas / members of all copies."""
    shards = 1024
    old = [f"node-{number}" for number in range(before)]
    moved = 0
    for number in range(shards):
        shard = ShardId("g", number)
        was, now = set(replicas_of(shard, old, replicas)), set(replicas_of(shard, [*old, "new"], replicas))
        assert now - was <= {"new"}
        moved += len(now - was)
    least = shards * replicas / (before + 1)
    assert moved <= 1.3 * least
    assert moved >= least / 1.3


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("before", [4, 5, 9, 16])
def test_a_member_that_is_forgotten_moves_its_share_alone(replicas: int, before: int) -> None:
    shards = 1024
    old = [f"node-{number}" for number in range(before)]
    moved = 0
    for number in range(shards):
        shard = ShardId("g", number)
        was, now = set(replicas_of(shard, old, replicas)), set(replicas_of(shard, old[1:], replicas))
        assert was - now <= {old[0]}
        assert len(now - was) == len(was - now)
        moved += len(now - was)
    assert moved <= 1.3 * shards * replicas / before


@pytest.mark.slow
@examples(100)
@given(
    members=st.sets(st.sampled_from(NAMES), min_size=1),
    other=st.sampled_from(NAMES),
    replicas=st.integers(1, 4),
    number=st.integers(0, 50),
)
def test_only_who_comes_or_goes_changes_its_place(
    members: set[str], other: str, replicas: int, number: int
) -> None:
    shard = ShardId("g", number)
    with_it = set(replicas_of(shard, members | {other}, replicas))
    without = set(replicas_of(shard, members - {other}, replicas))
    assert with_it - without <= {other}
    if other not in with_it:
        assert with_it == without
    assert len(without - with_it) <= 1


# --- parts of a placement ---


def test_a_settled_placement_does_not_move() -> None:
    placement = placed("abc", "abc")
    assert not placement.moving
    assert placement.sources == placement.holders == ("a", "b", "c")
    assert placement.joining == ()
    assert placement.quorums(AckLevel.QUORUM) == (Quorum(frozenset("abc"), 2),)
    assert placement.quorums(AckLevel.ALL, reading=True) == (Quorum(frozenset("abc"), 3),)


@pytest.mark.parametrize(
    ("settled", "coming", "lost"), [("ba", "ab", ""), ("ab", "ba", ""), ("aab", "ab", ""), ("ab", "ab", "c")]
)
def test_a_placement_out_of_order_is_a_fault_of_ours(settled: str, coming: str, lost: str) -> None:
    with pytest.raises(AssertionError):
        Placement(SHARD, tuple(settled), tuple(coming), frozenset(lost), 2)


def test_a_member_that_came_back_empty_is_lost_and_joins() -> None:
    placement = place(SHARD, 3, settled={"a": 0, "b": 0, "c": 0}, members={"a": 0, "b": 0, "c": 7})
    assert placement.lost == {"c"}
    assert placement.moving
    assert placement.sources == ("a", "b")
    assert placement.joining == ("c",)
    assert placement.holders == ("a", "b", "c")
    assert placement.sources_needed == 2
    assert placement.quorums(AckLevel.QUORUM, reading=True) == (
        Quorum(frozenset("abc"), 2),
        Quorum(frozenset("ab"), 2),
    )


def test_a_forgotten_member_is_neither_source_nor_holder() -> None:
    placement = placed("abc", "ab")
    assert placement.lost == {"c"}
    assert placement.holders == placement.coming == ("a", "b")
    assert placement.joining == ()


def test_a_member_that_leaves_stays_a_source_and_holds_on() -> None:
    leaving = place(SHARD, 3, settled=born("abc"), members=born("abcd"), leaving="c")
    assert leaving.lost == frozenset()
    assert leaving.sources == ("a", "b", "c")
    assert leaving.coming == ("a", "b", "d")
    assert leaving.joining == ("d",)
    assert leaving.holders == ("a", "b", "c", "d")
    assert leaving.quorums(AckLevel.ALL) == (Quorum(frozenset("abd"), 3), Quorum(frozenset("abc"), 3))


def test_another_number_of_replicas_is_a_move_with_a_quorum_of_each() -> None:
    fewer = Placement(SHARD, ("a", "b", "c"), ("b",), frozenset(), 1, 3)
    assert fewer.moving
    assert fewer.joining == ()
    assert fewer.quorums(AckLevel.QUORUM) == (Quorum(frozenset("b"), 1), Quorum(frozenset("abc"), 2))
    assert fewer.full_sources == fewer.sources_needed == 2
    more = Placement(SHARD, ("a", "b"), ("a", "b"), frozenset(), 3, 2)
    assert more.moving
    assert more.quorums(AckLevel.ALL) == (Quorum(frozenset("ab"), 3), Quorum(frozenset("ab"), 2))
    assert not Placement(SHARD, ("a", "b"), ("a", "b"), frozenset(), 3, 3).moving


@pytest.mark.parametrize(
    ("settled", "replicas", "full"),
    [("a", 1, 1), ("ab", 2, 1), ("abc", 3, 2), ("abcd", 4, 2), ("abcde", 5, 3), ("ab", 3, 1), ("a", 3, 1)],
)
def test_so_many_sources_have_all_that_was_acknowledged(settled: str, replicas: int, full: int) -> None:
    placement = place(SHARD, replicas, settled=born(settled), members=born(settled))
    assert placement.full_sources == placement.sources_needed == full


def test_with_fewer_members_than_replicas_a_quorum_is_still_one_of_all_replicas() -> None:
    assert placed("a", "a").quorums(AckLevel.QUORUM) == (Quorum(frozenset("a"), 2),)
    assert placed("ab", "ab").quorums(AckLevel.QUORUM) == (Quorum(frozenset("ab"), 2),)


def test_a_read_at_one_asks_those_that_have_the_records() -> None:
    placement = place(SHARD, 3, settled={"a": 0, "b": 0}, members={"a": 0, "b": 7})
    assert placement.quorums(AckLevel.ONE, reading=True) == (Quorum(frozenset("a"), 1),)
    assert placement.quorums(AckLevel.ONE) == (Quorum(frozenset("ab"), 1),)


def test_with_every_source_lost_the_new_ones_are_read() -> None:
    placement = place(SHARD, 1, settled={"a": 0}, members={"b": 7})
    assert placement.sources == ()
    assert placement.sources_needed == 0
    assert placement.quorums(AckLevel.ONE, reading=True) == (Quorum(frozenset("b"), 1),)


def test_local_has_no_quorum() -> None:
    with pytest.raises(ValueError, match="no quorum"):
        placed("abc", "abc").quorums(AckLevel.LOCAL)


def test_every_view_of_a_shard_has_a_fence_of_its_own() -> None:
    views = [
        placed("abc", "abc"),
        placed("abc", "abcd", shard=next(shard for shard in shards() if moves(shard))),
        placed("ab", "abc"),
        placed("abc", "ab"),
        placed("abc", "abc", replicas=2),
        placed("abc", "abc", shard=ShardId("g", 1)),
        placed("abc", "abc", shard=ShardId("g", 0, 2)),
        placed("abc", "abc", shard=ShardId("h", 0)),
        place(SHARD, 3, settled=born("abc"), members=born("abc"), leaving="c"),
        place(SHARD, 3, settled=born("abc"), members={"a": 0, "b": 0, "c": 1}),
        place(SHARD, 3, settled=born("abc"), members={"a": 0, "b": 1, "c": 0}),
        place(SHARD, 3, settled=born("abc"), members={"a": 0, "b": 2, "c": 0}),
        place(SHARD, 3, settled={"a": 0, "b": 0, "c": 4}, members={"a": 0, "b": 0, "c": 4}),
        place(SHARD, 3, settled={"a": 0, "b": 0, "c": 5}, members={"a": 0, "b": 0, "c": 5}),
        place(SHARD, 3, settled={"a": 0, "b": 0, "c": 4}, members={"a": 0, "b": 0, "c": 5}),
        Placement(SHARD, ("a", "b", "c"), ("a", "b", "c"), frozenset(), 3, 2),
        Placement(SHARD, ("a", "b", "c"), ("a", "b", "c"), frozenset(), 3, frame=b"another cluster"),
    ]
    assert len({view.fence for view in views}) == len(views)
    assert all(len(view.fence) == FENCE_BYTES for view in views)


def test_the_store_of_a_member_that_holds_nothing_of_a_shard_is_nothing_to_it() -> None:
    shard = next(shard for shard in shards() if "d" not in replicas_of(shard, "abcd", 3))
    stores = [{**born("abc"), "d": birth} for birth in (0, 1, 2)]
    assert len({place(shard, 3, settled=each, members=each).fence for each in stores}) == 1


def shards() -> Iterable[ShardId]:
    return (ShardId("g", number) for number in range(1000))


def moves(shard: ShardId) -> bool:
    return placed("abc", "abcd", shard=shard).moving


def test_a_change_elsewhere_leaves_the_fence_of_a_shard() -> None:
    shard = next(shard for shard in shards() if not moves(shard))
    views = (("abc", "abc"), ("abc", "abcd"), ("abcd", "abcd"))
    assert len({placed(*view, shard=shard).fence for view in views}) == 1


# --- who has to be filled ---


def test_new_replicas_copy_from_as_many_sources_as_have_all() -> None:
    placement = place(SHARD, 3, settled=born("abc"), members={"a": 0, "b": 0, "c": 7})
    assert placement.filling == placement.joining == ("c",)
    assert placement.copies_needed("c") == 2


def test_fewer_replicas_must_first_have_what_only_the_others_have() -> None:
    """A write at b and c was acknowledged. Without b, a has to have it too before any one of two will do."""
    shrunk = place(SHARD, 3, settled=born("abc"), members=born("ac"))
    assert shrunk.joining == ()
    assert shrunk.filling == ("a", "c")
    assert [shrunk.copies_needed(name) for name in "ac"] == [1, 1]
    fewer = Placement(SHARD, ("a", "b", "c"), ("b",), frozenset(), 1, 3)
    assert fewer.joining == ()
    assert fewer.filling == ("b",)
    assert fewer.copies_needed("b") == 1


@pytest.mark.parametrize(
    ("settled", "coming", "replicas", "before"),
    [
        ("abc", "abd", 3, 3),
        ("ab", "abc", 3, 3),
        ("ab", "abc", 3, 2),
        ("abcd", "abc", 3, 4),
        ("abc", "abc", 3, 3),
    ],
)
def test_who_has_enough_copies_nothing(settled: str, coming: str, replicas: int, before: int) -> None:
    placement = Placement(SHARD, tuple(settled), tuple(coming), frozenset(), replicas, before)
    assert placement.filling == placement.joining


def test_a_single_source_has_nobody_to_copy_from() -> None:
    placement = Placement(SHARD, ("a", "b", "c"), ("a",), frozenset("bc"), 1, 3)
    assert placement.filling == ("a",)
    assert placement.copies_needed("a") == 0
