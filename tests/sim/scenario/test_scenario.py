"""Scenarios as text: what can be read, what is refused and how, and that printing and reading are inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS
from gossipnode.sim.scenario.generate import generate
from gossipnode.sim.scenario.scenario import Scenario, ScenarioError, Step, parse_step
from gossipnode.sim.scenario.verbs.all_verbs import VERBS, check_step, read_scenario

words = st.text(st.characters(codec="ascii", exclude_categories=("C",)), min_size=1, max_size=8).filter(
    lambda word: word != "->" and not word.startswith("@")
)
steps = st.builds(
    Step,
    st.one_of(st.none(), st.integers(0, 10**7).map(lambda milliseconds: milliseconds / 1000)),
    st.sampled_from(sorted(VERBS)),
    st.lists(words, max_size=4).map(tuple),
    st.one_of(st.none(), st.lists(words, min_size=1, max_size=3).map(tuple)),
)


@given(steps)
def test_a_step_is_read_as_it_is_printed(step: Step) -> None:
    assert parse_step(str(step)) == step


def test_a_scenario_is_read_as_it_is_printed() -> None:
    for seed in range(20):
        scenario = generate(seed, operations=40)
        again = read_scenario(scenario.text(), scenario.name)
        assert [str(step) for step in again.steps] == [str(step) for step in scenario.steps]
        assert (again.nodes, again.groups, again.seed) == (scenario.nodes, scenario.groups, seed)
        assert again.text() == scenario.text()


def test_a_header_says_what_the_cluster_is() -> None:
    text = """
# A comment.
nodes a b
groups sw:2:2 t:1:1
seed 7
setting repair.schedule "*/1 * * * *"
known always_x steps

@2.5 apply a sw/n/1 x=1 -> ok !created   # a comment
heal
"""
    assert read_scenario(text, "f.txt") == Scenario(
        "f.txt",
        ("a", "b"),
        ("sw:2:2", "t:1:1"),
        7,
        {"repair.schedule": "*/1 * * * *"},
        ("always_x", "steps"),
        (
            Step(2.5, "apply", ("a", "sw/n/1", "x=1"), ("ok", "!created"), 9),
            Step(None, "heal", (), None, 10),
        ),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("fly a", "f.txt:1: there is no verb 'fly': there are alter, appear,"),
        ("crash", "f.txt:1: write: crash HOST"),
        ("crash a b", "f.txt:1: write: crash HOST"),
        ("@x crash a", "f.txt:1: 'x' is no time: write seconds, such as 2.5"),
        ("@-1 crash a", "f.txt:1: '-1' is no time: it must be 0 or more"),
        ("@inf crash a", "f.txt:1: 'inf' is no time: it must be 0 or more"),
        ("@3", "f.txt:1: a time needs a verb after it"),
        ("crash a ->", "f.txt:1: -> stands between a step and the words of its result"),
        ("crash 'a", "f.txt:1: No closing quotation: crash 'a"),
        ("seed x", "f.txt: seed 'x' is no number of 0 or more"),
        ("nodes a\nnodes b", "f.txt:2: nodes stands once in the header"),
        ("heal\nnodes a", "f.txt:2: nodes belongs to the header, above the first step"),
        ("@2 nodes a", "f.txt:1: nodes is no step: it has no time and no result"),
        ("setting a", "f.txt:1: write: setting KEY VALUE"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(line: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_scenario(line, "f.txt")
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_of_fault_makes_steps_that_can_be_done(kind: str) -> None:
    seen = 0
    for seed in range(5):
        scenario = generate(seed, operations=0, faults=[kind])
        for step in scenario.steps:
            check_step(step)
            seen += step.verb not in ("round", "heal", "finish")
    assert seen >= 5


def test_the_seed_decides_the_scenario() -> None:
    assert generate(3) == generate(3)
    assert len({generate(seed).text() for seed in range(30)}) == 30


def test_some_scenarios_have_scheduled_rounds() -> None:
    scheduled = sum("repair.schedule" in generate(seed, operations=1).settings for seed in range(40))
    assert 4 <= scheduled <= 20
