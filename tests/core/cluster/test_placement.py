"""Which members hold a shard, what moves when members change, and which quorums share a replica."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import (
    FENCE_BYTES,
    AckLevel,
    Placement,
    Quorum,
    majority,
    placement_of,
    replicas_of,
    score,
)
from gossipnode.core.model.property import ShardId
from tests.core.support import examples

SHARD = ShardId("g", 0)
NAMES = "abcdefg"


def joined(names: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(names, 0)


def placed(settled: str, members: str, replicas: int = 3, shard: ShardId = SHARD) -> Placement:
    return placement_of(shard, replicas, settled=joined(settled), members=joined(members))


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
    ("settled", "coming", "lost", "births"),
    [
        ("ba", "ab", "", ()),
        ("ab", "ba", "", ()),
        ("aab", "ab", "", ()),
        ("ab", "ab", "c", ()),
        ("ab", "ab", "", (1,)),
    ],
)
def test_a_placement_out_of_order_is_a_fault_of_ours(
    settled: str, coming: str, lost: str, births: tuple[int, ...]
) -> None:
    with pytest.raises(AssertionError):
        Placement(SHARD, tuple(settled), tuple(coming), frozenset(lost), 2, births)


def test_a_member_that_came_back_empty_is_lost_and_joins() -> None:
    placement = placement_of(SHARD, 3, settled={"a": 0, "b": 0, "c": 0}, members={"a": 0, "b": 0, "c": 7})
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


def test_with_fewer_members_than_replicas_a_quorum_is_still_one_of_all_replicas() -> None:
    assert placed("a", "a").quorums(AckLevel.QUORUM) == (Quorum(frozenset("a"), 2),)
    assert placed("ab", "ab").quorums(AckLevel.QUORUM) == (Quorum(frozenset("ab"), 2),)


def test_a_read_at_one_asks_those_that_have_the_records() -> None:
    placement = placement_of(SHARD, 3, settled={"a": 0, "b": 0}, members={"a": 0, "b": 7})
    assert placement.quorums(AckLevel.ONE, reading=True) == (Quorum(frozenset("a"), 1),)
    assert placement.quorums(AckLevel.ONE) == (Quorum(frozenset("ab"), 1),)


def test_with_every_source_lost_the_new_ones_are_read() -> None:
    placement = placement_of(SHARD, 1, settled={"a": 0}, members={"b": 7})
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
        placed("abc", "abc", shard=ShardId("g", 0, 1)),
        placed("abc", "abc", shard=ShardId("h", 0)),
        placement_of(SHARD, 3, settled=joined("abc"), members={"a": 0, "b": 0, "c": 1}),
        placement_of(SHARD, 3, settled=joined("abc"), members={"a": 0, "b": 1, "c": 0}),
    ]
    births = [{"a": 0, "b": 0, "c": 4}, {"a": 0, "b": 0, "c": 5}]
    everyone = joined("abc")
    views += [placement_of(SHARD, 3, settled=everyone, members=everyone, births=each) for each in births]
    assert len({view.fence for view in views}) == len(views)
    assert all(len(view.fence) == FENCE_BYTES for view in views)


def test_the_store_of_a_member_that_holds_nothing_of_a_shard_is_nothing_to_it() -> None:
    shard = next(shard for shard in shards() if "d" not in replicas_of(shard, "abcd", 3))
    everyone = joined("abcd")
    fences = {
        placement_of(shard, 3, settled=everyone, members=everyone, births={"d": birth}).fence
        for birth in (0, 1, 2)
    }
    assert len(fences) == 1


def shards() -> Iterable[ShardId]:
    return (ShardId("g", number) for number in range(1000))


def moves(shard: ShardId) -> bool:
    return placed("abc", "abcd", shard=shard).moving


def test_a_change_elsewhere_leaves_the_fence_of_a_shard() -> None:
    shard = next(shard for shard in shards() if not moves(shard))
    views = (("abc", "abc"), ("abc", "abcd"), ("abcd", "abcd"))
    assert len({placed(*view, shard=shard).fence for view in views}) == 1


# --- quorums that meet ---

stamps = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), min_size=1)


@st.composite
def moves_(draw: st.DrawFn) -> tuple[Placement, Placement]:
    """The placements of a shard before a change of members, and during it."""
    replicas = draw(st.integers(1, 4))
    settled = draw(stamps)
    members = draw(stamps)
    shard = ShardId("g", draw(st.integers(0, 20)))
    before = placement_of(shard, replicas, settled=settled, members=settled)
    return before, placement_of(shard, replicas, settled=settled, members=members)


def ways(quorums: Iterable[Quorum], among: Iterable[str]) -> list[frozenset[str]]:
    """Every subset of these nodes that satisfies the quorums."""
    names = sorted(among)
    return [
        frozenset(some)
        for count in range(len(names) + 1)
        for some in combinations(names, count)
        if all(len(quorum.among & set(some)) >= quorum.needed for quorum in quorums)
    ]


def survives(before: Placement, during: Placement) -> bool:
    """Whether so few replicas are lost that one of every quorum is left."""
    return len(during.lost) < majority(before.replicas)


@pytest.mark.slow
@examples(80)
@given(moves_())
def test_what_was_written_before_a_move_is_read_in_it(views: tuple[Placement, Placement]) -> None:
    before, during = views
    if not survives(before, during):
        return
    reads = ways(during.quorums(AckLevel.QUORUM, reading=True), during.holders)
    for write in ways(before.quorums(AckLevel.QUORUM), before.holders):
        assert all((write - during.lost) & set(read) & set(during.sources) for read in reads)


@pytest.mark.slow
@examples(80)
@given(moves_())
def test_what_was_written_in_a_move_is_read_in_it_and_after_it(views: tuple[Placement, Placement]) -> None:
    _, during = views
    after = Placement(during.shard, during.coming, during.coming, frozenset(), during.replicas)
    writes = ways(during.quorums(AckLevel.QUORUM), during.holders)
    for view in (during, after):
        reads = ways(view.quorums(AckLevel.QUORUM, reading=True), view.holders)
        assert all(write & read for write in writes for read in reads)


@pytest.mark.slow
@examples(80)
@given(moves_())
def test_a_replica_that_fills_itself_meets_every_write_from_before(
    views: tuple[Placement, Placement],
) -> None:
    before, during = views
    if not survives(before, during):
        return
    for write in ways(before.quorums(AckLevel.QUORUM), before.holders):
        for met in combinations(during.sources, during.sources_needed):
            assert write & set(met)


@pytest.mark.slow
@examples(80)
@given(moves_())
def test_those_that_were_met_leave_no_quorum_to_the_old_view(views: tuple[Placement, Placement]) -> None:
    """Once a new replica has copied from sources, these refuse requests of the old view."""
    before, during = views
    if not survives(before, during):
        return
    for met in combinations(during.sources, during.sources_needed):
        left = set(before.holders) - set(met)
        assert ways(before.quorums(AckLevel.QUORUM), left) == []


@pytest.mark.slow
@examples(80)
@given(moves_())
def test_where_nobody_has_to_be_filled_the_old_view_reads_what_the_new_one_writes(
    views: tuple[Placement, Placement],
) -> None:
    before, during = views
    if during.joining or not survives(before, during):
        return
    after = Placement(during.shard, during.coming, during.coming, frozenset(), during.replicas)
    for view in (during, after):
        for write in ways(view.quorums(AckLevel.QUORUM), view.holders):
            for read in ways(before.quorums(AckLevel.QUORUM, reading=True), before.holders):
                assert write & read


@pytest.mark.slow
@examples(50)
@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)),
    st.integers(1, 4),
)
def test_every_quorum_can_be_had_when_all_are_up(
    settled: Mapping[str, int], members: Mapping[str, int], replicas: int
) -> None:
    """The exception is a quorum of more replicas than there are members."""
    placement = placement_of(SHARD, replicas, settled=settled, members=members)
    for level in (AckLevel.ONE, AckLevel.QUORUM, AckLevel.ALL):
        for reading in (True, False):
            for quorum in placement.quorums(level, reading=reading):
                assert quorum.among <= set(placement.holders)
                assert quorum.needed <= max(len(quorum.among), replicas)
                if len(members) >= replicas:
                    assert quorum.needed <= len(quorum.among)
