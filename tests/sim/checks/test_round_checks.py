"""Each check of rounds on a planted fault, and on a history in which nothing is wrong."""

from __future__ import annotations

import pytest

from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.sim.checks.round_checks import CALM_BEFORE_SECONDS, MADE_GOOD_SECONDS, ROUND_ENDS_SECONDS
from gossipnode.sim.history.history import CLOCK, DISK, DOWN, Harm, NodeEnded
from gossipnode.sim.history.operations import NOBODYS
from tests.sim.checks.stories import EQUAL, FAILED, MOVED, ROUND, SHARD, Story

LATE = 10 * CALM_BEFORE_SECONDS
SPAN = (LATE, LATE + 1)


@pytest.mark.parametrize(("outcome", "hop"), [("converged", EQUAL), ("repaired", MOVED)])
def test_a_round_that_says_equal_and_is_not(outcome: str, hop: object) -> None:
    story = Story()
    story.round(SPAN, outcome, EQUAL, EQUAL, MOVED if hop is MOVED else EQUAL, after=False)
    assert story.broken() == {"always_rounds_tell_the_truth"}


def test_a_round_that_says_converged_of_replicas_that_differed() -> None:
    story = Story()
    story.round(SPAN, "converged", EQUAL, EQUAL, EQUAL, before=False)
    assert story.broken() == {"always_rounds_tell_the_truth"}


@pytest.mark.parametrize(
    ("others", "broken"), [(["repaired"], False), (["converged"], False), (["incomplete"], True), ([], True)]
)
def test_a_round_is_not_needed_only_after_one_that_ended_well(others: list[str], broken: bool) -> None:
    story = Story()
    for outcome in others:
        story.round((1, 2), outcome)
    story.round(SPAN, "not needed", cause="scheduled")
    assert ("always_rounds_tell_the_truth" in story.broken()) == broken


def test_another_round_may_have_repaired_what_this_one_found_equal() -> None:
    story = Story()
    story.round(SPAN, "converged", EQUAL, EQUAL, EQUAL, before=False)
    story.round(SPAN, "repaired", MOVED, EQUAL, EQUAL, before=False)
    assert not story.broken()


def test_replicas_may_differ_after_a_round_in_which_somebody_wrote() -> None:
    story = Story()
    story.merge((LATE - 1, LATE), "x", 10)
    story.round(SPAN, "repaired", MOVED, EQUAL, EQUAL, before=False, after=False)
    assert not story.broken()


def test_what_is_written_to_another_group_is_no_excuse() -> None:
    story = Story()
    story.import_((LATE - 1, LATE), "x", "m/k/1")
    story.round(SPAN, "repaired", MOVED, EQUAL, EQUAL, after=False)
    assert story.broken() == {"always_rounds_tell_the_truth"}


def test_replicas_may_differ_after_a_round_in_which_something_broke() -> None:
    story = Story()
    story.history.tell(LATE + 0.5, "b", "disk goes back", "fault")
    story.round(SPAN, "repaired", MOVED, EQUAL, EQUAL, after=False)
    assert not story.broken()


def test_a_round_that_says_converged_and_moved_a_record() -> None:
    story = Story()
    story.round(SPAN, "converged", MOVED, EQUAL, EQUAL)
    assert story.broken() == {"always_rounds_claim_what_their_hops_show"}


def test_a_round_that_says_repaired_over_a_hop_that_failed() -> None:
    story = Story()
    story.round(SPAN, "repaired", MOVED, FAILED, EQUAL)
    assert story.broken() == {"always_rounds_claim_what_their_hops_show"}


def test_a_round_that_says_repaired_without_the_report_of_a_hop() -> None:
    story = Story()
    story.round(SPAN, "repaired", MOVED, EQUAL)
    assert story.broken() == {"always_rounds_claim_what_their_hops_show"}


def test_a_round_that_says_converged_of_a_replica_that_holds_no_such_shard() -> None:
    story = Story()
    story.round(SPAN, "converged", EQUAL, EQUAL, EQUAL, lacking=("b",))
    assert story.broken() == {"always_rounds_claim_what_their_hops_show"}
    story.history.deleted_groups[SHARD.group] = LATE
    assert not story.broken()


def test_a_round_that_blames_a_holder_which_could_speak() -> None:
    story = Story()
    story.round(SPAN, "incomplete", blamed("holder b does not report"))
    assert story.broken() == {"always_rounds_hear_of_their_holders"}


@pytest.mark.parametrize(
    ("kind", "ends", "complains"),
    [(DOWN, LATE - 20, False), (DOWN, LATE - 40, True), (DISK, LATE + 9, True), (CLOCK, LATE + 9, True)],
)
def test_what_keeps_a_holder_from_speaking(kind: str, ends: float, complains: bool) -> None:
    """A node that was away lately is excused; one with a slow disk or a wrong clock can speak."""
    story = Story()
    story.history.harms.append(Harm(kind, "c", 1, ends))
    story.round(SPAN, "incomplete", blamed("holder b does not report"))
    assert story.broken() == ({"always_rounds_hear_of_their_holders"} if complains else set())


def test_a_holder_may_end_by_itself() -> None:
    story = Story()
    story.history.ended_nodes.append(NodeEnded(LATE, "b", "its disk has failed", True))
    story.round(SPAN, "incomplete", blamed("holder b does not report"))
    assert not story.broken()


@pytest.mark.parametrize(("by", "complains"), [(ROUND, True), ("r2", False)])
def test_a_round_is_overtaken_by_others_alone(by: str, complains: bool) -> None:
    story = Story()
    story.round(SPAN, "incomplete", blamed(f"overtaken at b by round {by}"))
    assert story.broken() == ({"always_rounds_hear_of_their_holders"} if complains else set())


def blamed(reason: str) -> Hop:
    """What stands for a hop of which nobody tells."""
    return Hop("b", "", HopEnd.SKIPPED, reason)


@pytest.mark.parametrize("outcome", ["incomplete", ""])
def test_a_round_that_looks_broken_in_a_calm_cluster(outcome: str) -> None:
    story = Story()
    story.calm(0, LATE + 9)
    story.round(SPAN, outcome, FAILED)
    assert story.broken() == {"always_calm_rounds_are_complete"}


def test_what_broke_long_ago_or_happened_besides_is_no_excuse() -> None:
    story = Story()
    story.calm(0, LATE + 9)
    story.history.tell(0, "b", "crash", "fault")
    story.history.tell(LATE, "b", "a line of the log")
    story.round(SPAN, "incomplete", FAILED)
    story.round((LATE + 2, LATE + 3), "repaired", MOVED, EQUAL, EQUAL, after=False)
    assert story.broken() == {"always_calm_rounds_are_complete", "always_rounds_tell_the_truth"}


def test_a_round_may_be_incomplete_soon_after_a_fault() -> None:
    story = Story()
    story.calm(LATE - CALM_BEFORE_SECONDS + 1, LATE + 9)
    story.round(SPAN, "incomplete", FAILED)
    assert not story.broken()


def test_a_round_may_be_incomplete_if_a_fault_comes() -> None:
    story = Story()
    story.calm(0, LATE + 0.5)
    story.round(SPAN, "incomplete", FAILED)
    assert not story.broken()


def test_a_round_may_be_incomplete_if_an_operator_acts() -> None:
    story = Story()
    story.calm(0, LATE + 9)
    story.history.tell(LATE - 1, "a", "forget c", "fault")
    story.round(SPAN, "incomplete", FAILED)
    assert not story.broken()


@pytest.mark.parametrize(
    ("down", "hop", "after", "passed_by"),
    [
        pytest.param((0, LATE + 9), FAILED, False, False, id="others differ"),
        pytest.param((0, LATE + 9), FAILED, True, True, id="others equal"),
        pytest.param((LATE - 1, LATE + 9), FAILED, False, True, id="it went down just before"),
        pytest.param((0, LATE + 0.5), FAILED, False, True, id="it came back meanwhile"),
        pytest.param(
            (0, LATE + 9), Hop("a", "c", HopEnd.FAILED, "c is away"), False, True, id="another was left out"
        ),
    ],
)
def test_a_round_past_a_replica_that_is_down(
    down: tuple[float, float], hop: Hop, after: bool, passed_by: bool
) -> None:
    story = Story()
    story.history.harms.append(Harm(DOWN, "b", *down))
    story.round(SPAN, "incomplete", hop, after=after)
    assert story.broken() == (set() if passed_by else {"always_rounds_pass_by_the_dead"})


def test_what_was_put_past_every_rule_is_no_straggler() -> None:
    story = Story()
    put = story.fail((LATE - 1, LATE - 1), "x")
    story.history.operations[put - 1].client = NOBODYS
    story.round(SPAN, "repaired", MOVED, EQUAL, EQUAL, before=False, after=False)
    assert story.broken() == {"always_rounds_tell_the_truth"}


@pytest.mark.parametrize(
    ("cause", "calm", "later", "good"),
    [
        pytest.param("scheduled", MADE_GOOD_SECONDS + 200, None, False, id="no other"),
        pytest.param(
            "scheduled", MADE_GOOD_SECONDS + 200, "incomplete", False, id="another that ended badly"
        ),
        pytest.param("scheduled", MADE_GOOD_SECONDS + 200, "converged", True, id="another one"),
        pytest.param("scheduled", MADE_GOOD_SECONDS + 50, None, True, id="never calm for long"),
        pytest.param("asked", MADE_GOOD_SECONDS + 200, None, True, id="it was asked for"),
    ],
)
def test_a_round_that_is_lost_with_its_origin(cause: str, calm: float, later: str | None, good: bool) -> None:
    story = Story()
    story.calm(100, calm)
    story.round((10, 20), "", cause=cause)
    if later is not None:
        hops = (FAILED,) if later == "incomplete" else (EQUAL, EQUAL, EQUAL)
        story.round((500, 501), later, *hops, cause="scheduled")
    broken = story.broken() - {"always_calm_rounds_are_complete"}
    assert broken == (set() if good else {"eventually_lost_rounds_are_made_good"})


def test_a_round_without_end() -> None:
    story = Story()
    story.round((0, ROUND_ENDS_SECONDS + 1), "incomplete", FAILED)
    assert story.broken() == {"eventually_rounds_end"}


def test_a_final_round_that_does_not_repair() -> None:
    story = Story()
    story.round(SPAN, "incomplete", FAILED, final=True)
    assert story.broken() == {"finally_rounds_repair"}


def test_a_final_round_of_too_many_hops() -> None:
    story = Story()
    story.round(SPAN, "repaired", MOVED, EQUAL, EQUAL, EQUAL, final=True)
    assert story.broken() == {"finally_rounds_repair", "always_rounds_claim_what_their_hops_show"}


def test_a_final_round_that_lacks_the_report_of_a_hop() -> None:
    story = Story()
    story.round(SPAN, "repaired", MOVED, EQUAL, final=True)
    assert story.broken() == {"finally_rounds_repair", "always_rounds_claim_what_their_hops_show"}


def test_a_second_final_round_that_still_repairs() -> None:
    story = Story()
    story.round((LATE + 5, LATE + 6), "repaired", MOVED, EQUAL, EQUAL, final=True)
    story.round(SPAN, "repaired", MOVED, EQUAL, EQUAL, final=True)
    assert story.broken() == {"finally_rounds_repair"}


def test_final_rounds_as_they_must_be() -> None:
    story = Story()
    story.calm(0, LATE + 9)
    story.round(SPAN, "repaired", MOVED, EQUAL, MOVED, before=False, final=True)
    story.round((LATE + 5, LATE + 6), "converged", EQUAL, EQUAL, EQUAL, final=True)
    assert not story.broken()
