"""What a peer may ask of a side, and when."""

from __future__ import annotations

import pytest

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.session.reconcile.reconcile_messages import (
    Answered,
    Closing,
    Opening,
    OpeningVerdict,
    ReconcileMessage,
    ReconcileStanding,
    SentRecords,
    Wants,
)
from gossipnode.core.session.reconcile.reconcile_side import ASKED_MAX_ENTRIES, QUESTION_MAX_ENTRIES
from gossipnode.core.session.reconcile.reconcile_sides import ReconcileClient, ReconcileServer
from tests.core.session.reconcile.reconcile_sides import KEY, SHARD, Replica, record

OPENING = Opening("g", 0, KEY.check, 5, 1, (0,) * 16)


def server() -> ReconcileServer:
    """One that has opened a session."""
    side = ReconcileServer({"g": 1})
    side.receive(OPENING)
    side.next_command()
    side.index_read(Replica([record(1)]).index)
    return side


@pytest.mark.parametrize("first", [Closing(0), Answered(1), Wants([1]), SentRecords(())])
def test_nothing_comes_before_the_opening(first: ReconcileMessage) -> None:
    with pytest.raises(SessionViolationError, match="not open yet"):
        ReconcileServer({"g": 1}).receive(first)


@pytest.mark.parametrize("message", [OPENING, OpeningVerdict(ReconcileStanding.EQUAL), Answered(1)])
def test_a_server_takes_no_second_opening_and_no_word_of_a_server(message: ReconcileMessage) -> None:
    with pytest.raises(SessionViolationError, match="is not expected now"):
        server().receive(message)


def test_a_client_takes_no_opening() -> None:
    with pytest.raises(SessionViolationError, match="Opening is not expected now"):
        ReconcileClient(SHARD, 1, Replica().index).receive(OPENING)


def test_nothing_is_asked_after_the_closing() -> None:
    side = server()
    side.receive(Closing(0))
    with pytest.raises(SessionViolationError, match="a question after the closing"):
        side.receive(Wants([1]))


def test_questions_that_wait_are_bounded() -> None:
    side = server()
    part = Wants(range(QUESTION_MAX_ENTRIES))
    for _ in range(ASKED_MAX_ENTRIES // QUESTION_MAX_ENTRIES):
        side.receive(part)
    with pytest.raises(SessionViolationError, match="entries asked at once"):
        side.receive(Wants([1]))


def test_a_question_is_bounded() -> None:
    side = server()
    side.receive(Wants(range(QUESTION_MAX_ENTRIES)))
    with pytest.raises(SessionViolationError, match="a question of 16385 entries"):
        side.receive(Wants(range(QUESTION_MAX_ENTRIES + 1)))


def test_an_opening_has_sixteen_sums() -> None:
    side = ReconcileServer({"g": 1})
    side.receive(Opening("g", 0, KEY.check, 5, 1, (0,) * 15))
    with pytest.raises(SessionViolationError, match="expected 16 sums"):
        side.index_read(Replica([record(1)]).index)


def test_a_peer_that_leaves_before_the_closing_has_broken_the_session() -> None:
    with pytest.raises(SessionViolationError, match="before its closing"):
        server().peer_ended()
    with pytest.raises(SessionViolationError, match="before its closing"):
        ReconcileClient(SHARD, 1, Replica().index).peer_ended()
