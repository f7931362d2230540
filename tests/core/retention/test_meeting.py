"""What two replicas do before they exchange records."""

from __future__ import annotations

import pytest

from gossipnode.core.retention.marks import NO_MARKS, Marks
from gossipnode.core.retention.meeting import MarksMeeting, agree, completed, meet

NOW = 1_000


def met(own: Marks, told: Marks, *, settled: bool = True, given_up_to: int = 0) -> MarksMeeting:
    return meet(own, told, settled=settled, given_up_to=given_up_to, now=NOW)


def test_seals_and_marks_are_joined() -> None:
    assert met(Marks(5, 5, 2), Marks(9, 5, 5)) == MarksMeeting(Marks(9, 5, 5))
    assert met(Marks(9, 5, 5), Marks(5, 5, 2)) == MarksMeeting(Marks(9, 5, 5))


def test_one_that_was_not_told_that_it_is_complete_purges_nothing() -> None:
    assert met(Marks(5, 0, 0), Marks(5, 5, 0)) == MarksMeeting(Marks(5, 0, 0))


def test_a_stale_replica_gives_up_what_the_other_one_has_proven() -> None:
    assert met(Marks(3, 3, 3), Marks(9, 9, 5)) == MarksMeeting(Marks(9, 3, 5), give_up_to=9)
    # Once: what it has then came from one that is complete.
    assert met(Marks(9, 3, 5), Marks(9, 9, 5), given_up_to=9) == MarksMeeting(Marks(9, 3, 5))
    assert completed(Marks(9, 3, 5), Marks(9, 9, 5)) == Marks(9, 9, 5)


def test_one_that_is_new_gives_up_what_was_in_no_proof() -> None:
    assert met(NO_MARKS, Marks(9, 9, 0), settled=False) == MarksMeeting(Marks(9, 0, 0), give_up_to=9)
    assert met(NO_MARKS, Marks(9, 0, 0), settled=False) == MarksMeeting(Marks(9, 0, 0))


def test_a_stale_replica_is_no_source() -> None:
    stale = Marks(9, 3, 5)
    assert met(stale, stale).problem == "both wait for a replica that is complete"
    assert met(NO_MARKS, stale).problem == "both wait for a replica that is complete"
    assert met(stale, Marks(9, 4, 4)).problem == "it is not complete up to our mark"
    assert completed(NO_MARKS, stale) == NO_MARKS


def test_one_that_is_complete_may_have_learnt_of_a_purge_from_one_that_is_stale() -> None:
    assert met(Marks(9, 5, 0), Marks(9, 3, 5)) == MarksMeeting(Marks(9, 5, 5))


@pytest.mark.parametrize(
    "told", [Marks(NOW + 1, NOW + 1, NOW + 1), Marks(NOW + 1, 0, 0), Marks(NOW, NOW + 1, NOW + 1)]
)
def test_marks_in_the_future_change_nothing(told: Marks) -> None:
    meeting = met(Marks(1, 1, 1), told)
    assert meeting.after == Marks(1, 1, 1)
    assert not meeting.give_up_to
    assert "clock" in meeting.problem


@pytest.mark.parametrize(
    ("own", "told", "settled", "given_up_to", "agreed"),
    [
        (NO_MARKS, NO_MARKS, True, 0, True),
        (Marks(5, 5, 5), Marks(5, 5, 5), True, 0, True),
        (Marks(5, 5, 0), Marks(5, 0, 0), True, 0, True),
        (Marks(5, 5, 5), NO_MARKS, True, 0, False),
        (NO_MARKS, Marks(5, 0, 0), True, 0, False),
        (Marks(5, 0, 5), Marks(5, 5, 5), True, 0, False),
        (Marks(5, 0, 5), Marks(5, 5, 5), True, 5, True),
        (Marks(5, 5, 5), Marks(5, 0, 5), True, 0, True),
        (NO_MARKS, Marks(0, 5, 0), False, 0, False),
    ],
)
def test_a_server_asks_for_a_meeting_if_that_would_change_anything(
    own: Marks, told: Marks, settled: bool, given_up_to: int, agreed: bool
) -> None:
    assert agree(own, told, settled=settled, given_up_to=given_up_to) == agreed
