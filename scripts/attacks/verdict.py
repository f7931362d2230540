"""What was seen under an attack, judged against a busy honest node; as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SLOWER_MAX = 5.0
"""An innocent's slowest answer may take this many times that of the baseline."""
GROWN_MAX_MB = 256
"""What the node's memory may grow by, above what it had before the first attack."""

Figures = Mapping[str, Mapping[str, object]]
"""What each kind of innocent client saw."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the node, in MB."""

    before: float
    highest: float
    after: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attack."""

    name: str
    innocents: Figures
    memory: Memory
    ended: str
    base_mb: float
    """What the node had before the first attack."""
    problems: tuple[str, ...] = ()

    def describe(self) -> dict[str, object]:
        """For JSON."""
        return {
            "innocents": self.innocents,
            "memory_mb": {
                "base": self.base_mb,
                "before": self.memory.before,
                "highest": self.memory.highest,
                "after": self.memory.after,
            },
            "ended": self.ended,
            "verdict": "; ".join(self.problems) or "ok",
        }


def problems_of(
    innocents: Figures, memory: Memory, base_mb: float, baseline: Figures | None
) -> tuple[str, ...]:
    """What is wrong, in a few words each. The baseline itself is judged by errors and memory alone."""
    found: list[str] = []
    for kind, seen in innocents.items():
        if seen["errors"]:
            found.append(f"{kind}: {seen['errors']} errors, {seen['first_error']}")
        if baseline is None:
            continue
        slowest, usual = number(seen["slowest_ms"]), number(baseline[kind]["slowest_ms"])
        if slowest > SLOWER_MAX * usual:
            found.append(f"{kind}: {slowest / usual:.0f} times the baseline's slowest")
    grown = memory.highest - base_mb
    if grown > GROWN_MAX_MB:
        found.append(f"memory: {grown:.0f} MB above its base")
    return tuple(found)


def number(value: object) -> float:
    """A figure of JSON."""
    assert isinstance(value, int | float)
    return float(value)


HEADINGS = ("attack", "get ms", "apply ms", "connect ms", "errors", "memory MB", "verdict", "how it ended")


def table(outcomes: Sequence[Outcome]) -> str:
    """One line for each attack. Times are median and slowest; memory is before, highest and after."""
    rows = [HEADINGS, *(row_of(outcome) for outcome in outcomes)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADINGS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The same as a table of a document, without how each one ended."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *(row_of(outcome) for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(row[:-1])} |" for row in rows)


def row_of(outcome: Outcome) -> tuple[str, ...]:
    """The cells of one attack."""
    seen, memory = outcome.innocents, outcome.memory
    times = [
        f"{seen[kind]['median_ms']} / {seen[kind]['slowest_ms']}" for kind in ("get", "apply", "connect")
    ]
    errors = sum(int(number(each["errors"])) for each in seen.values())
    calls = sum(int(number(each["calls"])) for each in seen.values())
    return (
        outcome.name,
        *times,
        f"{errors} of {calls}",
        f"{memory.before:.0f} / {memory.highest:.0f} / {memory.after:.0f}",
        "ok" if not outcome.problems else "; ".join(problem.split(",")[0] for problem in outcome.problems),
        outcome.ended,
    )
