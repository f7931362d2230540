"""What `sim` prints and writes: a line a seed, what was checked, and the schedule of each failure."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gossipnode.cli.output import counted, print_json, print_line, print_table, progress, say
from gossipnode.cli.standard_streams import flush_results
from gossipnode.sim.checks.all_checks import CHECKS
from gossipnode.sim.history.story import violation_words
from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import STEPS, GivenRun, Job, Story, Summary
from gossipnode.sim.runs.shortest import shortest
from gossipnode.sim.runs.shrink import RUNS_MAX

UNSAFE = re.compile(r"[^\w.-]+")
"""What does not belong into the name of a file."""


@dataclass(slots=True)
class SimReport:
    """Takes one summary after the other, and keeps only what the end of the command needs."""

    of_seed: Callable[[int], list[str]]
    """The arguments that run a seed alone."""
    as_json: bool
    history: Path | None
    failed: set[int] = field(default_factory=set[int])
    """The seeds in which something was violated."""
    first: dict[str, Summary] = field(default_factory=dict[str, Summary])
    """For each check that was violated, the first run that showed it."""
    _checks: Counter[str] = field(default_factory=Counter[str])
    _violated: Counter[str] = field(default_factory=Counter[str])
    """In how many runs a check was violated."""
    _reached: Counter[str] = field(default_factory=Counter[str])

    def add(self, summary: Summary) -> None:
        """Print a run, and count what it checked."""
        found = Counter(violation.check for violation in summary.violations)
        self._checks.update(summary.checks)
        self._reached.update(summary.reached)
        self._violated.update(found.keys())
        if found:
            self.failed.add(summary.seed)
        for check in found:
            self.first.setdefault(check, summary)
        if self.as_json:
            print_json(summary.as_json())
        else:
            print_line(_line(summary, found))
        flush_results()
        if self.history is not None and summary.story is not None:
            _write(self.history, _as(self.history, summary.story))
            self._say(f"the history of seed {summary.seed} is in {self.history}")

    def tell_totals(self) -> None:
        """Print what was checked how often, and which faults were reached. JSON has it in each line."""
        if self.as_json:
            return
        names = sorted({*self._checks, *self._violated})
        rows = [(name, f"{self._checks[name]:,}", f"{self._violated[name]:,}") for name in names]
        print_line("")
        print_table(("check", "times", "violated in"), rows)
        if self._reached:
            print_line("")
            print_table(
                ("fault reached", "times"),
                [(point, f"{times:,}") for point, times in sorted(self._reached.items())],
            )

    def tell_failures(self, workers: Workers, *, shrinks: bool) -> None:
        """For each check that was violated, find a short schedule, print it, and write it with its history.

        A schedule that shows several checks at once stands for all of them.
        """
        told: set[str] = set()
        for check, summary in sorted(self.first.items()):
            if check not in told:
                told |= {check, *self._tell_failure(workers, check, summary, shrinks=shrinks)}

    def _tell_failure(self, workers: Workers, check: str, summary: Summary, *, shrinks: bool) -> set[str]:
        """Gives the checks that the schedule shows."""
        self._say("")
        self._say(f"{check} is violated in {counted(self._violated[check], 'run')}.")
        if check in CHECKS:
            self._say(f"it says: {CHECKS[check]}")
        self._say(f"first by: {_command('sim', *self.of_seed(summary.seed))}")
        for violation in summary.violations:
            if violation.check == check:
                self._say(violation_words(violation))
                break
        if not summary.scenario:
            return set()
        # What steps expect holds for the whole schedule alone: with fewer of them it would be something else.
        shrinks = shrinks and check != STEPS
        text = self._shrunk(workers, check, summary.scenario) if shrinks else summary.scenario
        shown = workers.run(Job(GivenRun(f"seed {summary.seed}, {check}", text), with_history=True))
        self._say("")
        for line in text.splitlines():
            self._say(f"    {line}".rstrip())
        self._say("")
        for line in self._write_files(check, summary.seed, text, shown.story):
            self._say(line)
        return {violation.check for violation in shown.violations}

    def _shrunk(self, workers: Workers, check: str, text: str) -> str:
        with progress(f"shrinking {check}", RUNS_MAX) as advance:
            shrunk = shortest(workers, text, check, lambda: advance(1))
        if not shrunk.shown:
            self._say("A second run of the same schedule did not show it: here is the whole schedule.")
            return text
        left = counted(len(shrunk.scenario.steps), "step")
        rest = "" if shrunk.finished else ", and might still be shorter"
        self._say(
            f"The shortest schedule that shows it has {left}; it took {counted(shrunk.runs, 'run')}{rest}:"
        )
        return shrunk.scenario.text()

    def _write_files(self, check: str, seed: int, text: str, story: Story | None) -> Iterator[str]:
        """Write the schedule and its history; gives lines that name the files."""
        folder = Path() if self.history is None else self.history.parent
        name = f"sim-seed-{seed}-{UNSAFE.sub('-', check)}"
        schedule = folder / f"{name}.scenario.txt"
        _write(schedule, text)
        yield f"replay it: {_command('sim', '--scenario', str(schedule))}"
        if story is not None:
            for suffix in (".txt", ".html"):
                path = folder / f"{name}.history{suffix}"
                _write(path, _as(path, story))
                yield f"what happened: {path}"

    def _say(self, line: str) -> None:
        """A line of the report. With JSON on stdout it goes to stderr."""
        (say if self.as_json else print_line)(line)


def _line(summary: Summary, found: Counter[str]) -> str:
    told = ", ".join(check if times == 1 else f"{check} ({times} times)" for check, times in found.items())
    reached = counted(sum(summary.reached.values()), "fault")
    minutes = f"{summary.virtual_seconds / 60:.1f} minutes"
    done = f"seed {summary.seed}: {counted(summary.operations, 'operation')} in {minutes}, {reached}"
    if told:
        return f"{done}: VIOLATED {told}"
    return f"{done}: {counted(sum(summary.checks.values()), 'check')}, all hold"


def _command(*words: str) -> str:
    return shlex.join(["gossipnode", *words])


def _as(path: Path, story: Story) -> str:
    """A history in the form that the name of its file asks for."""
    return story.page if path.suffix == ".html" else story.text


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
