"""The shortest schedule that still shows what a long one has shown, found by leaving things out.

It knows nothing of clusters. A callback runs a scenario and says whether it shows the same, so every step is
tried and none is argued about. The removal of chunks is delta debugging: A. Zeller and R. Hildebrandt,
"Simplifying and Isolating Failure-Inducing Input", IEEE Transactions on Software Engineering 28(2), 2002.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from gossipnode.sim.scenario.scenario import Scenario, Step

Shows: TypeAlias = Callable[[Scenario], bool]
"""Runs a scenario and says whether it shows the violation. One that cannot be run does not."""

RUNS_MAX = 400
"""How many scenarios are run for one schedule. A run takes about a second."""

LAST_VERBS = frozenset(("heal", "settle", "finish"))
"""The end of most schedules. Without it few checks can judge, so it is left out last and one by one."""

HALVINGS_MAX = 4
"""How often a time or a number is halved. Small numbers are nicer to read, but worth few runs."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What came of it."""

    scenario: Scenario
    """The shortest one that shows it; the one given, if that does not show it again."""
    shown: bool
    """Whether the scenario that was given showed it again. If not, runs are not repeatable."""
    runs: int
    finished: bool
    """Whether nothing more can be left out. If not, the runs were used up."""


class _UsedUpError(Exception):
    """No more scenarios may be run."""


class _Search:
    """The best scenario so far, and the runs that are left. No scenario is run twice."""

    def __init__(self, scenario: Scenario, shows: Shows, runs_max: int) -> None:
        self.best = scenario
        self.runs = 0
        self._shows = shows
        self._runs_max = runs_max
        self._tried: dict[str, bool] = {}

    def improves(self, candidate: Scenario) -> bool:
        """Run a candidate, and keep it if it shows the same."""
        text = candidate.text()
        if text not in self._tried:
            if self.runs >= self._runs_max:
                raise _UsedUpError
            self.runs += 1
            self._tried[text] = self._shows(candidate)
        if self._tried[text]:
            self.best = candidate
        return self._tried[text]


def shrink(scenario: Scenario, shows: Shows, runs_max: int = RUNS_MAX) -> Shrunk:
    """Leave out of a scenario what is not needed to show what it shows, in at most `runs_max` runs."""
    search = _Search(scenario, shows, runs_max)
    try:
        if not search.improves(scenario):
            return Shrunk(scenario, shown=False, runs=search.runs, finished=True)
        before = (0, 0, 0)
        while before != _size(search.best):
            before = _size(search.best)
            _leave_out_steps(search)
            _leave_out_last_steps(search)
            _leave_out_header(search)
            _leave_out_arguments(search)
            _sooner(search)
            _smaller_numbers(search)
    except _UsedUpError:
        return Shrunk(search.best, shown=True, runs=search.runs, finished=False)
    return Shrunk(search.best, shown=True, runs=search.runs, finished=True)


def _size(scenario: Scenario) -> tuple[int, int, int]:
    """What a further pass must have made smaller to be worth another one."""
    arguments = sum(len(step.arguments) for step in scenario.steps)
    return len(scenario.steps), len(scenario.nodes) + len(scenario.groups), arguments


# Steps


def _leave_out_steps(search: _Search) -> None:
    """Leave out chunks of the steps before the last ones: first halves, then ever smaller ones.

    Afterwards no single step can be left out.
    """
    parts = 2
    while steps := _body(search.best):
        parts = min(parts, len(steps))
        if _leave_out_one_of(search, steps, parts):
            parts = max(parts - 1, 2)
        elif parts == len(steps):
            return
        else:
            parts *= 2


def _leave_out_one_of(search: _Search, steps: tuple[Step, ...], parts: int) -> bool:
    last = search.best.steps[len(steps) :]
    bounds = [len(steps) * part // parts for part in range(parts + 1)]
    # What happens late matters least: often all that follows a violation can go.
    for part in reversed(range(parts)):
        kept = steps[: bounds[part]] + steps[bounds[part + 1] :]
        if search.improves(replace(search.best, steps=kept + last)):
            return True
    return False


def _body(scenario: Scenario) -> tuple[Step, ...]:
    """The steps before the last ones."""
    end = len(scenario.steps)
    while end and scenario.steps[end - 1].verb in LAST_VERBS:
        end -= 1
    return scenario.steps[:end]


def _leave_out_last_steps(search: _Search) -> None:
    for place in reversed(range(len(_body(search.best)), len(search.best.steps))):
        steps = search.best.steps
        search.improves(replace(search.best, steps=steps[:place] + steps[place + 1 :]))


# The header


def _leave_out_header(search: _Search) -> None:
    """Leave out nodes and groups that no step names, and settings.

    As many nodes stay as groups have replicas. With fewer of them a quorum may be out of reach, and then the
    check is violated for another reason.
    """
    for group in search.best.groups:
        if not _named(search.best, group.partition(":")[0]):
            left = tuple(each for each in search.best.groups if each != group)
            search.improves(replace(search.best, groups=left))
    for node in search.best.nodes:
        if not _named(search.best, node) and len(search.best.nodes) > _replicas(search.best):
            left = tuple(each for each in search.best.nodes if each != node)
            search.improves(replace(search.best, nodes=left))
    for key in list(search.best.settings):
        rest = {name: value for name, value in search.best.settings.items() if name != key}
        search.improves(replace(search.best, settings=rest))


def _replicas(scenario: Scenario) -> int:
    """How many replicas the groups have, at most."""
    given = [group.rpartition(":")[2] for group in scenario.groups]
    return max([1, *(int(replicas) for replicas in given if replicas.isdigit())])


_NAME = re.compile(r"\w+")


def _named(scenario: Scenario, name: str) -> bool:
    """Whether a word of a step is this name, or holds it, as `a-b` and `via=a,b` hold a and b."""
    return any(
        name in _NAME.findall(argument) or argument == name
        for step in scenario.steps
        for argument in step.arguments
    )


# Arguments and times


def _leave_out_arguments(search: _Search) -> None:
    """Leave out options, tags and keys, from the end of each step."""
    for place in range(len(search.best.steps)):
        for number in reversed(range(1, len(search.best.steps[place].arguments))):
            words = search.best.steps[place].arguments
            _change(search, place, arguments=words[:number] + words[number + 1 :])


def _sooner(search: _Search) -> None:
    """Take out time: from the whole schedule, then from each wait, and leave times that are easy to read."""
    for _ in range(HALVINGS_MAX):
        if not search.improves(_with_times(search.best, lambda time: round(time / 2, 3))):
            break
    times = sorted({step.at for step in search.best.steps if step.at is not None})
    for after, wait in _waits(times):
        _earlier(search, after, wait)
    search.improves(_with_times(search.best, lambda time: float(round(time))))
    search.improves(_with_times(search.best, lambda time: round(time, 1)))


def _waits(times: list[float]) -> Iterator[tuple[float, float]]:
    """The time after which each wait begins, and its length, the last wait first."""
    starts = [0.0, *times]
    for earlier, later in reversed(list(zip(starts, times, strict=False))):
        yield earlier, later - earlier


def _earlier(search: _Search, after: float, wait: float) -> None:
    """Let all that comes after a time come earlier, by nearly the whole wait, or by half of it."""
    for cut in (wait * 0.9, wait * 0.5):
        if search.improves(_with_times(search.best, partial(_moved, after, cut))):
            return


def _moved(after: float, cut: float, time: float) -> float:
    return time if time <= after else round(time - cut, 3)


def _with_times(scenario: Scenario, change: Callable[[float], float]) -> Scenario:
    steps = tuple(step if step.at is None else replace(step, at=change(step.at)) for step in scenario.steps)
    return replace(scenario, steps=steps)


_NUMBER = re.compile(r"\d+(\.\d+)?")


def _smaller_numbers(search: _Search) -> None:
    """Halve the numbers among the arguments, such as the seconds of a wait or the size of an import."""
    for place in range(len(search.best.steps)):
        for number in range(len(search.best.steps[place].arguments)):
            for _ in range(HALVINGS_MAX):
                words = search.best.steps[place].arguments
                if not _NUMBER.fullmatch(words[number]) or not (half := _half(words[number])):
                    break
                smaller = (*words[:number], half, *words[number + 1 :])
                if not _change(search, place, arguments=smaller):
                    break


def _half(number: str) -> str:
    """Half of a number; nothing for one that is not worth it."""
    if "." not in number:
        return str(int(number) // 2) if int(number) > 1 else ""
    return f"{float(number) / 2:.3g}" if float(number) > 0.01 else ""


def _change(search: _Search, place: int, *, arguments: tuple[str, ...]) -> bool:
    steps = list(search.best.steps)
    steps[place] = replace(steps[place], arguments=arguments)
    return search.improves(replace(search.best, steps=tuple(steps)))
