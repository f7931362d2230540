"""The turn of a holder, and what it takes from a message that comes from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.errors import InvalidRoundError
from gossipnode.core.ring.turn import (
    BUSY_RETRIES,
    RING_MAX_NODES,
    EndRound,
    Forward,
    HolderTurn,
    HopEnd,
    RepairWith,
    RoundMessage,
    check_message,
    hop_limit,
)
from tests.core.ring.rounds import message
from tests.core.support import examples


@pytest.mark.parametrize(("nodes", "hops"), [(0, 0), (1, 0), (2, 1), (3, 3), (4, 5), (5, 7), (1024, 2045)])
def test_a_round_of_n_nodes_makes_2n_minus_3_hops(nodes: int, hops: int) -> None:
    assert hop_limit(nodes) == hops
    assert message(*map(str, range(nodes))).limit == hops


# Messages from outside


def checked(
    given_: RoundMessage, own: str = "a", replicas: tuple[str, ...] = ("a", "b", "c")
) -> RoundMessage:
    return check_message(given_, own_name=own, members={"a", "b", "c", "d"}, replicas=replicas)


def problem(given_: RoundMessage, own: str = "a") -> str:
    with pytest.raises(InvalidRoundError) as error:
        checked(given_, own)
    return str(error.value)


def test_a_message_that_is_right_stays_as_it_is() -> None:
    right = message("a", "b", "c", count=2)
    assert checked(right) == right


def test_doubles_and_strangers_are_left_out() -> None:
    given_ = message("x", "b", "d", "a", "b", "", "a", "c")
    assert checked(given_).nodes == ("b", "a", "c")
    assert checked(given_).limit == 3


def test_the_hop_limit_counts_without_doubles_and_strangers() -> None:
    nodes = ("a", "b", "c", "a", "b", "c", "x", "y", "z")
    assert checked(message(*nodes, count=2)).count == 2
    assert problem(message(*nodes, count=3)) == "current_propagation_count 3: expected less than 3 hops"


@pytest.mark.parametrize("count", [-1, -(2**31), 3, 4, 2**31 - 1, 2**63])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    assert problem(message("a", "b", "c", count=count)) == (
        f"current_propagation_count {count}: expected less than 3 hops"
    )


def test_a_round_of_one_node_starts_at_zero_and_no_higher() -> None:
    assert checked(message("a")).nodes == ("a",)
    assert problem(message("a", count=1)).startswith("current_propagation_count 1:")


def test_an_origin_that_is_no_member_is_refused() -> None:
    assert problem(message("a", "b", origin="x" * 100)) == f"origin {'x' * 80!r} is no member of this cluster"
    # A member that is no replica of the shard may still start a round.
    assert checked(message("a", "b", origin="d")).origin == "d"


@pytest.mark.parametrize("nodes", [(), ("b", "c"), ("x",)])
def test_a_round_that_does_not_name_us_is_refused(nodes: tuple[str, ...]) -> None:
    assert problem(message(*nodes)) == "nodes of the round: 'a' is not among those that hold g/0"


def test_a_node_that_holds_no_copy_refuses_even_if_it_is_named() -> None:
    given_ = message("a", "d", "b")
    assert problem(given_, own="d") == "nodes of the round: 'd' is not among those that hold g/0"


def test_the_number_of_nodes_is_bounded() -> None:
    assert checked(message(*["a", "b"] * (RING_MAX_NODES // 2))).nodes == ("a", "b")
    assert problem(message(*["a"] * (RING_MAX_NODES + 1))) == "1025 nodes: expected 1024 at most"


names = st.sampled_from(["a", "b", "c", "d", "x", ""])


@pytest.mark.slow
@given(st.lists(names, max_size=8), st.integers(-3, 12), names, st.sets(st.sampled_from("abcd")), names)
@examples(150)
def test_a_message_that_is_taken_is_safe_whatever_came(
    nodes: list[str], count: int, origin: str, replicas: set[str], own: str
) -> None:
    given_ = message(*nodes, count=count, origin=origin)
    try:
        taken = check_message(given_, own_name=own, members={"a", "b", "c", "d"}, replicas=replicas)
    except InvalidRoundError:
        return
    assert own in taken.nodes
    assert len(set(taken.nodes)) == len(taken.nodes)
    assert set(taken.nodes) <= replicas
    assert 0 <= taken.count <= max(0, taken.limit - 1)
    # Whatever happens to every try, the turn of the holder ends.
    turn = HolderTurn(taken, own)
    steps = 0
    step = turn.next_step()
    while isinstance(step, RepairWith):
        steps += 1
        assert step.peer != own
        step = turn.repaired(HopEnd.BUSY)
    assert isinstance(step, EndRound)
    assert steps == ((BUSY_RETRIES + 1) * (len(taken.nodes) - 1) if taken.limit else 0)


# The turn of a holder


def test_a_holder_repairs_with_its_successor_and_hands_the_message_on() -> None:
    turn = HolderTurn(message("a", "b", "c"), "a")
    assert turn.count == 0
    assert turn.next_step() == RepairWith("b", 0)
    assert turn.next_step() == RepairWith("b", 0)
    assert turn.repaired(HopEnd.REPAIRED) == Forward("b", message("a", "b", "c", count=1))
    assert turn.count == 1


@pytest.mark.parametrize(("own", "successors"), [("a", "bcd"), ("b", "cda"), ("c", "dab"), ("d", "abc")])
def test_the_ring_goes_round(own: str, successors: str) -> None:
    turn = HolderTurn(message("a", "b", "c", "d"), own)
    tried = []
    step = turn.next_step()
    while isinstance(step, RepairWith):
        tried.append(step.peer)
        step = turn.repaired(HopEnd.SKIPPED)
    assert tried == list(successors)
    assert step == EndRound("no successor is left")
    assert turn.count == 0


@pytest.mark.parametrize("end", [HopEnd.SKIPPED, HopEnd.FAILED])
def test_a_successor_that_cannot_be_repaired_with_is_left_out(end: HopEnd) -> None:
    turn = HolderTurn(message("a", "b", "c"), "a")
    assert turn.repaired(end) == RepairWith("c", 0)
    assert turn.count == 0
    assert turn.repaired(HopEnd.EQUAL) == Forward("c", message("a", "b", "c", count=1))


def test_a_busy_successor_is_asked_again_a_few_times_and_then_left_out() -> None:
    assert BUSY_RETRIES == 3
    turn = HolderTurn(message("a", "b", "c"), "a")
    assert turn.next_step() == RepairWith("b", 0)
    assert [turn.repaired(HopEnd.BUSY) for _ in range(3)] == [RepairWith("b", n) for n in (1, 2, 3)]
    assert turn.repaired(HopEnd.BUSY) == RepairWith("c", 0)
    assert turn.repaired(HopEnd.BUSY) == RepairWith("c", 1)
    assert turn.repaired(HopEnd.EQUAL) == Forward("c", message("a", "b", "c", count=1))


def test_a_skip_after_busy_starts_the_count_of_tries_again() -> None:
    turn = HolderTurn(message("a", "b", "c"), "a")
    assert turn.repaired(HopEnd.BUSY) == RepairWith("b", 1)
    assert turn.repaired(HopEnd.FAILED) == RepairWith("c", 0)


def test_the_last_hop_ends_the_round_without_handing_it_on() -> None:
    turn = HolderTurn(message("a", "b", "c", count=2), "c")
    assert turn.repaired(HopEnd.REPAIRED) == EndRound("")
    assert turn.count == 3
    assert turn.next_step() == EndRound("")


def test_a_round_whose_hops_are_used_up_does_nothing() -> None:
    assert HolderTurn(message("a", "b", count=1), "a").next_step() == EndRound("")
    assert HolderTurn(message("a"), "a").next_step() == EndRound("")


def test_a_successor_that_took_records_but_not_the_message_counts_as_a_hop() -> None:
    turn = HolderTurn(message("a", "b", "c"), "a")
    assert turn.repaired(HopEnd.EQUAL) == Forward("b", message("a", "b", "c", count=1))
    assert turn.not_forwarded() == RepairWith("c", 0)
    assert turn.repaired(HopEnd.EQUAL) == Forward("c", message("a", "b", "c", count=2))
    assert turn.not_forwarded() == EndRound("no successor is left")


def test_a_turn_needs_a_checked_message() -> None:
    for given_ in (message("b", "c"), message("a", "b", "a"), message("a", "b", count=2)):
        with pytest.raises(AssertionError):
            HolderTurn(given_, "a")


def test_a_try_that_nobody_asked_for_is_a_fault_of_the_caller() -> None:
    turn = HolderTurn(message("a", "b", count=1), "a")
    with pytest.raises(AssertionError):
        turn.repaired(HopEnd.EQUAL)
