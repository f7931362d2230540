"""Which quorums share a replica: before a shard moves, while it does, and after that."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import AckLevel, Placement, Quorum
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import Births, born, place
from tests.core.support import examples

SHARD = ShardId("g", 0)
NAMES = "abcdefg"

births = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), min_size=1)


@st.composite
def moves(draw: st.DrawFn) -> tuple[Placement, Placement]:
    """The placements of a shard before a change of members, and during it."""
    replicas = draw(st.integers(1, 4))
    settled = draw(births)
    members = draw(births)
    leaving = draw(st.sets(st.sampled_from(sorted(members)), max_size=len(members) - 1))
    shard = ShardId("g", draw(st.integers(0, 20)))
    before = place(shard, replicas, settled=settled, members=settled)
    return before, place(shard, replicas, settled=settled, members=members, leaving=leaving)


@st.composite
def alterations(draw: st.DrawFn) -> tuple[Placement, Placement]:
    """The placements of a shard before another number of replicas is wanted, and after that."""
    names = born(draw(st.sets(st.sampled_from(NAMES), min_size=1)))
    shard = ShardId("g", draw(st.integers(0, 20)))
    before = place(shard, draw(st.integers(1, 5)), settled=names, members=names)
    after = place(shard, draw(st.integers(1, 5)), settled=names, members=names)
    during = Placement(
        shard, before.settled, after.coming, frozenset(), after.replicas, before.replicas, before.frame
    )
    return before, during


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
    assert before.full_sources == during.full_sources
    return len(during.sources) >= during.full_sources


@pytest.mark.slow
@examples(80)
@given(moves() | alterations())
def test_what_was_written_before_a_move_is_read_in_it(views: tuple[Placement, Placement]) -> None:
    before, during = views
    if not survives(before, during):
        return
    reads = ways(during.quorums(AckLevel.QUORUM, reading=True), during.holders)
    for write in ways(before.quorums(AckLevel.QUORUM), before.holders):
        assert all((write - during.lost) & set(read) & set(during.sources) for read in reads)


@pytest.mark.slow
@examples(80)
@given(moves() | alterations())
def test_what_was_written_in_a_move_is_read_in_it_and_after_it(views: tuple[Placement, Placement]) -> None:
    _, during = views
    after = Placement(during.shard, during.coming, during.coming, frozenset(), during.replicas)
    writes = ways(during.quorums(AckLevel.QUORUM), during.holders)
    for view in (during, after):
        reads = ways(view.quorums(AckLevel.QUORUM, reading=True), view.holders)
        assert all(write & read for write in writes for read in reads)


@pytest.mark.slow
@examples(80)
@given(moves() | alterations())
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
@given(moves() | alterations())
def test_those_that_were_met_leave_no_quorum_to_the_old_view(views: tuple[Placement, Placement]) -> None:
    """Once a replica has copied from sources, these and itself refuse requests of the old view."""
    before, during = views
    if not survives(before, during):
        return
    for met in combinations(during.sources, during.sources_needed):
        left = set(before.holders) - set(met)
        assert ways(before.quorums(AckLevel.QUORUM), left) == []


@pytest.mark.slow
@examples(80)
@given(moves() | alterations())
def test_where_nobody_has_to_be_filled_the_old_view_reads_what_the_new_one_writes(
    views: tuple[Placement, Placement],
) -> None:
    before, during = views
    if during.filling or not survives(before, during):
        return
    after = Placement(during.shard, during.coming, during.coming, frozenset(), during.replicas)
    for view in (during, after):
        for write in ways(view.quorums(AckLevel.QUORUM), view.holders):
            for read in ways(before.quorums(AckLevel.QUORUM, reading=True), before.holders):
                assert write & read


@pytest.mark.slow
@examples(50)
@given(
    births,
    births,
    st.integers(1, 4),
)
def test_every_quorum_can_be_had_when_all_are_up(settled: Births, members: Births, replicas: int) -> None:
    """The exception is a quorum of more replicas than there are members."""
    placement = place(SHARD, replicas, settled=settled, members=members)
    for level in (AckLevel.ONE, AckLevel.QUORUM, AckLevel.ALL):
        for reading in (True, False):
            for quorum in placement.quorums(level, reading=reading):
                assert quorum.among <= set(placement.holders)
                assert quorum.needed <= max(len(quorum.among), replicas)
                if len(members) >= replicas:
                    assert quorum.needed <= len(quorum.among)
