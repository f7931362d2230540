"""One run of a scenario, from its beginning to its verdicts."""

from __future__ import annotations

import gc
import logging
import random
import sys
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import structlog
import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.sim.checks.all_checks import judge
from gossipnode.sim.checks.verdict import Verdict, Violation
from gossipnode.sim.history.history import History
from gossipnode.sim.scenario.play import play
from gossipnode.sim.scenario.scenario import Scenario, ScenarioError
from gossipnode.sim.scenario.stage import Stage
from gossipnode.sim.world.scheduler import MACHINE, VirtualClock, seeded_scheduler

RUN_SECONDS_MAX = 24 * 3600.0
"""Virtual time after which a run is given up: nothing that a scenario does takes a day."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run."""

    scenario: Scenario
    history: History
    verdicts: list[Verdict]
    problems: list[str]
    """What steps expected and did not get."""
    virtual_seconds: float

    @property
    def violations(self) -> list[Violation]:
        """What the checks found, in the order of their names and of time."""
        return [violation for verdict in self.verdicts for violation in verdict.violations]

    @property
    def operations(self) -> int:
        """How many operations clients began."""
        return len(self.history.operations)


def run_scenario(scenario: Scenario) -> RunResult:
    """Run a scenario in virtual time.

    The same scenario gives the same history to the last byte, in any process and on any day.

    Raises:
        ScenarioError: a step cannot be done.
    """
    history = History(
        nodes=scenario.nodes,
        groups={name: int(replicas) for name, _, replicas in map(_group, scenario.groups)},
    )
    clock = VirtualClock()
    problems: list[str] = []
    collects = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would finish generators at a moment of its own
    try:
        with one_error():
            trio.run(partial(_run, scenario, history, clock, problems), clock=clock)
    finally:
        if collects:
            gc.enable()
        gc.collect()
    return RunResult(scenario, history, judge(history), problems, clock.now)


def _group(text: str) -> list[str]:
    parts = text.split(":")
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        raise ScenarioError(f"{text!r} is no group: write NAME:SHARDS:REPLICAS")
    return parts


async def _run(scenario: Scenario, history: History, clock: VirtualClock, problems: list[str]) -> None:
    scheduler = seeded_scheduler(random.Random(f"{scenario.seed} order"), clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scheduler.run)

        def give_up(reason: str) -> None:
            history.spins = reason
            nursery.cancel_scope.cancel()

        clock.on_stuck = give_up
        stage = Stage(scenario, scheduler, nursery, history, problems=problems)
        try:
            with _logs(stage), trio.move_on_after(RUN_SECONDS_MAX) as limit:
                await play(stage)
                stage.end_periods()
        finally:
            # A machine that stands still would never end.
            scheduler.let_all_go_on()
        if limit.cancelled_caught:
            history.spins = f"the run was not over after {RUN_SECONDS_MAX:g} s"
        nursery.cancel_scope.cancel()


@contextmanager
def _logs(stage: Stage) -> Generator[None]:
    """Take what nodes log: a traceback is a defect of theirs, an error or a warning a line of the story."""

    def take(_: Any, level: str, line: MutableMapping[str, Any]) -> NoReturn:
        text = str(line.pop("event", ""))
        error = line.pop("exc_info", None)
        rest = " ".join(f"{key}={value}" for key, value in sorted(line.items()))
        _note(stage, str(line.get("node", "")), level, f"{text} {rest}".rstrip(), error)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[take],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )
    library, handler = logging.getLogger("gossipnode"), _Handler(stage)
    propagates, library.propagate = library.propagate, False
    library.addHandler(handler)
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.propagate = propagates
        structlog.configure(**before)


def _note(stage: Stage, node: str, level: str, text: str, error: object) -> None:
    host = MACHINE.get() or node
    found = sys.exc_info()[1] if error is True else error
    if found:
        stage.defect(host, f"{text}: {found!r}")
    else:
        stage.tell(host, f"{level}: {text}")


class _Handler(logging.Handler):
    """Takes what the rpc library says through `logging`."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(logging.WARNING)
        self._stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        _note(self._stage, "", record.levelname.lower(), record.getMessage(), error)
