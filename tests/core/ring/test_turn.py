from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.errors import InvalidRoundError
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.admission import HANDLED_MAX_ROUNDS, Admission, Mailbox
from gossipnode.core.ring.turn import (
    BUSY_RETRIES,
    RING_MAX_NODES,
    Cause,
    EndRound,
    Forward,
    HolderTurn,
    HopEnd,
    RepairWith,
    RoundMessage,
    check_message,
    hop_limit,
)
from tests.core.support import SHARD, examples


def message(
    *nodes: str,
    count: int = 0,
    origin: str = "a",
    round_: str = "r",
    cause: Cause = Cause.SCHEDULED,
    shard: ShardId = SHARD,
) -> RoundMessage:
    return RoundMessage(round_, shard, origin, nodes, count, cause)


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


def test_so_many_nodes_may_be_named_and_no_more() -> None:
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


def test_a_skip_after_busy_starts_the_count_of_tries_anew() -> None:
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


# The mailbox


def test_one_message_waits_for_each_shard_and_the_latest_wins() -> None:
    box = Mailbox()
    other = ShardId("g", 1)
    first, second, elsewhere = message("a", count=0), message("a", "b"), message("a", shard=other)
    assert box.put(first) is None
    assert box.put(elsewhere) is None
    assert box.put(second) is first
    assert box.take(SHARD) is second
    assert box.take(SHARD) is None
    assert box.take(other) is elsewhere


# Admission


def refusal(admission: Admission, given_: RoundMessage, now: float, half_interval: float = 100.0) -> str:
    return admission.refusal(given_, now=now, half_interval=half_interval)


def test_a_message_is_taken_once() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", round_="r1"), 0) == ""
    assert refusal(admission, message("a", "b", round_="r1"), 1) == "handled already"
    # The same round comes back with a higher count, and another one with the same count.
    assert refusal(admission, message("a", "b", round_="r1", count=1), 1) == ""
    assert refusal(admission, message("a", "b", round_="r2"), 1) == ""


def test_a_foreign_round_has_no_id_and_is_never_a_double() -> None:
    admission = Admission()
    for now in range(3):
        assert refusal(admission, message("a", "b", round_=""), now) == ""


def test_so_many_messages_are_remembered() -> None:
    admission = Admission()
    for number in range(HANDLED_MAX_ROUNDS):
        assert refusal(admission, message("a", round_=f"r{number}"), 0) == ""
    assert refusal(admission, message("a", round_="r0"), 0) == "handled already"
    assert refusal(admission, message("a", round_="one more"), 0) == ""
    assert refusal(admission, message("a", round_="r1"), 0) == "handled already"
    assert refusal(admission, message("a", round_="r0"), 0) == "", "the oldest one is forgotten"
    assert len(admission._handled) == HANDLED_MAX_ROUNDS


def test_a_scheduled_round_on_the_heels_of_another_origins_is_refused() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 1000.0) == ""
    late = message("a", "b", origin="b", round_="")
    assert refusal(admission, late, 1099.9) == "a round of a was seen 100 s ago"
    assert refusal(admission, late, 1100.0) == ""


def test_another_shard_is_another_matter() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2", shard=ShardId("g", 1)), 1) == ""


def test_the_same_origin_may_go_on() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="a", round_="2"), 1) == ""


@pytest.mark.parametrize("cause", [Cause.ASKED, Cause.EVENT])
def test_a_round_asked_for_is_never_refused(cause: Cause) -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2", cause=cause), 1) == ""


def test_a_round_under_way_is_never_dropped_in_the_middle() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", "c", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", "c", origin="b", round_="2", count=1), 1) == ""


def test_a_round_seen_in_the_middle_counts_as_seen() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", "c", origin="a", round_="1", count=1), 0) == ""
    assert refusal(admission, message("a", "b", "c", origin="b", round_="2"), 1) != ""


def test_a_refused_round_does_not_push_the_time_on() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2"), 99) != ""
    assert refusal(admission, message("a", "b", origin="b", round_="3"), 100) == ""


def test_a_round_of_ones_own_does_not_hide_another_origins() -> None:
    """a's round was seen, then one asked for at b; b's scheduled one is still on the heels of a's."""
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2", cause=Cause.ASKED), 10) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="3"), 20) == (
        "a round of a was seen 20 s ago"
    )
    assert refusal(admission, message("a", "b", origin="b", round_="4"), 100) == ""


def test_origins_that_are_long_past_are_forgotten() -> None:
    admission = Admission()
    for number in range(1000):
        given_ = message("a", "b", origin=f"o{number}", round_=f"r{number}", cause=Cause.ASKED)
        assert refusal(admission, given_, now=number * 200.0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="x"), 1000 * 200.0) == ""
