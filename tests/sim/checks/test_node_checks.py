"""Each check of nodes, and of what is left at the end, on a planted fault and where nothing is wrong."""

from __future__ import annotations

import pytest

from gossipnode.sim.checks import end_checks
from gossipnode.sim.checks.key_story import group_of
from gossipnode.sim.checks.node_checks import ANSWER_SECONDS, AVAILABLE_AFTER_SECONDS
from gossipnode.sim.history.history import (
    CLOCK,
    DOWN,
    MEMBERS,
    Defect,
    Harm,
    NodeEnded,
    Period,
    Usage,
    WatchView,
    WentBack,
)
from gossipnode.sim.history.operations import Failed, Get
from tests.sim.checks.stories import KEY, OTHER, Story

GROUP = group_of(KEY)
SERVED = AVAILABLE_AFTER_SECONDS + 1


def test_a_version_that_goes_down() -> None:
    story = Story()
    story.history.went_back.append(WentBack(1.0, "b", KEY, "20", "10"))
    assert story.broken() == {"always_versions_go_up"}


@pytest.mark.parametrize("expected", [True, False])
def test_a_node_that_ends(expected: bool) -> None:
    story = Story()
    story.history.ended_nodes.append(NodeEnded(1.0, "b", "another b runs", expected))
    assert story.broken() == (set() if expected else {"always_nodes_stay"})


def test_a_node_that_finds_a_defect_of_its_own() -> None:
    story = Story()
    story.history.defects.append(Defect(1.0, "b", "internal error"))
    assert story.broken() == {"always_no_defects"}


@pytest.mark.parametrize(
    ("left_out", "complains"), [("b (is down)", False), ("b (is down), c (is down)", True)]
)
def test_replicas_that_are_needed_and_not_asked(left_out: str, complains: bool) -> None:
    """Two of three replicas are a quorum: one may be left out, and not two."""
    story = Story()
    story.at_one_node = True
    story.history.groups = {GROUP: 3}
    said = Failed("UnreachableError", f"a: sw/0: 1 of 3 replicas answered; not: {left_out}", maybe=True)
    story.add(Get(KEY), said, (1, 2))
    assert story.broken() == ({"always_needed_replicas_are_asked"} if complains else set())
    story.history.harms.append(Harm(MEMBERS, "d", 0, 9))
    assert not story.broken()


def test_a_failure_while_a_majority_serves() -> None:
    story = Story()
    story.history.served.append(Period(0, 1000))
    story.fail((SERVED, SERVED + 10), "x")
    assert story.broken() == {"eventually_available"}


@pytest.mark.parametrize(
    ("second", "kind", "complains"),
    [("b", DOWN, True), ("c", DOWN, False), ("c", CLOCK, True), ("a", CLOCK, False)],
)
def test_a_majority_is_the_same_one_all_the_time(second: str, kind: str, complains: bool) -> None:
    """With three replicas one may be away. When it is another one now, members have yet to find out."""
    story = Story()
    story.at_one_node = True
    story.history.served.append(Period(0, 1000))
    story.history.harms += [Harm(DOWN, "b", 1, SERVED - 5), Harm(kind, second, SERVED - 4, 1000)]
    story.fail((SERVED, SERVED + 10), "x")
    assert story.broken() == ({"eventually_available"} if complains else set())


@pytest.mark.parametrize(
    ("ended", "complains"),
    [
        (NodeEnded(5.0, "a", "the cluster has forgotten a", True, forgotten=True), False),
        (NodeEnded(5.0, "a", "it was asked to", True), True),
        (NodeEnded(5.0, "b", "the cluster has forgotten b", True, forgotten=True), True),
        (NodeEnded(999.0, "a", "the cluster has forgotten a", True, forgotten=True), True),
    ],
)
def test_a_node_that_is_a_member_no_more_serves_nobody(ended: NodeEnded, complains: bool) -> None:
    story = Story()
    story.at_one_node = True
    story.history.served.append(Period(0, 1000))
    story.history.ended_nodes.append(ended)
    story.fail((SERVED, SERVED + 10), "x")
    assert story.broken() & {"eventually_available"} == ({"eventually_available"} if complains else set())


def test_no_answer_while_a_majority_serves() -> None:
    story = Story()
    story.history.served.append(Period(0, 1000))
    story.add(Get(KEY), None, (SERVED, None))
    assert story.broken() == {"eventually_available"}


@pytest.mark.parametrize(
    ("period", "at", "ack"),
    [
        pytest.param((10, 1000), (SERVED, SERVED + 10), "quorum", id="too soon"),
        pytest.param((0, SERVED + 9), (SERVED, SERVED + 10), "quorum", id="not to its end"),
        pytest.param((0, 1000), (SERVED, SERVED + 10), "all", id="at all replicas"),
        pytest.param((0, SERVED + ANSWER_SECONDS - 1), (SERVED, None), "quorum", id="answer still to come"),
    ],
)
def test_failures_that_may_be(period: tuple[float, float], at: tuple[float, float | None], ack: str) -> None:
    story = Story(ack=ack)
    story.history.served.append(Period(*period))
    if at[1] is None:
        story.add(Get(KEY), None, at)
    else:
        story.fail(at, "x")
    assert not story.broken()


def test_replicas_that_differ_at_the_end() -> None:
    story = Story()
    story.merge((0, 1), "x", 10, ack="one")
    held = {KEY: (10, 0, {"x": 1})}
    story.held(held, held, {}, roots="rrs")
    assert story.broken() == {"finally_stores_are_equal"}


def test_roots_that_differ_over_equal_records() -> None:
    story = Story()
    story.held({}, {}, {}, roots="rrs")
    assert story.broken() == {"finally_stores_are_equal", "finally_equal_content_has_equal_roots"}


def test_one_root_over_different_records() -> None:
    story = Story()
    story.held({KEY: (10, 11, {})}, {OTHER: (10, 11, {})}, {}, roots="rrs")
    assert "finally_equal_content_has_equal_roots" in story.broken()


def test_replicas_that_are_equal_at_the_end() -> None:
    story = Story()
    held: dict[str, tuple[int, int, dict[str, int]]] = {KEY: (10, 11, {})}
    story.held(held, dict(held), held)
    assert not story.broken()


def watching(**records: tuple[int, dict[str, int]]) -> WatchView:
    return WatchView(
        "watcher", "n", {KEY if key == "key" else OTHER: told for key, told in records.items()}, True
    )


@pytest.mark.parametrize(
    ("told", "right"),
    [
        (watching(key=(10, {"x": 1})), True),
        (watching(key=(10, {"x": 1}), other=(7, {})), False),
        (watching(key=(9, {"x": 1})), False),
        (watching(key=(10, {"x": 2})), False),
        (watching(), False),
        (WatchView("watcher", "n", {KEY: (10, {"x": 1})}), False),
        (WatchView("watcher", "deleted", {}, True), True),
    ],
)
def test_a_watch_has_what_is_there_at_the_end(told: WatchView, right: bool) -> None:
    story = Story()
    held = {KEY: (10, 0, {"x": 1}), OTHER: (10, 11, {})}
    story.held(held, held, held)
    story.history.watched.append(told)
    assert ("finally_watches_have_what_is_there" not in story.broken()) is right


def usage(tasks: int = 1, connections: int = 1, memory: int = 1, steps: int = 1) -> Usage:
    return Usage("b", tasks, connections, memory, steps)


@pytest.mark.parametrize(
    ("seen", "check"),
    [
        (usage(steps=end_checks.STEPS_A_MINUTE_MAX + 1), "finally_nothing_spins"),
        (usage(tasks=end_checks.TASKS_MAX + 1), "finally_nothing_piles_up"),
        (usage(connections=end_checks.CONNECTIONS_MAX + 1), "finally_nothing_piles_up"),
        (usage(memory=end_checks.MEMORY_BYTES_MAX + 1), "finally_nothing_piles_up"),
    ],
)
def test_an_idle_node_that_does_or_holds_too_much(seen: Usage, check: str) -> None:
    story = Story()
    story.history.usage.append(seen)
    assert story.broken() == {check}


def test_an_idle_node_at_its_limits() -> None:
    story = Story()
    limits = usage(
        end_checks.TASKS_MAX,
        end_checks.CONNECTIONS_MAX,
        end_checks.MEMORY_BYTES_MAX,
        end_checks.STEPS_A_MINUTE_MAX,
    )
    story.history.usage.append(limits)
    assert not story.broken()


def test_a_run_that_does_not_come_to_its_end() -> None:
    story = Story()
    story.history.spins = "no time passes"
    assert story.broken() == {"finally_nothing_spins"}
