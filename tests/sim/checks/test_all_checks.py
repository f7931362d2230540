"""The checks together: their names, and what they say of random histories, kept and broken."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gossipnode.sim.checks.all_checks import CHECKS, judge
from gossipnode.sim.history.history import History
from tests.sim.checks.model_store import Bug, ModelStore
from tests.sim.checks.stories import Story, broken

STEP_MAX = 2**20
steps = st.lists(st.integers(0, STEP_MAX), max_size=150)


def random_history(bug: Bug, seed: int, length: int = 200) -> History:
    rng = random.Random(seed)
    return ModelStore(bug).run([rng.randrange(STEP_MAX) for _ in range(length)])


def test_each_check_says_when_it_must_hold_and_what() -> None:
    assert all(name.startswith(("always_", "eventually_", "finally_")) for name in CHECKS)
    assert all(sentence.endswith(".") for sentence in CHECKS.values())
    assert list(CHECKS) == [verdict.check for verdict in judge(History())]


def test_a_violation_names_its_operations() -> None:
    story = Story()
    story.merge((0, 1), "x", 10)
    story.delete((2, 3), deleted=False)
    (verdict,) = [verdict for verdict in judge(story.history) if verdict.violations]
    (violation,) = verdict.violations
    assert violation.time == 3
    assert violation.operations == (2,)
    assert violation.text == (
        "n/k/1: operation 2 said that no record was there, but operation 1 had written one"
    )


@example([0, 1243, 463, 0, 463, 1243, 0, 0], False)
@given(steps, st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_store_that_keeps_its_promises_is_fair_to_all_checks(taken: list[int], weak: bool) -> None:
    assert not broken(ModelStore(weak=weak).run(taken))


@pytest.mark.slow
@pytest.mark.parametrize("weak", [False, True])
def test_long_histories_of_a_store_that_keeps_its_promises(weak: bool) -> None:
    for seed in range(100):
        rng = random.Random(seed)
        history = ModelStore(weak=weak).run([rng.randrange(STEP_MAX) for _ in range(400)])
        assert not broken(history), seed


def test_what_random_histories_check() -> None:
    times = dict.fromkeys(CHECKS, 0)
    for seed in range(8):
        for verdict in judge(random_history("", seed)):
            times[verdict.check] += verdict.times
    of_clients = [name for name in CHECKS if "round" not in name and name.startswith("always_")]
    assert [name for name in of_clients if not times[name]] == []


FINDS: list[tuple[Bug, str]] = [
    ("drop", "always_reads_show_acknowledged"),
    ("drop", "always_merges_survive"),
    ("drop", "finally_acknowledged_is_there"),
    ("stale base", "always_records_have_a_past"),
    ("stale base", "always_merges_survive"),
    ("go back", "always_reads_never_go_back"),
    ("resurrect", "always_deletes_stay"),
    ("resurrect", "always_retries_are_done_once"),
    ("overtake", "always_failed_writes_never_overtake"),
    ("overtake", "always_records_have_a_past"),
    ("twice", "always_deletes_say_what_they_did"),
    ("lie", "always_deletes_say_what_they_did"),
    ("miss", "always_queries_are_one_view"),
]


@pytest.mark.parametrize(("bug", "check"), FINDS)
def test_a_store_that_breaks_a_promise_is_found(bug: Bug, check: str) -> None:
    assert any(check in broken(random_history(bug, seed)) for seed in range(100))
