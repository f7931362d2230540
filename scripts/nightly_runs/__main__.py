"""The command line of scripts/nightly.

The first fifth of the time goes to replays: up to 100 seeds, each up to 100 times, and every replay must give
the same history to the last byte. The rest goes to new seeds, in turn with the faults that hold today, where
any violation is an error, and with all faults, where violations are counted by their checks.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count

from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import Job, MadeRun, Summary
from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS
from gossipnode.sim.scenario.generate import MINUTES, NODES, OPERATIONS
from tests.sim import not_yet

REPLAYED_SEEDS = 100
REPLAYS = 100
REPLAY_PART = 0.2
"""How much of the time goes to replays."""

REPLAYED = (3, 0.4, 30)
"""Nodes, minutes and operations of the runs that are replayed: many short ones say more."""

SEEDS_A_DAY = 100_000
SECONDS_A_DAY = 86_400


def main() -> int:
    """Run for the time that is asked for; 1 if anything is wrong that is right today."""
    parser = argparse.ArgumentParser(prog="scripts/nightly", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to run (60)")
    parser.add_argument("--from", dest="first", type=int, help="the first new seed (every day has its own)")
    parser.add_argument("--seeds", type=int, help="how many new seeds at most (as many as the time allows)")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes (2)")
    asked = parser.parse_args()
    first = asked.first
    if first is None:
        first = int(time.time() // SECONDS_A_DAY) * SEEDS_A_DAY
    began = time.monotonic()
    with Workers(asked.jobs) as workers:
        differing = _replay(workers, began + asked.minutes * 60 * REPLAY_PART)
        seeds = count(first) if asked.seeds is None else range(first, first + asked.seeds)
        wrong = _run_seeds(workers, seeds, began + asked.minutes * 60)
    return 1 if differing or wrong else 0


def _replay(workers: Workers, until: float) -> int:
    """Replay seeds until the time is over; gives how many came out differently."""
    nodes, minutes, operations = REPLAYED
    jobs = (
        Job(MadeRun(seed, nodes, minutes, operations, tuple(sorted(FAULT_KINDS))), with_history=True)
        for _ in range(REPLAYS)
        for seed in range(REPLAYED_SEEDS)
        if time.monotonic() < until
    )
    known: dict[int, str] = {}
    differing: set[int] = set()
    replays = 0
    for summary in workers.run_all(jobs):
        text = summary.story.text if summary.story is not None else repr(summary)
        digest = hashlib.sha256(text.encode()).hexdigest()
        replays += summary.seed in known
        if known.setdefault(summary.seed, digest) != digest:
            differing.add(summary.seed)
    print(
        f"replays: {replays:,} of {len(known)} seeds, {len(differing)} seeds came out differently", flush=True
    )
    for seed in sorted(differing):
        print(f"  seed {seed} gives another history each time", flush=True)
    return len(differing)


def _run_seeds(workers: Workers, seeds: Iterable[int], until: float) -> int:
    """Run new seeds until the time is over; gives how many broke what holds today."""
    seen: Counter[bool] = Counter()
    operations = 0
    known: Counter[str] = Counter()
    wrong = 0
    began = time.monotonic()
    for number, summary in enumerate(workers.run_all(_new_jobs(seeds, until))):
        holding = number % 2 == 0
        seen[holding] += 1
        operations += summary.operations
        checks = {violation.check for violation in summary.violations} - not_yet.CHECKS.keys()
        if holding and checks:
            wrong += 1
            _tell(summary, checks)
        elif not holding:
            known.update(checks)
    rate = operations / max(1.0, time.monotonic() - began) * 60
    print(f"seeds with what holds today: {seen[True]:,}, of which {wrong} broke a promise")
    print(f"seeds with all faults: {seen[False]:,}; {operations:,} operations, {rate:,.0f} a minute")
    for check, times in sorted(known.items()):
        print(f"  {check}: {times}")
    return wrong


def _new_jobs(seeds: Iterable[int], until: float) -> Iterator[Job]:
    for seed in seeds:
        if time.monotonic() >= until:
            return
        for faults in (not_yet.HOLDING, tuple(FAULT_KINDS)):
            yield Job(MadeRun(seed, NODES, MINUTES, OPERATIONS, tuple(sorted(faults))))


def _tell(summary: Summary, checks: set[str]) -> None:
    faults = ",".join(summary.faults)
    print(f"seed {summary.seed} broke {', '.join(sorted(checks))}", flush=True)
    print(f"  replay it: gossipnode sim --seed {summary.seed} --faults {faults}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
