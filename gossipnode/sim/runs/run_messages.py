"""What is sent to a worker, and what comes back: one line of JSON each.

A summary stays small, so that thousands of them can wait. A history is only sent where it was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from gossipnode.sim.checks.verdict import Violation

if TYPE_CHECKING:
    from gossipnode.sim.runs.one_run import RunResult

STEPS = "steps"
"""The name under which unmet expectations of steps are told, as the violations of a check are."""

RUN = "run"
"""The name under which it is told that a run broke off, or that its process did."""


class MadeRun(msgspec.Struct, frozen=True, tag="made"):
    """The run of a seed."""

    seed: int
    nodes: int
    minutes: float
    operations: int
    faults: tuple[str, ...]
    """The names of the faults that may occur, in order."""


class GivenRun(msgspec.Struct, frozen=True, tag="given"):
    """The run of a scenario that is given as a text."""

    name: str
    """A name for errors in the text, such as its file."""
    text: str
    seed: int | None = None
    """A seed in place of the one in the text."""


Run: TypeAlias = MadeRun | GivenRun


class Job(msgspec.Struct, frozen=True):
    """A run, and whether its history is wanted."""

    run: Run
    with_history: bool = False


class Story(msgspec.Struct, frozen=True):
    """The history of a run."""

    text: str
    page: str
    """As HTML."""


class Summary(msgspec.Struct, frozen=True):
    """What came of a run."""

    seed: int
    nodes: int = 0
    faults: tuple[str, ...] = ()
    operations: int = 0
    virtual_seconds: float = 0.0
    """How long the run was, in its own time."""
    checks: dict[str, int] = {}
    """How often each check was made."""
    reached: dict[str, int] = {}
    """How often each fault was reached."""
    violations: tuple[Violation, ...] = ()
    scenario: str = ""
    """The text of the scenario, if something is violated. Empty if the process was lost with it."""
    refused: str = ""
    """Why the scenario cannot be run, if it cannot: it is wrong, and says nothing about the cluster."""
    story: Story | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that `gossipnode sim -o json` prints for it."""
        return {
            "seed": self.seed,
            "nodes": self.nodes,
            "faults": list(self.faults),
            "operations": self.operations,
            "checks": self.checks,
            "reached": self.reached,
            "violations": [
                {
                    "check": violation.check,
                    "time": violation.time if violation.time < float("inf") else None,
                    "text": violation.text,
                    "operations": list(violation.operations),
                }
                for violation in self.violations
            ],
        }


def summary_of(result: RunResult, faults: tuple[str, ...]) -> Summary:
    """The summary of a run that came to its verdicts, without its story."""
    violations = (*violations_of(result),)
    expectations = sum(step.expected is not None for step in result.scenario.steps)
    checks = {verdict.check: verdict.times for verdict in result.verdicts}
    return Summary(
        seed=result.scenario.seed,
        nodes=len(result.scenario.nodes),
        faults=faults,
        operations=result.operations,
        virtual_seconds=result.virtual_seconds,
        checks={**checks, STEPS: expectations} if expectations else checks,
        reached=dict(sorted(result.history.reached.items())),
        violations=violations,
        scenario=result.scenario.text() if violations else "",
    )


def violations_of(result: RunResult) -> list[Violation]:
    """What the checks found, and after it what steps expected and did not get."""
    return [*result.violations, *(Violation(STEPS, 0.0, problem) for problem in result.problems)]


def broken_off(run: Run, why: str, scenario: str = "") -> Summary:
    """The summary of a run that came to no verdict."""
    violations = (Violation(RUN, 0.0, why),)
    if isinstance(run, MadeRun):
        return Summary(run.seed, run.nodes, run.faults, violations=violations, scenario=scenario)
    return Summary(run.seed or 0, violations=violations, scenario=scenario)


def encode_line(message: Job | Summary) -> bytes:
    """A message as one line of JSON."""
    return msgspec.json.encode(message) + b"\n"


def decode_job(line: bytes) -> Job:
    """Read what `encode_line` has made."""
    return msgspec.json.decode(line, type=Job)


def decode_summary(line: bytes) -> Summary:
    """Read what `encode_line` has made. Raises msgspec.MsgspecError for anything else."""
    return msgspec.json.decode(line, type=Summary)
