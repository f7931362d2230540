"""What a verb of the language is: its words, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from gossipnode.sim.scenario.scenario import ScenarioError, Step
from gossipnode.sim.scenario.stage import Stage

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the language."""

    name: str
    usage: str
    """What stands after it, such as `NODE KEY TAG=N...`."""
    about: str
    """One sentence that says what it does."""
    run: Callable[[Stage, Words], Awaitable[Iterable[str] | None]]
    """Does it, and gives the words of its result. Raises ScenarioError for what cannot be done."""
    least: int = 0
    most: int | None = None
    """How many arguments it takes; None: as many as there are."""

    def check(self, step: Step) -> None:
        """Raise ScenarioError if the step has too few or too many arguments."""
        count = len(step.arguments)
        if count < self.least or (self.most is not None and count > self.most):
            raise ScenarioError(f"write: {self.name} {self.usage}")


def by_name(*verbs: Verb) -> Mapping[str, Verb]:
    """A table of verbs."""
    return {verb.name: verb for verb in verbs}
