"""Runs seeds without a safeguard until a check finds that it is missing."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablations.safeguard import PRODUCT, Safeguard, taken_out
from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import Job, MadeRun, Summary
from gossipnode.sim.scenario.generate import MINUTES, NODES, OPERATIONS

REPOSITORY = Path(__file__).resolve().parents[2]

RUN_REAL_SECONDS_MAX = 60.0
"""A run that takes longer than this does not end: the safeguard kept something from spinning."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found without a safeguard."""

    name: str
    about: str
    checks: tuple[str, ...]
    """The checks that found it, at the first seed at which one did; none if nothing found it."""
    seeds: int
    """How many seeds were run, that one included."""
    seconds: float
    example: str
    """What the first of the checks said."""

    def describe(self) -> dict[str, Any]:
        """The outcome as an object of JSON."""
        return asdict(self)


class Bench:
    """A copy of the product, and what the untouched product violates with each list of faults."""

    def __init__(self, copy: Path, seeds: int, jobs: int, minutes: float, operations: int) -> None:
        """Run `seeds` seeds at most for each safeguard, `jobs` at once, each of that size."""
        self._copy = copy
        self._minutes = minutes
        self._operations = operations
        self._seeds = seeds
        self._jobs = jobs
        self._known: dict[tuple[str, ...], frozenset[str]] = {}

    def measure(self, safeguard: Safeguard) -> Outcome:
        """Take a safeguard out, and run seeds until a check finds it.

        A check counts if the untouched product passes it with all of these seeds.

        Raises:
            NotOnceError: the safeguard does not stand in the source as the table has it.
        """
        known = self._violated_untouched(safeguard.faults)
        began, ran, found = time.monotonic(), 0, dict[str, str]()
        with taken_out(safeguard, self._copy), self._workers() as workers:
            for summary in workers.run_all(self._jobs_of(safeguard.faults)):
                ran += 1
                found = {each: text for each, text in _violations(summary).items() if each not in known}
                if found:
                    break
        example = next(iter(found.values()), "")
        seconds = time.monotonic() - began
        return Outcome(safeguard.name, safeguard.about, tuple(sorted(found)), ran, seconds, example)

    def _violated_untouched(self, faults: tuple[str, ...]) -> frozenset[str]:
        if faults not in self._known:
            with self._workers() as workers:
                summaries = workers.run_all(self._jobs_of(faults))
                self._known[faults] = frozenset(check for each in summaries for check in _violations(each))
        return self._known[faults]

    def _jobs_of(self, faults: Sequence[str]) -> Iterator[Job]:
        for seed in range(self._seeds):
            yield Job(MadeRun(seed, NODES, self._minutes, self._operations, tuple(faults)))

    @contextmanager
    def _workers(self) -> Iterator[Workers]:
        """Processes that import the copy: they look for modules where this process does, the copy first."""
        sys.path.insert(0, str(self._copy))
        try:
            with Workers(self._jobs, real_seconds_max=RUN_REAL_SECONDS_MAX) as workers:
                yield workers
        finally:
            sys.path.remove(str(self._copy))


def _violations(summary: Summary) -> dict[str, str]:
    """What was violated: the name of each check, and the first thing that it said."""
    found: dict[str, str] = {}
    for violation in summary.violations:
        found.setdefault(violation.check, violation.text)
    return dict(sorted(found.items()))


@contextmanager
def bench(seeds: int, jobs: int, minutes: float = MINUTES, operations: int = OPERATIONS) -> Iterator[Bench]:
    """A bench over a new copy of the product, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="ablation-") as temporary:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / PRODUCT, Path(temporary) / PRODUCT, ignore=ignored)
        yield Bench(Path(temporary), seeds, jobs, minutes, operations)
