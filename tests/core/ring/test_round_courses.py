"""Rounds of any course, whose reports reach the origin in any order or not at all."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.ring.round import Ended, Forwarded, Hop, InSession, Report, RoundOutcome, outcome_of
from gossipnode.core.ring.turn import (
    Cause,
    EndRound,
    Forward,
    HolderTurn,
    HopEnd,
    RepairWith,
    RoundMessage,
    hop_limit,
)
from tests.core.ring.rounds import EQUAL, FAILED, REPAIRED, SKIPPED, opened
from tests.core.support import SHARD, examples


@dataclass
class Course:
    """A round as it really went."""

    nodes: tuple[str, ...]
    reports: list[Report]
    hops: list[Hop]
    ended: bool

    @property
    def outcome(self) -> RoundOutcome:
        if not self.ended or len([hop for hop in self.hops if hop.successful]) < hop_limit(len(self.nodes)):
            return RoundOutcome.INCOMPLETE
        return outcome_of(self.hops)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    nodes = tuple("abcde"[: draw(st.integers(2, 5))])
    good = draw(st.booleans())
    ends = [EQUAL, EQUAL, REPAIRED] if good else [EQUAL, REPAIRED, SKIPPED, FAILED, HopEnd.BUSY]
    message = RoundMessage("r", SHARD, "o", nodes, 0, Cause.SCHEDULED)
    course = Course(nodes, [], [], ended=False)
    holder = draw(st.sampled_from(nodes))
    while True:
        if draw(st.integers(0, 14)) == 14:
            return course  # the holder died with the message
        turn = HolderTurn(message, holder)
        count = message.count
        hops: list[Hop] = []
        step = turn.next_step()
        while True:
            if isinstance(step, RepairWith):
                course.reports.append(Report("r", SHARD, holder, count, (), InSession(step.peer)))
                end = draw(st.sampled_from(ends))
                following = turn.repaired(end)
                if end is not HopEnd.BUSY or not isinstance(following, RepairWith) or following.attempt == 0:
                    skipped = draw(st.sampled_from([0] * 9 + [1]))
                    hops.append(Hop(holder, step.peer, end, skipped=skipped))
                step = following
            elif isinstance(step, Forward) and not good and draw(st.integers(0, 5)) == 5:
                step = turn.not_forwarded()
            else:
                break
        course.hops += hops
        if isinstance(step, EndRound):
            course.ended = True
            course.reports.append(Report("r", SHARD, holder, count, tuple(hops), Ended(step.reason)))
            return course
        foreign = draw(st.sampled_from([False, False, True]))
        course.reports.append(Report("r", SHARD, holder, count, tuple(hops), Forwarded(step.peer, foreign)))
        message, holder = step.message, step.peer


GOODNESS = [RoundOutcome.INCOMPLETE, RoundOutcome.REPAIRED, RoundOutcome.CONVERGED]


@pytest.mark.slow
@given(courses(), st.data())
@examples(150)
def test_a_round_always_ends_and_never_looks_better_than_it_was(course: Course, data: st.DataObject) -> None:
    """Reports are lost, doubled and reordered, and time passes between them."""
    round_ = opened(*course.nodes)
    arriving = data.draw(
        st.lists(st.sampled_from(course.reports), max_size=30) if course.reports else st.just([])
    )
    now = 0.0
    for each in arriving:
        now += data.draw(st.sampled_from([0.0, 0.1, 4.0, 20.0, 31.0]))
        round_.expire(now)
        round_.report(each, now)
    for _ in range(2):
        round_.expire(max(now, round_.expires))
    assert round_.finished is not None
    assert round_.finished.outcome is not None
    assert GOODNESS.index(round_.finished.outcome) <= GOODNESS.index(course.outcome)
    assert len(round_.finished.hops) <= len(course.hops) + len(course.nodes) * 2


@pytest.mark.slow
@given(courses(), st.data())
@examples(100)
def test_a_round_of_which_every_report_arrives_in_time_shows_what_it_was(
    course: Course, data: st.DataObject
) -> None:
    round_ = opened(*course.nodes)
    for each in data.draw(st.permutations(course.reports)):
        round_.report(each, 0.0)
    if course.ended:
        assert round_.finished is not None, "without waiting for anything"
    round_.expire(round_.expires)
    assert round_.finished is not None
    assert round_.finished.outcome is course.outcome
    assert [hop for hop in round_.finished.hops if hop.to_node] == course.hops
