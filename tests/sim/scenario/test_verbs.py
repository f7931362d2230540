"""Verbs, each in a scenario of a few lines: what came of its steps is what they expect, and not the opposite."""

from __future__ import annotations

import pytest

from gossipnode.sim.runs.one_run import RunResult, run_scenario
from gossipnode.sim.scenario.scenario import ScenarioError
from gossipnode.sim.scenario.verbs.all_verbs import read_scenario


def run(steps: str, groups: str = "sw:1:3", nodes: str = "a b c") -> RunResult:
    return run_scenario(read_scenario(f"nodes {nodes}\ngroups {groups}\n{steps}", "f.txt"))


def test_an_operation_may_have_a_shorter_timeout() -> None:
    result = run("apply a sw/n/1 x=1\npause a\nget a sw/n/1 via=none timeout=1.5 -> fails UnreachableError")
    assert result.problems == []
    assert result.virtual_seconds == pytest.approx(1.5, abs=0.1)


def test_operations_of_one_request_are_one_write() -> None:
    again = "replace a sw/n/1 x=1 request=r -> ok\nreplace b sw/n/1 x=2 -> ok\nreplace c sw/n/1 x=1 {} -> ok"
    assert run(f"{again.format('request=r by=other')}\nget a sw/n/1 -> x=2").problems == []
    assert run(f"{again.format('request=s by=other')}\nget a sw/n/1 -> x=1").problems == []
    assert run(f"{again.format('by=other')}\nget a sw/n/1 -> x=1").problems == []


def test_a_write_may_have_a_size_that_the_history_does_not_see() -> None:
    result = run(
        "import a sw/n 0 2 x=1 pad=3000 -> ok 2\napply a sw/n/2 x=1 pad=5000000 -> fails InvalidInputError"
    )
    assert result.problems == []
    assert [dict(each.asked.tags) for each in result.history.operations] == [{"x": 1}, {"x": 1}]  # type: ignore[union-attr]


def test_readers_that_stop_hold_their_queries() -> None:
    steps = (
        "import a sw/n 0 800 x=1 pad=4000 -> ok\nimport a sw/n 800 800 x=1 pad=4000 -> ok\nread-slowly a sw 2"
    )
    result = run(f"{steps}\nquery a sw by=other -> 1600")
    assert result.problems == []
    assert "2 clients read sw, and take no more after the first record" in {
        event.text for event in result.history.events
    }


def test_a_node_joins_under_another_name_than_its_machine_has() -> None:
    result = run("join d2 through a as d -> ok\nwait 5\nmembers b -> 4 d !d2\nmembers d2 -> 4", "sw:1:1")
    assert result.problems == []


def test_a_node_may_appear_with_a_configuration_of_its_own() -> None:
    assert run("appear d -> started\nappear d -> running\nmembers d -> 4").problems == []


def test_members_of_a_node_that_is_down_are_not_known() -> None:
    assert run("crash b\nmembers b -> fails NoNodeError\nmembers a -> 3 a b c").problems == []


def test_a_list_of_peers_is_a_setting() -> None:
    steps = "stop b\nsettings b cluster.peers a=a:7400 c=c:7400 e=e:7400\nwipe b -> started\nmembers b -> 4 e"
    assert run(steps).problems == []


def test_nodes_that_take_many_steps_are_named() -> None:
    result = run("busy 10 100000 -> ok\nbusy 10 1 -> fails a b c")
    assert result.problems == []
    assert result.virtual_seconds == pytest.approx(20)


def test_a_round_tells_how_many_records_it_moved() -> None:
    steps = (
        "cut c-*\napply-many a sw/n 0 3 x=1 -> ok\nmend all\nwait 5\nround a sw 0 -> repaired 3\nround b sw 0"
    )
    assert run(f"{steps} -> converged 0").problems == []


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("apply a sw/n/1 x=1 pad=much", "'much' is no number of bytes"),
        ("apply a sw/n/1 x=1 timeout=long", "'long' is no time"),
        ("apply a sw/n/1 x=1 ack=most", "'most' is no level"),
        ("read-slowly a sw some", "write: read-slowly NODE GROUP COUNT"),
        ("read-slowly z sw 1", "there is no machine z"),
        ("members z", "there is no machine z"),
        ("busy 1 few", "'few' is no time"),
    ],
)
def test_what_cannot_be_done_is_said(step: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        run(step)
    assert problem in str(caught.value)
