"""A history as text: one line for each thing that happened, in the order of time, and how the run ended.

The text holds the whole history. Two runs are the same run if and only if their texts are equal, to the last
byte. It must never depend on anything else than the history that is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf

from gossipnode.observe.printable import printable
from gossipnode.sim.checks.verdict import Violation
from gossipnode.sim.history.history import History, Period, Replica, RoundSeen
from gossipnode.sim.history.operation_words import Outcome, asked_words, counted, heard_words, outcome_of

CLUSTER = "cluster"
"""The lane of what belongs to no single node or client."""


class Mark(Enum):
    """What a line is, by the sign before its text."""

    PLAIN = "   "
    FAULT = " ! "
    UNKNOWN = " ? "
    BAD = " x "
    VIOLATED = ">>>"


LEGEND = "!  a fault    ?  may have happened    x  an error    >>> a check is violated, or shown to be"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the story."""

    time: float
    lane: str
    text: str
    mark: Mark = Mark.PLAIN


def history_text(history: History, violations: Sequence[Violation] = ()) -> str:
    """The whole story, with the violations at its top and where they happened."""
    lines = story_lines(history, violations)
    width = max((len(printable(line.lane)) for line in lines), default=0)
    parts = [
        [f"nodes {' '.join(history.nodes)}"],
        [f"group {name}: {replicas} replicas" for name, replicas in history.groups.items()],
        *_section("violated", map(violation_words, violations)),
        *_section(f"what happened  ({LEGEND})", (_aligned(line, width) for line in lines)),
        *_section("reached", (f"{point}: {times}" for point, times in sorted(history.reached.items()))),
        *_section("at the end", _end(history)),
    ]
    return "\n".join(printable(line) for part in parts for line in part) + "\n"


def story_lines(history: History, violations: Iterable[Violation] = ()) -> list[Line]:
    """All that happened, in the order of time. What happened at one time stays in a fixed order."""
    shown = {number for violation in violations for number in violation.operations}
    lines = [*event_lines(history), *_period_lines(history), *_operation_lines(history, shown)]
    for each in history.rounds:
        lines += _round_lines(each)
    lines += [
        Line(violation.time, CLUSTER, violation_words(violation), Mark.VIOLATED) for violation in violations
    ]
    return sorted(lines, key=lambda line: line.time)


def violation_words(violation: Violation) -> str:
    """A violation in one line: its check, its time if it has one, what was seen, and the operations."""
    numbers = " ".join(f"#{number}" for number in violation.operations)
    shown = f" ({numbers})" if numbers else ""
    when = f" at {seconds(violation.time)}" if violation.time else ""
    return f"{violation.check}{when}: {violation.text}{shown}"


def round_words(seen: RoundSeen) -> str:
    """How a round ended, in one line without its hops."""
    before, after = ("equal" if equal else "different" for equal in (seen.equal_before, seen.equal_after))
    outcome = seen.outcome or "lost with its origin"
    return f"round of {seen.shard} {outcome}: {seen.replicas} replicas, {before} before, {after} after"


def hop_words(seen: RoundSeen) -> Iterator[str]:
    """The hops of a round, a line each."""
    for hop in seen.hops:
        reason = f", {hop.reason}" if hop.reason else ""
        yield (
            f"hop {hop.from_node} -> {hop.to_node}: {hop.session} {hop.end.value}{reason}; "
            f"sent {hop.sent}, received {hop.received}, skipped {hop.skipped}"
        )


def seconds(time: float) -> str:
    """A time of a run."""
    return "never" if time == inf else f"{time:.6f} s"


_MARKS = {"fault": Mark.FAULT, "error": Mark.BAD}


def event_lines(history: History) -> Iterator[Line]:
    """What happened at one moment: the events, and the records that went back to an older version."""
    for event in history.events:
        yield Line(event.time, event.lane, event.text, _MARKS.get(event.kind, Mark.PLAIN))
    for back in history.went_back:
        text = f"{back.key} goes back from {back.before} to {back.after}"
        yield Line(back.time, back.node, text, Mark.BAD)


def _period_lines(history: History) -> Iterator[Line]:
    for periods, begins, ends in (
        (history.calm, "all nodes are well", "something is wrong"),
        (history.served, "every shard has a majority", "a shard may have no majority"),
    ):
        for period in periods:
            yield Line(period.begins, CLUSTER, begins)
            if period.ends != inf:
                yield Line(period.ends, CLUSTER, ends)


_OUTCOME_MARKS = {
    Outcome.DONE: Mark.PLAIN,
    Outcome.REFUSED: Mark.BAD,
    Outcome.UNKNOWN: Mark.UNKNOWN,
    Outcome.OPEN: Mark.UNKNOWN,
}


def _operation_lines(history: History, shown: set[int]) -> Iterator[Line]:
    for operation in history.operations:
        plain, ended = Mark.PLAIN, _OUTCOME_MARKS[outcome_of(operation)]
        if operation.number in shown:
            plain = ended = Mark.VIOLATED
        yield Line(operation.began, operation.client, asked_words(operation), plain)
        if operation.ended is not None:
            took = f" [{(operation.ended - operation.began) * 1000:.3f} ms]"
            yield Line(operation.ended, operation.client, heard_words(operation) + took, ended)


def _round_lines(seen: RoundSeen) -> Iterator[Line]:
    end = " of the end" if seen.final else ""
    yield Line(seen.began, seen.origin, f"begins a round{end} of {seen.shard}")
    for words in hop_words(seen):
        yield Line(seen.ended, seen.origin, words)
    yield Line(seen.ended, seen.origin, round_words(seen))


def _aligned(line: Line, width: int) -> str:
    return f"{line.time:12.6f}  {printable(line.lane):{width}} {line.mark.value} {line.text}".rstrip()


def _section(title: str, lines: Iterable[str]) -> list[list[str]]:
    """An empty line, a title and its lines; nothing if there are no lines."""
    inside = [f"  {line}" for line in lines]
    return [["", title], inside] if inside else []


def _end(history: History) -> Iterator[str]:
    for kind, periods in (("all well", history.calm), ("with majorities", history.served)):
        yield f"{kind}: {sum(map(_length, periods)):.3f} s in {counted(len(periods), 'period')}"
    if history.healed_at is not None:
        yield f"healed at {seconds(history.healed_at)}"
    if history.spins:
        yield f"not ended: {history.spins}"
    for harm in history.harms:
        yield f"{harm.host} {harm.kind} from {seconds(harm.begins)} to {seconds(harm.ends)}"
    for ended in history.ended_nodes:
        expected = "as expected" if ended.expected else "which was not expected"
        yield f"{ended.node} ended at {seconds(ended.time)}, {expected}: {ended.reason}"
    for defect in history.defects:
        yield f"{defect.node} logged a defect at {seconds(defect.time)}: {defect.text}"
    for shard, replicas in sorted(history.replicas.items()):
        for replica in replicas:
            yield f"{shard} on {replica.node}: {counted(len(replica.held), 'record')}, root {replica.root}"
            yield from _held(replica)
    for usage in history.usage:
        yield (
            f"{usage.node} idle: {usage.tasks} tasks, {usage.connections} connections, "
            f"{usage.memory_bytes} bytes, {usage.steps_a_minute} steps a minute"
        )
    # The lines above round their times. Runs that differ in less than that are two runs all the same.
    yield f"fingerprint {hashlib.sha256(repr(history).encode(errors='backslashreplace')).hexdigest()}"


def _held(replica: Replica) -> Iterator[str]:
    for key, (revision, delete_time, tags) in replica.held.items():
        state = f"deleted at {delete_time}" if delete_time else "live"
        told = " ".join(f"{name}={value}" for name, value in tags.items())
        yield f"    {key} {revision} {state} {told}".rstrip()


def _length(period: Period) -> float:
    return 0.0 if period.ends == inf else period.ends - period.begins
