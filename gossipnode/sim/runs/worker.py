"""A process that does one run after the other: jobs come by standard input, summaries go to a pipe.

It is started by `many_runs`, with a fixed hash seed: the order of sets must be the same in every process, or
the same seed would give another run. Nothing that a run prints can reach the pipe, which has its own number.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from dataclasses import replace
from queue import SimpleQueue

from gossipnode.sim.history.story import history_text
from gossipnode.sim.history.story_page import history_page
from gossipnode.sim.runs.one_run import RunResult, run_scenario
from gossipnode.sim.runs.run_messages import (
    Job,
    MadeRun,
    Run,
    Story,
    Summary,
    broken_off,
    decode_job,
    encode_line,
    summary_of,
    violations_of,
)
from gossipnode.sim.scenario.generate import generate
from gossipnode.sim.scenario.scenario import Scenario, ScenarioError
from gossipnode.sim.scenario.verbs.all_verbs import read_scenario


def main() -> None:
    """Work until standard input ends."""
    jobs: SimpleQueue[bytes] = SimpleQueue()
    # What was imported stays: a collection after a run need not look at it again.
    gc.collect()
    gc.freeze()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    with open(int(sys.argv[1]), "wb") as results:
        while True:
            results.write(encode_line(do_job(decode_job(jobs.get()))))
            results.flush()


def _read_jobs(jobs: SimpleQueue[bytes]) -> None:
    """Hand over jobs. If nobody can want a result any more, end at once: a run may hang."""
    for line in sys.stdin.buffer:
        jobs.put(line)
    os._exit(0)


def do_job(job: Job) -> Summary:
    """Do a run. Whatever becomes of it, there is a summary."""
    faults = job.run.faults if isinstance(job.run, MadeRun) else ()
    scenario: Scenario | None = None
    try:
        scenario = scenario_of(job.run)
        result = run_scenario(scenario)
    except ScenarioError as error:
        if isinstance(job.run, MadeRun):
            return broken_off(job.run, f"its schedule cannot be run: {error}")
        return Summary(0 if scenario is None else scenario.seed, refused=str(error))
    except Exception as error:  # noqa: BLE001 - it is the finding of this run, and must not end the others
        return broken_off(job.run, _told(error), "" if scenario is None else scenario.text())
    summary = summary_of(result, faults)
    return _with_story(summary, result) if job.with_history else summary


def scenario_of(run: Run) -> Scenario:
    """The scenario of a run. One that is made goes through its text, so that the text says what is run."""
    if isinstance(run, MadeRun):
        made = generate(
            run.seed, nodes=run.nodes, minutes=run.minutes, operations=run.operations, faults=run.faults
        )
        return read_scenario(made.text(), f"seed {run.seed}")
    given = read_scenario(run.text, run.name)
    return given if run.seed is None else replace(given, seed=run.seed)


def _told(error: Exception) -> str:
    """An error and where it came from, in one line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})"


def _with_story(summary: Summary, result: RunResult) -> Summary:
    from msgspec.structs import replace as changed

    violations, name = violations_of(result), result.scenario.name
    story = Story(history_text(result.history, violations), history_page(result.history, violations, name))
    return changed(summary, story=story)


if __name__ == "__main__":
    main()
