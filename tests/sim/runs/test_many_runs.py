"""Many runs in processes: results in order, and no process that dies or hangs ends the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipnode.sim.runs import many_runs
from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import GivenRun, Job, MadeRun, Summary
from gossipnode.sim.runs.shortest import shortest

ODD = "tests.sim.runs.odd_worker"
HANGS_SECONDS = 2.0


def named(*names: str) -> list[Job]:
    return [Job(GivenRun(name, "", seed)) for seed, name in enumerate(names)]


def told(summary: Summary) -> str:
    return "; ".join(f"{violation.check}: {violation.text}" for violation in summary.violations)


def process_of(summary: Summary) -> int:
    return summary.checks["0"]


def children() -> list[int]:
    pid = os.getpid()
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_results_come_in_the_order_of_the_jobs_from_few_processes() -> None:
    finished: list[None] = []
    with Workers(2, module=ODD) as workers:
        summaries = list(workers.run_all(named(*["well"] * 40), lambda: finished.append(None)))
        pids = {process_of(summary) for summary in summaries}
        assert all(map(runs, pids))
    assert [summary.seed for summary in summaries] == list(range(40))
    assert len(finished) == 40
    assert len(pids) <= 2
    assert os.getpid() not in pids
    assert not any(map(runs, pids))


@pytest.mark.slow
def test_a_process_that_dies_or_babbles_is_a_finding_and_ends_no_other_run() -> None:
    with Workers(2, module=ODD) as workers:
        summaries = list(workers.run_all(named("well", "dies", "well", "babbles", "well", "well")))
    assert [told(summary).partition(" with")[0] for summary in summaries] == [
        "", "run: its process ended", "", told(summaries[3]), "", "",
    ]  # fmt: skip
    assert told(summaries[1]) == "run: its process ended with 3: Problem: of my own"
    assert told(summaries[3]).startswith("run: its process sent what nobody can read")
    assert [summary.seed for summary in summaries] == list(range(6))


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_at_the_limit() -> None:
    with Workers(1, module=ODD, real_seconds_max=HANGS_SECONDS) as workers:
        hung, well = workers.run_all(named("hangs", "well"))
    assert told(hung) == "run: the run did not end within 2 s of real time"
    assert not well.violations


@pytest.mark.slow
def test_whoever_stops_reading_ends_the_runs_under_way() -> None:
    others = set(children())  # of other tests
    with Workers(2, module=ODD) as workers:
        reading = workers.run_all(named("well", "hangs", "hangs"))
        first = next(reading)
        assert len(set(children()) - others) == 2
        reading.close()  # type: ignore[attr-defined]
        assert set(children()) - others == {process_of(first)}
        assert process_of(workers.run(named("well")[0])) == process_of(first)
    assert not set(children()) - others


@pytest.mark.slow
def test_an_interrupt_ends_the_processes() -> None:
    """Ctrl-C comes while a run hangs and another one has ended."""
    pids: list[int] = []

    def interrupted() -> None:
        with Workers(2, module=ODD) as workers:
            pids.append(process_of(workers.run(named("well")[0])))
            list(workers.run_all(named("hangs", "well"), lambda: signal.raise_signal(signal.SIGINT)))

    # A shell starts its background jobs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(map(runs, pids))


@pytest.mark.slow
def test_jobs_are_taken_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that wait for an earlier one are bounded."""
    monkeypatch.setattr(many_runs, "AHEAD_MAX", 5)
    taken: list[int] = []

    def jobs() -> Iterator[Job]:
        for number, job in enumerate(named("hangs", *["well"] * 50)):
            taken.append(number)
            yield job

    with Workers(2, module=ODD, real_seconds_max=HANGS_SECONDS) as workers:
        next(workers.run_all(jobs()))
    assert len(taken) <= 6


@pytest.mark.slow
def test_the_shortest_schedule_of_a_violation() -> None:
    text = "nodes a b\ngroups sw:1:2\nseed 9\n\n@1 get a sw/n/1\n@2 crash a\n@3 crash b\n@4 crash c\nheal\n"
    finished: list[None] = []
    with Workers(1, module=ODD) as workers:
        shrunk = shortest(workers, text, "always_odd", lambda: finished.append(None))
        other = shortest(workers, text, "always_even", lambda: None)
    assert [str(step) for step in shrunk.scenario.steps] == ["@0 crash b"]
    assert shrunk.scenario.seed == 9
    assert len(finished) == shrunk.runs
    assert not other.shown


# Real runs

WRONG = "nodes a b\ngroups sw:1:2\n\n@1 get a sw/n/1 -> live\n@2 get b sw/n/1\n"


@pytest.mark.slow
def test_a_seed_gives_the_same_story_in_another_process() -> None:
    job = Job(MadeRun(3, 3, 0.5, 20, ("crash", "cut")), with_history=True)
    with Workers(2) as workers:
        one, other = workers.run_all([job, job])
    assert one.story is not None
    assert "fingerprint" in one.story.text
    assert one == other
    assert (one.seed, one.nodes, one.faults) == (3, 3, ("crash", "cut"))
    assert one.operations >= 20


@pytest.mark.slow
def test_a_scenario_that_cannot_be_run_says_where() -> None:
    with Workers(1) as workers:
        wrong, impossible, unnamed = workers.run_all(
            [Job(GivenRun("f.txt", text)) for text in ("fly a\n", "crash z\n", "groups sw\n\ncrash a\n")]
        )
    assert wrong.refused.startswith("f.txt:1: ")
    assert impossible.refused.startswith("f.txt:1: ")
    assert "NAME:SHARDS:REPLICAS" in unnamed.refused
    assert not wrong.violations


@pytest.mark.slow
def test_what_steps_expect_is_checked_like_all_else() -> None:
    with Workers(1) as workers:
        summary = workers.run(Job(GivenRun("a file", WRONG, seed=9)))
    assert (summary.seed, summary.operations, summary.checks["steps"]) == (9, 2, 1)
    assert [violation.check for violation in summary.violations] == ["steps"]
    assert summary.scenario.startswith("nodes a b\ngroups sw:1:2\nseed 9\n")
