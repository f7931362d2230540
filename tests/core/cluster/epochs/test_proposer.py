"""One attempt to have an epoch decided, reply by reply."""

from __future__ import annotations

import pytest

from gossipnode.core.cluster.deciding.epoch_messages import (
    Accept,
    Accepted,
    Ballot,
    Behind,
    DecidedAlready,
    Prepare,
    Promise,
    Refused,
    Reply,
    Stranger,
)
from gossipnode.core.cluster.deciding.proposer import (
    Attempt,
    Decided,
    Learned,
    Overtaken,
    Phase,
    dead_first_epoch,
    votes_needed,
)
from tests.core.cluster.epochs.epoch_world import Value

VOTERS = {name: number for number, name in enumerate("abcde", 1)}
CLUSTER = b"ours"
BALLOT = Ballot(5, 50)
OWN = Value(4, CLUSTER, VOTERS, "own")
OTHER = Value(4, CLUSTER, VOTERS, "other")
NEWER = Value(6, CLUSTER, VOTERS, "newer")


def attempt_of(value: Value = OWN, voters: dict[str, int] = VOTERS) -> Attempt[Value]:
    instance = value.epoch - 1
    needed = votes_needed(instance, len(voters))
    return Attempt(instance, value.cluster_id, voters, needed=needed, ballot=BALLOT, value=value)


def promised(attempt: Attempt[Value], *accepted: tuple[Ballot, Value] | None) -> bool:
    """Let as many voters promise as values are given; says whether the attempt goes on to the next phase."""
    return [attempt.take(name, Promise(BALLOT, was)) for name, was in zip(VOTERS, accepted, strict=False)][-1]


@pytest.mark.parametrize(
    ("instance", "voters", "needed"), [(0, 3, 3), (1, 3, 2), (7, 4, 3), (7, 5, 3), (2, 1, 1)]
)
def test_all_decide_the_first_epoch_and_a_majority_every_other(
    instance: int, voters: int, needed: int
) -> None:
    assert votes_needed(instance, voters) == needed


def test_a_majority_promises_then_a_majority_accepts() -> None:
    attempt = attempt_of()
    assert attempt.requests() == {name: Prepare(CLUSTER, 3, VOTERS[name], BALLOT) for name in "abcde"}
    assert not promised(attempt, None, None)
    assert attempt.requests().keys() == set("cde")
    assert promised(attempt, None, None, None)
    assert attempt.phase is Phase.ACCEPT
    assert attempt.requests() == {name: Accept(CLUSTER, 3, VOTERS[name], BALLOT, OWN) for name in "abcde"}
    for name in "cde":
        assert attempt.outcome is None
        assert not attempt.take(name, Accepted(BALLOT))
    assert attempt.outcome == Decided(OWN, own=True)


def test_the_accepted_value_with_the_highest_ballot_is_completed() -> None:
    attempt = attempt_of()
    low, high = (Ballot(2, 9), OWN), (Ballot(4, 1), OTHER)
    assert promised(attempt, low, high, (Ballot(3, 3), OWN))
    assert attempt.value == OTHER
    assert attempt.completes_other
    for name in "abc":
        attempt.take(name, Accepted(BALLOT))
    assert attempt.outcome == Decided(OTHER, own=False)


def test_late_repeated_and_foreign_replies_do_no_harm() -> None:
    attempt = attempt_of()
    replies: list[tuple[str, Reply[Value]]] = [
        ("a", Promise(BALLOT, None)),
        ("a", Promise(BALLOT, None)),
        ("b", Promise(Ballot(5, 49), None)),
        ("c", Accepted(BALLOT)),
        ("z", Promise(BALLOT, None)),
        ("d", Refused(BALLOT)),
        ("d", Refused(Ballot(4, 99))),
        ("e", Stranger("other birth")),
        ("e", DecidedAlready(Value(3, CLUSTER, VOTERS))),
        ("e", DecidedAlready(Value(9, b"theirs", VOTERS))),
    ]
    for name, reply in replies:
        assert not attempt.take(name, reply)
    assert (attempt.agreed, attempt.outcome, attempt.phase) == ({"a"}, None, Phase.PREPARE)
    assert promised(attempt, None, None, None)
    # The value was chosen: what a late promise brings is not completed.
    assert not attempt.take("d", Promise(BALLOT, (Ballot(4, 1), OTHER)))
    attempt.take("a", Accepted(Ballot(5, 49)))
    assert attempt.value == OWN
    assert attempt.agreed == set()


def test_an_attempt_is_overtaken_by_the_highest_ballot_and_begins_no_phase_after() -> None:
    attempt = attempt_of()
    for number in (7, 9, 8):
        attempt.take("a", Refused(Ballot(number, 0)))
    assert attempt.outcome == Overtaken(Ballot(9, 0))
    assert not promised(attempt, None, None, None, None)
    assert attempt.phase is Phase.PREPARE


def test_what_enough_accepted_is_decided_even_if_others_refuse() -> None:
    attempt = attempt_of()
    promised(attempt, None, None, None)
    attempt.take("a", Refused(Ballot(9, 0)))
    for name in "bcd":
        attempt.take(name, Accepted(BALLOT))
    attempt.take("e", DecidedAlready(NEWER))
    attempt.take("a", Refused(Ballot(10, 0)))
    assert attempt.outcome == Decided(OWN, own=True)


def test_the_newest_epoch_is_learned_with_the_voter_that_has_it() -> None:
    attempt = attempt_of()
    attempt.take("d", Refused(Ballot(9, 0)))
    attempt.take("a", DecidedAlready(OTHER))
    attempt.take("b", DecidedAlready(NEWER))
    attempt.take("c", DecidedAlready(OTHER))
    attempt.take("d", Refused(Ballot(9, 0)))
    assert attempt.outcome == Learned(NEWER, teller=2)


def test_a_voter_that_is_behind_is_named_until_it_agrees() -> None:
    attempt = attempt_of()
    attempt.take("a", Behind(1))
    attempt.take("b", Behind(3))
    assert attempt.behind == {"a": 1}
    attempt.take("a", Promise(BALLOT, None))
    attempt.take("a", Behind(1))
    assert attempt.behind == {}


def test_a_problem_names_the_others_with_their_reasons() -> None:
    attempt = attempt_of()
    promised(attempt, None, None)
    attempt.take("c", Stranger("another store"))
    text = attempt.problem({"d": "no answer in 2 s", "a": "broke off"})
    assert text == "2 of 5 members agreed (c: another store; d: no answer in 2 s; e: no answer)"
    assert promised(attempt, None, None, None, None, None) is False
    for name in VOTERS:
        attempt.take(name, Accepted(BALLOT))
    assert attempt.problem({}) == "5 of 5 members agreed"


FORMING = {"a": 1, "b": 2, "c": 3}
FIRST = Value(1, b"mine", FORMING)


def test_a_first_epoch_with_the_same_stores_is_completed() -> None:
    attempt = attempt_of(FIRST, FORMING)
    theirs = Value(1, b"theirs", FORMING)
    assert not dead_first_epoch(theirs, FORMING)
    assert promised(attempt, None, (Ballot(1, 1), theirs), None)
    assert attempt.value == theirs
    attempt.take("a", Accepted(BALLOT))
    attempt.take("b", Accepted(BALLOT))
    assert attempt.outcome is None
    attempt.take("c", Accepted(BALLOT))
    assert attempt.outcome == Decided(theirs, own=False)


@pytest.mark.parametrize("voters", [{**FORMING, "c": 9}, {"a": 1, "b": 2}, {**FORMING, "d": 4}])
def test_a_first_epoch_with_other_stores_is_replaced_and_hides_no_other(voters: dict[str, int]) -> None:
    dead = Value(1, b"theirs", voters)
    assert dead_first_epoch(dead, FORMING)
    attempt = attempt_of(FIRST, FORMING)
    assert promised(attempt, (Ballot(4, 0), dead), None, None)
    assert attempt.value == FIRST
    attempt = attempt_of(FIRST, FORMING)
    alive = Value(1, b"alive", FORMING)
    assert promised(attempt, (Ballot(4, 0), dead), (Ballot(1, 0), alive), None)
    assert attempt.value == alive


def test_of_later_epochs_no_accepted_value_is_dead() -> None:
    attempt = attempt_of()
    without_e = Value(4, CLUSTER, FORMING, "e is dropped")
    assert promised(attempt, (Ballot(1, 1), without_e), None, None)
    assert attempt.value == without_e


def test_who_has_a_cluster_already_is_believed_whichever_it_is() -> None:
    attempt = attempt_of(FIRST, FORMING)
    attempt.take("b", DecidedAlready(NEWER))
    assert attempt.outcome == Learned(NEWER, teller=2)
