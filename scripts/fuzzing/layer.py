"""What the fuzzer is told of a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from fuzzing.inputs import Change, Steps
from fuzzing.lines import Reached, Tracer


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that takes what others send."""

    name: str
    about: str
    run: Callable[[Steps], int]
    """Hands an input to the layer; gives how many bytes it got. Raises where it breaks a promise."""
    fresh: Callable[[Random], bytes]
    """Makes a new step."""
    folders: tuple[str, ...]
    """Where the layer's code stands; its lines are looked at."""
    base_steps: int
    steps_per_byte: int
    """What an input may cost, in steps of Python: so many, and so many for each byte that the layer gets."""
    left_out: tuple[str, ...] = ()
    """What of it is not looked at."""
    most_steps: int = 48
    """The steps of one input."""
    changes: Sequence[Change] = ()
    """Ways to change a step that know what it holds."""


class CostlyError(AssertionError):
    """An input cost more than its size allows."""


def replay(layer: Layer, steps: Steps, tracer: Tracer | None = None) -> Reached:
    """Hand an input to a layer. Raises where a promise is broken, also that of a bounded cost."""
    reached = Reached()
    size = (tracer or Tracer(layer.folders, layer.left_out)).run(lambda: layer.run(steps), reached)
    most = layer.base_steps + layer.steps_per_byte * size
    if reached.steps > most:
        raise CostlyError(f"{reached.steps} steps for {size} bytes: at most {most}")
    return reached
