"""The loop: change an input, hand it to the layer, and keep it if it reached something new."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from fuzzing.inputs import Mutator, Steps, name_of, size_of, smaller
from fuzzing.layer import Layer, replay
from fuzzing.lines import Reached, Tracer

_FRESH_SHARE: Final = 16
_SMALLER_TRIES: Final = 400
# The frames of the layer's own code that tell one finding from another.
_FINDING_FRAMES: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that breaks a promise."""

    steps: Steps
    kind: str
    """The error and where it was raised: two findings of one kind are one defect."""
    trace: str


@dataclass(slots=True)
class Fuzzer:
    """A run of one layer. A seed decides all of it."""

    layer: Layer
    seed: int
    corpus: list[Steps] = field(default_factory=list[Steps])
    runs: int = 0
    arcs: set[int] = field(default_factory=set[int])
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    _random: Random = field(init=False)
    _mutator: Mutator = field(init=False)
    _tracer: Tracer = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(f"{self.layer.name} {self.seed}")
        layer = self.layer
        self._mutator = Mutator(self._random, layer.fresh, layer.changes, layer.most_steps)
        self._tracer = Tracer(layer.folders, layer.left_out)

    def begin(self, kept: Iterable[Steps]) -> None:
        """Start from inputs that are kept."""
        for steps in kept:
            self.attempt(steps)

    def go_on(self, more: Callable[[], bool]) -> None:
        """Try inputs while `more` says so."""
        random, mutator = self._random, self._mutator
        while more():
            if not self.corpus or not random.randrange(_FRESH_SHARE):
                self.attempt(mutator.fresh_input())
            else:
                self.attempt(mutator.child(self._pick(), self._pick()))

    def _pick(self) -> Steps:
        """An input to go on from: more often one of the newest, and of two the smaller one."""
        first, second = (self._random.choice(self.corpus) for _ in range(2))
        if not self._random.randrange(3):
            return self._random.choice(self.corpus[-32:])
        return min(first, second, key=size_of)

    def attempt(self, steps: Steps) -> bool:
        """Hand one input to the layer; gives whether it reached something new."""
        self.runs += 1
        reached = Reached()
        finding = self._finding(steps, reached)
        if finding is not None and finding.kind not in self.findings:
            self.findings[finding.kind] = self._smallest(finding)
        if reached.arcs <= self.arcs:
            return False
        self.arcs |= reached.arcs
        if finding is None and steps:
            self.corpus.append(steps)
        return True

    def _finding(self, steps: Steps, reached: Reached) -> Finding | None:
        try:
            found = replay(self.layer, steps, self._tracer)
        except Exception as error:  # noqa: BLE001 - whatever a layer raises is what is looked for
            frames = traceback.extract_tb(error.__traceback__)
            inside = [frame for frame in frames if "/gossipnode/" in frame.filename] or frames
            where = " < ".join(
                f"{frame.filename.rpartition('/gossipnode/')[2]}:{frame.name}"
                for frame in reversed(inside[-_FINDING_FRAMES:])
            )
            text = "".join(traceback.format_exception(error))
            return Finding(steps, f"{type(error).__name__} at {where}", text)
        reached.arcs |= found.arcs
        return None

    def _smallest(self, finding: Finding) -> Finding:
        """A smaller input of the same kind, as far as a few tries find one."""
        tries = iter(range(_SMALLER_TRIES))
        shrunk = True
        while shrunk:
            shrunk = False
            for steps in smaller(finding.steps):
                if next(tries, None) is None:
                    return finding
                other = self._finding(steps, Reached())
                if other is not None and other.kind == finding.kind:
                    finding, shrunk = other, True
                    break
        return finding

    def lines(self) -> set[tuple[str, int]]:
        """The lines that were reached."""
        return self._tracer.lines(self.arcs)

    def worth_keeping(self) -> list[Steps]:
        """A few inputs that together reach every arc that the corpus reaches: the small ones first."""
        kept: list[Steps] = []
        left = set(self.arcs)
        for steps in sorted(self.corpus, key=lambda steps: (size_of(steps), name_of(steps))):
            reached = Reached()
            if self._finding(steps, reached) is None and reached.arcs & left:
                left -= reached.arcs
                kept.append(steps)
        return kept
