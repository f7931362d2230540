"""A scenario as text: a header that says what the cluster is, and steps, one a line.

    # c misses a write, and has it after a round.
    nodes a b c
    groups sw:1:3

    cut c-*
    apply a sw/n/1 x=1 -> ok
    mend all
    round a sw 0 -> repaired

A step is `[@SECONDS] VERB ARGUMENTS [-> EXPECTED WORDS]`. Without a time it begins when the one before it has
ended; with one it begins at that time of the run, beside the others. A step without a time waits until every
step above it has begun. What verbs there are stands in `verbs`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ARROW = "->"

_MAKES = {"join": 0, "appear": 0, "move": 1, "twin": 1}
"""Which argument of a verb names a machine that it makes."""


class ScenarioError(ValueError):
    """A scenario cannot be read. The text is one line that names the place and what to write."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a scenario."""

    at: float | None
    """When it begins, in seconds of virtual time since the run began; None: after the step before it."""
    verb: str
    arguments: tuple[str, ...] = ()
    expected: tuple[str, ...] | None = None
    """Words that its result must have; one that begins with ! must not be there."""
    line: int = 0
    """Its line in the file; 0 if it comes from no file."""

    def __str__(self) -> str:
        """The line, as `parse_step` reads it."""
        words = [] if self.at is None else [f"@{self.at:.3f}".rstrip("0").rstrip(".")]
        words += [self.verb, *(shlex.quote(argument) for argument in self.arguments)]
        if self.expected is not None:
            words += [ARROW, *(shlex.quote(word) for word in self.expected)]
        return " ".join(words).replace("'*'", "*")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cluster, and what is done to it."""

    name: str = "a scenario"
    nodes: tuple[str, ...] = ("a", "b", "c")
    """The nodes of the configuration. They run when the first step begins."""
    groups: tuple[str, ...] = ("sw:1:3",)
    """NAME:SHARDS:REPLICAS each."""
    seed: int = 0
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings of every node beside those that every simulation has."""
    known: tuple[str, ...] = ()
    """What goes wrong today, on purpose not hidden: names of checks, or `steps` for unmet expectations."""
    steps: tuple[Step, ...] = ()

    def made(self) -> frozenset[str]:
        """The machines that its steps make."""
        return frozenset(
            step.arguments[place]
            for step in self.steps
            if (place := _MAKES.get(step.verb)) is not None and len(step.arguments) > place
        )

    def text(self) -> str:
        """The file that `parse_scenario` reads this from."""
        lines = [f"nodes {' '.join(self.nodes)}", f"groups {' '.join(self.groups)}", f"seed {self.seed}"]
        lines += [f"setting {key} {shlex.quote(value)}" for key, value in self.settings.items()]
        lines += [f"known {' '.join(self.known)}"] if self.known else []
        return "\n".join([*lines, "", *map(str, self.steps)]) + "\n"


def parse_step(line: str, number: int = 0) -> Step:
    """Read one line. Raises ScenarioError without a place."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise ScenarioError(f"{error}: {line.strip()}") from None
    at: float | None = None
    if words and words[0].startswith("@"):
        at = parse_seconds(words.pop(0)[1:])
    if not words:
        raise ScenarioError("a time needs a verb after it")
    expected: tuple[str, ...] | None = None
    if ARROW in words:
        place = words.index(ARROW)
        expected, words = tuple(words[place + 1 :]), words[:place]
        if not expected or not words:
            raise ScenarioError(f"{ARROW} stands between a step and the words of its result")
    return Step(at, words[0], tuple(words[1:]), expected, number)


def parse_seconds(text: str) -> float:
    """Read a time in seconds, at least 0. Raises ScenarioError."""
    try:
        seconds = float(text)
    except ValueError:
        raise ScenarioError(f"{text!r} is no time: write seconds, such as 2.5") from None
    if not 0 <= seconds < float("inf"):
        raise ScenarioError(f"{text!r} is no time: it must be 0 or more")
    return seconds


def parse_scenario(text: str, name: str, check: Callable[[Step], None]) -> Scenario:
    """Read a scenario. `check` looks at each step and raises ScenarioError for one that cannot be done.

    Raises:
        ScenarioError: `NAME:LINE: what is wrong`.
    """
    header: dict[str, tuple[str, ...]] = {}
    settings: dict[str, str] = {}
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            step = parse_step(line, number)
            if step.verb in _HEADER:
                _HEADER[step.verb](step, header, settings, late=bool(steps))
            else:
                check(step)
                steps.append(step)
        except ScenarioError as error:
            raise ScenarioError(f"{name}:{number}: {error}") from None
    seed = header.get("seed", ("0",))[0]
    if not seed.isdigit():
        raise ScenarioError(f"{name}: seed {seed!r} is no number of 0 or more")
    blank = Scenario()
    return Scenario(
        name=name,
        nodes=header.get("nodes", blank.nodes),
        groups=header.get("groups", blank.groups),
        seed=int(seed),
        settings=settings,
        known=header.get("known", ()),
        steps=tuple(steps),
    )


def _list_line(
    step: Step, header: dict[str, tuple[str, ...]], _settings: dict[str, str], *, late: bool
) -> None:
    _check_header(step, late=late)
    if step.verb in header or not step.arguments:
        raise ScenarioError(f"{step.verb} stands once in the header, with what it lists")
    header[step.verb] = step.arguments


def _setting_line(
    step: Step, _header: dict[str, tuple[str, ...]], settings: dict[str, str], *, late: bool
) -> None:
    _check_header(step, late=late)
    if len(step.arguments) != 2:
        raise ScenarioError("write: setting KEY VALUE")
    settings[step.arguments[0]] = step.arguments[1]


def _check_header(step: Step, *, late: bool) -> None:
    if late:
        raise ScenarioError(f"{step.verb} belongs to the header, above the first step")
    if step.at is not None or step.expected is not None:
        raise ScenarioError(f"{step.verb} is no step: it has no time and no result")


_HEADER = {
    "nodes": _list_line,
    "groups": _list_line,
    "seed": _list_line,
    "known": _list_line,
    "setting": _setting_line,
}
