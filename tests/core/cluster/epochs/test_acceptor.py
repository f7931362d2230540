"""What a voter promises, accepts and adopts, message by message."""

from __future__ import annotations

import pytest

from gossipnode.core.cluster.deciding.acceptor import AcceptorState, adopt, answer
from gossipnode.core.cluster.deciding.epoch_messages import (
    NO_BALLOT,
    Accept,
    Accepted,
    Ballot,
    Behind,
    DecidedAlready,
    Prepare,
    Promise,
    Refused,
    Request,
    Stranger,
    next_ballot,
)
from tests.core.cluster.epochs.epoch_world import Value

VOTERS = {"a": 1, "b": 2, "c": 3}
CLUSTER = b"ours"
LOW, HIGH = Ballot(1, 5), Ballot(2, 4)
FRESH: AcceptorState[Value] = AcceptorState(1)


def epoch(number: int, text: str = "", *, cluster: bytes = CLUSTER) -> Value:
    return Value(number, cluster, VOTERS, text)


FORMED = AcceptorState(1, epoch(3))


def prepare(ballot: Ballot, instance: int = 3, *, birth: int = 1, cluster: bytes = CLUSTER) -> Prepare:
    return Prepare(cluster, instance, birth, ballot)


def accept(ballot: Ballot, value: Value, instance: int = 3) -> Accept[Value]:
    return Accept(CLUSTER, instance, 1, ballot, value)


def test_the_next_ballot_is_above_every_ballot_seen_whatever_its_nonce() -> None:
    assert NO_BALLOT < next_ballot(NO_BALLOT, 0) < next_ballot(Ballot(1, 2**64 - 1), 0) == Ballot(2, 0)


def test_a_promise_excludes_lower_ballots_and_no_others() -> None:
    state, reply = answer(FORMED, prepare(HIGH))
    assert reply == Promise(HIGH, None)
    assert answer(state, prepare(LOW)) == (state, Refused(HIGH))
    assert answer(state, accept(LOW, epoch(4))) == (state, Refused(HIGH))
    assert answer(state, prepare(HIGH)) == (state, Promise(HIGH, None))
    assert answer(state, accept(HIGH, epoch(4)))[1] == Accepted(HIGH)


def test_what_was_accepted_is_told_with_the_next_promise() -> None:
    state, _ = answer(FORMED, accept(LOW, epoch(4)))
    assert answer(state, prepare(HIGH))[1] == Promise(HIGH, (LOW, epoch(4)))


def test_accepting_is_a_promise_too() -> None:
    state, _ = answer(FORMED, prepare(LOW))
    state, _ = answer(state, accept(HIGH, epoch(4)))
    assert answer(state, accept(LOW, epoch(4, "other"))) == (state, Refused(HIGH))


def test_a_voter_of_a_newer_epoch_tells_it() -> None:
    for request in (prepare(HIGH, 2), accept(HIGH, epoch(3, "other"), 2)):
        assert answer(FORMED, request) == (FORMED, DecidedAlready(epoch(3)))


def test_a_voter_of_an_older_epoch_asks_to_be_taught() -> None:
    assert answer(FORMED, prepare(HIGH, 4)) == (FORMED, Behind(3))
    assert answer(FRESH, accept(HIGH, epoch(2), 1)) == (FRESH, Behind(0))


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (prepare(HIGH, birth=9), "another store"),
        (prepare(HIGH, 2, birth=9), "another store"),
        (prepare(HIGH, cluster=b"theirs"), "another cluster"),
        (prepare(HIGH, 2, cluster=b"theirs"), "another cluster"),
        (accept(HIGH, epoch(5)), "cannot decide epoch 5"),
        (accept(HIGH, epoch(3)), "cannot decide epoch 3"),
        (accept(HIGH, epoch(4, cluster=b"theirs")), "another cluster"),
    ],
)
def test_a_message_for_somebody_else_changes_nothing(request_: Request[Value], reason: str) -> None:
    state, reply = answer(FORMED, request_)
    assert state is FORMED
    assert isinstance(reply, Stranger)
    assert reason in reply.reason


def test_a_first_epoch_is_accepted_of_any_cluster_if_it_names_this_store() -> None:
    assert answer(FRESH, prepare(LOW, 0, cluster=b"x"))[1] == Promise(LOW, None)
    value = epoch(1, cluster=b"y")
    state, reply = answer(FRESH, accept(LOW, value, 0))
    assert reply == Accepted(LOW)
    assert state == AcceptorState(1, None, LOW, (LOW, value))
    other = Value(1, CLUSTER, {"a": 9, "b": 2})
    assert isinstance(answer(FRESH, accept(LOW, other, 0))[1], Stranger)


def test_who_would_form_a_cluster_is_told_that_there_is_one() -> None:
    assert answer(FORMED, prepare(LOW, 0, cluster=b"x"))[1] == DecidedAlready(epoch(3))


def test_a_newer_epoch_clears_what_belongs_to_the_instance_before() -> None:
    state, _ = answer(FORMED, accept(HIGH, epoch(4)))
    assert adopt(state, epoch(4, "chosen")) == AcceptorState(1, epoch(4, "chosen"))
    assert adopt(state, epoch(7)).instance == 7


@pytest.mark.parametrize("value", [epoch(3), epoch(2), epoch(4, cluster=b"theirs")])
def test_an_epoch_that_is_not_newer_or_of_another_cluster_clears_nothing(value: Value) -> None:
    state, _ = answer(FORMED, accept(HIGH, epoch(4)))
    assert adopt(state, value, teller=2) is state


def test_a_store_without_an_epoch_adopts_any() -> None:
    assert adopt(FRESH, epoch(5)) == AcceptorState(1, epoch(5))


def test_an_accepted_first_epoch_gives_way_to_one_that_a_voter_of_it_has() -> None:
    """c's old store had v decided, and is lost. What it sent may not undo w, which c's new store accepted."""
    mine = Value(1, b"w", {"a": 1, "b": 2, "c": 33})
    state, _ = answer(FRESH, accept(HIGH, mine, 0))
    other = epoch(1, cluster=b"v")
    assert adopt(state, other, teller=3) is state
    assert adopt(state, other) is state
    assert adopt(state, other, teller=1) is state
    assert adopt(state, other, teller=2).decided == other
    assert adopt(state, Value(2, b"w", VOTERS), teller=7).instance == 2
