"""`sim`: clusters under faults in virtual time, from seeds or a scenario, and what is checked of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gossipnode.cli.command_classes import Command, PathType
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.options import output_option, positive_seconds
from gossipnode.cli.output import counted, progress

if TYPE_CHECKING:
    from gossipnode.sim.runs.run_messages import Job, Run

NODES, MINUTES, OPERATIONS, SEED = 5, 5.0, 300, 1
"""A run, unless something else is asked for."""

NODES_MAX = 16
SEEDS = re.compile(r"(\d{1,18}):(\d{1,18})")
HISTORY_SUFFIXES = (".txt", ".html")


def read_seeds(ctx: click.Context, param: click.Parameter, value: str | None) -> range | None:
    """Read FROM:TO, both included."""
    if value is None:
        return None
    found = SEEDS.fullmatch(value)
    if found is None or int(found[1]) > int(found[2]):
        raise click.BadParameter(f"expected FROM:TO, such as 1:100, got {value!r}", ctx, param)
    return range(int(found[1]), int(found[2]) + 1)


def read_minutes(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Check a number of minutes."""
    return None if value is None else positive_seconds(ctx, param, value)


def read_history(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Check the name of a file for a history, before a long run."""
    if value is not None and value.suffix not in HISTORY_SUFFIXES:
        raise click.BadParameter(f"{str(value)!r} ends neither in .txt nor in .html", ctx, param)
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"{str(value.parent)!r} is no directory", ctx, param)
    return value


@click.command("sim", cls=Command)
@click.option("--nodes", type=click.IntRange(2, NODES_MAX), show_default=str(NODES), help="How many nodes.")
@click.option("--seed", type=click.IntRange(0), show_default=str(SEED), help="What decides everything.")
@click.option("--seeds", metavar="FROM:TO", callback=read_seeds, help="All these seeds, TO included.")
@click.option(
    "--minutes", type=float, callback=read_minutes,
    show_default=f"{MINUTES:g}", help="How long clients write and faults happen, in virtual time.",
)  # fmt: skip
@click.option(
    "--operations", type=click.IntRange(0), show_default=str(OPERATIONS), help="How much clients do."
)
@click.option("--faults", metavar="all|none|NAME,...", show_default="all", help="What may go wrong.")
@click.option("--jobs", type=click.IntRange(1), help="How many processes; if not given, one a processor.")
@click.option("--scenario", type=PathType(path_type=Path), metavar="FILE", help="Run this schedule instead.")
@click.option(
    "--history", type=PathType(path_type=Path), metavar="FILE", callback=read_history,
    help="Write the history of the run, as text (.txt) or as a page (.html).",
)  # fmt: skip
@click.option("--no-shrink", is_flag=True, help="Do not look for the shortest schedule of a violation.")
@output_option
def command(**given: Any) -> None:
    """Simulate a cluster: real nodes and clients, with a network, disks and clocks that go wrong.

    A seed decides everything, so the same seed gives the same run. Afterwards it is checked what the cluster
    promises. If a promise was broken, the exit code is 1, and the shortest schedule that still breaks it is
    written into a file of the working directory (or of that of --history), with its history.
    """
    from gossipnode.cli.sim_report import SimReport
    from gossipnode.sim.runs.many_runs import Workers

    plan = _plan(given)
    report = SimReport(plan.of_seed, as_json=given["output"] == "json", history=given["history"])
    jobs = min(given["jobs"] or os.cpu_count() or 1, len(plan.seeds))
    with Workers(jobs) as workers:
        with progress("simulating", len(plan.seeds), beside_results=True) as advance:
            for summary in workers.run_all(plan.jobs(), lambda: advance(1)):
                if summary.refused:
                    raise Failure(summary.refused, FAILED)
                report.add(summary)
        report.tell_totals()
        report.tell_failures(workers, shrinks=not given["no_shrink"])
    if report.failed:
        seeds = counted(len(plan.seeds), "seed")
        raise Failure(f"{len(report.failed)} of {seeds} violated {', '.join(sorted(report.first))}", FAILED)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be run."""

    seeds: range
    """For a scenario without a seed of its own on the command line: one, which counts for nothing."""
    nodes: int
    minutes: float
    operations: int
    faults: tuple[str, ...]
    faults_given: str
    scenario: Path | None
    text: str
    reseeded: bool
    with_history: bool

    def jobs(self) -> Iterator[Job]:
        """A job for each seed."""
        from gossipnode.sim.runs.run_messages import GivenRun, Job, MadeRun

        for seed in self.seeds:
            run: Run = MadeRun(seed, self.nodes, self.minutes, self.operations, self.faults)
            if self.scenario is not None:
                run = GivenRun(str(self.scenario), self.text, seed if self.reseeded else None)
            yield Job(run, self.with_history)

    def of_seed(self, seed: int) -> list[str]:
        """The arguments that run one seed alone."""
        if self.scenario is not None:
            return ["--scenario", str(self.scenario), *(["--seed", str(seed)] if self.reseeded else [])]
        return [
            *("--seed", str(seed), "--nodes", str(self.nodes), "--minutes", f"{self.minutes:g}"),
            *("--operations", str(self.operations), "--faults", self.faults_given),
        ]


def _plan(given: dict[str, Any]) -> _Plan:
    """Read what was given.

    Raises:
        click.UsageError: options that exclude each other, or a fault that does not exist.
    """
    scenario: Path | None = given["scenario"]
    if given["seed"] is not None and given["seeds"] is not None:
        raise click.UsageError("--seed and --seeds exclude each other")
    for name in ("nodes", "minutes", "operations", "faults"):
        if scenario is not None and given[name] is not None:
            raise click.UsageError(f"--scenario says everything about a run: leave out --{name}")
    reseeded = given["seed"] is not None or given["seeds"] is not None
    seed = SEED if given["seed"] is None else given["seed"]
    seeds = given["seeds"] or range(seed, seed + 1)
    if given["history"] is not None and len(seeds) > 1:
        raise click.UsageError("--history belongs to one run: give --seed instead of --seeds")
    faults = "all" if given["faults"] is None else given["faults"]
    return _Plan(
        seeds=seeds,
        nodes=given["nodes"] or NODES,
        minutes=given["minutes"] or MINUTES,
        operations=OPERATIONS if given["operations"] is None else given["operations"],
        faults=() if scenario is not None else _faults(faults),
        faults_given=faults,
        scenario=scenario,
        text="" if scenario is None else _read(scenario),
        reseeded=reseeded,
        with_history=given["history"] is not None,
    )


def _faults(text: str) -> tuple[str, ...]:
    from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS

    if text == "none":
        return ()
    names = sorted(FAULT_KINDS) if text == "all" else sorted({name.strip() for name in text.split(",")})
    for name in names:
        if name not in FAULT_KINDS:
            known = ", ".join(sorted(FAULT_KINDS))
            raise click.BadParameter(f"no fault is called {name!r}: there are {known}", param_hint="--faults")
    return tuple(names)


def _read(scenario: Path) -> str:
    try:
        return scenario.read_text(encoding="utf-8")
    except OSError as error:
        named_wrong = isinstance(error, FileNotFoundError | IsADirectoryError)
        code = WRONG_USE if named_wrong else FAILED
        raise Failure(f"{scenario}: cannot be read: {error.strerror}", code) from None
    except UnicodeDecodeError:
        raise Failure(f"{scenario}: is no UTF-8 text", FAILED) from None
