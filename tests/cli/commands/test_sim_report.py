"""What `sim` says at its end, with runs of a worker that finds fault with each crash of b."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipnode.cli.sim_report import SimReport
from gossipnode.sim.checks.all_checks import CHECKS
from gossipnode.sim.checks.verdict import Violation
from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import Story, Summary

SCHEDULE = "nodes a b\ngroups sw:1:2\nseed 4\n\n@1 get a sw/n/1\n@2 crash b\n@3 crash a\nheal\n"
ODD = Violation("always_odd", 1.5, "it crashes", (3,))
EVEN = Violation("always_even", 2.5, "it does not")


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Files go into a directory of their own."""
    monkeypatch.chdir(tmp_path)
    with Workers(1, module="tests.sim.runs.odd_worker") as made:
        yield made


def run_of(seed: int, *violations: Violation, scenario: str = SCHEDULE) -> Summary:
    return Summary(
        seed=seed,
        operations=10,
        virtual_seconds=90.0,
        checks={"always_odd": 7, "always_even": 3},
        reached={"crash": 2},
        violations=violations,
        scenario=scenario,
    )


def report(*summaries: Summary, as_json: bool = False) -> SimReport:
    made = SimReport(lambda seed: ["--seed", str(seed)], as_json=as_json, history=None)
    for summary in summaries:
        made.add(summary)
    return made


def test_a_line_for_each_run_and_the_sums(capsys: pytest.CaptureFixture[str]) -> None:
    made = report(run_of(4), run_of(5, ODD, ODD, EVEN), run_of(6, ODD))
    made.tell_totals()
    out = capsys.readouterr().out
    assert "seed 4: 10 operations in 1.5 minutes, 2 faults: 10 checks, all hold\n" in out
    assert (
        "seed 5: 10 operations in 1.5 minutes, 2 faults: VIOLATED always_odd (2 times), always_even\n" in out
    )
    assert "always_odd    21      2" in out
    assert "crash           6" in out
    assert made.failed == {5, 6}
    assert made.first["always_odd"].seed == 5


@pytest.mark.slow
def test_the_shortest_schedule_is_printed_and_written(
    workers: Workers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(run_of(4, ODD), run_of(5, ODD)).tell_failures(workers, shrinks=True)
    out = capsys.readouterr().out
    assert "always_odd is violated in 2 runs.\nfirst by: gossipnode sim --seed 4\n" in out
    assert "always_odd at 1.500000 s: it crashes (#3)\n" in out
    assert "schedule that shows it has 1 step; it took" in out
    assert "    seed 4\n\n    @0 crash b\n\nreplay it: gossipnode sim --scenario " in out
    name = "sim-seed-4-always_odd"
    assert (tmp_path / f"{name}.scenario.txt").read_text().endswith("@0 crash b\n")
    assert (tmp_path / f"{name}.history.txt").read_text() == "the story"
    assert (tmp_path / f"{name}.history.html").read_text() == "the page"
    assert out.count("what happened: ") == 2


@pytest.mark.slow
def test_one_schedule_stands_for_all_checks_that_it_shows(
    workers: Workers, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worker shows `always_odd` only; `always_even` is named first, and comes not again."""
    report(run_of(4, EVEN, ODD)).tell_failures(workers, shrinks=True)
    out = capsys.readouterr().out
    assert "always_even is violated in 1 run." in out
    assert "A second run of the same schedule did not show it: here is the whole schedule." in out
    assert "    @3 crash a\n" in out
    assert "always_odd is violated" not in out


@pytest.mark.slow
def test_nothing_is_left_out_where_that_is_asked_for(
    workers: Workers, capsys: pytest.CaptureFixture[str]
) -> None:
    report(run_of(4, ODD)).tell_failures(workers, shrinks=False)
    assert "    @2 crash b\n    @3 crash a\n    heal\n" in capsys.readouterr().out


def test_a_check_is_told_with_what_it_says(workers: Workers, capsys: pytest.CaptureFixture[str]) -> None:
    name, sentence = next(iter(CHECKS.items()))
    report(run_of(4, Violation(name, 1.0, "wrong"), scenario="")).tell_failures(workers, shrinks=True)
    assert f"{name} is violated in 1 run.\nit says: {sentence}\n" in capsys.readouterr().out


def test_a_run_that_was_lost_with_its_process_has_no_schedule(
    workers: Workers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = run_of(4, Violation("run", 0.0, "its process ended with -9"), scenario="")
    report(lost).tell_failures(workers, shrinks=True)
    out = capsys.readouterr().out
    assert out.endswith("first by: gossipnode sim --seed 4\nrun: its process ended with -9\n")
    assert not list(tmp_path.iterdir())


def test_a_history_is_written_where_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("told.txt", "the story"), ("told.html", "the page")):
        made = SimReport(lambda _: [], as_json=True, history=tmp_path / name)
        made.add(Summary(seed=4, story=Story("the story", "the page")))
        assert (tmp_path / name).read_text() == text
        assert f"the history of seed 4 is in {tmp_path / name}" in capsys.readouterr().err
