"""Inputs as values and as text, and how they are changed.

An input is a list of steps, and each step is some bytes. As text a step is a line of hex digits; inputs are
parted by an empty line, and a line that begins with # is a comment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

Steps: TypeAlias = tuple[bytes, ...]
Change: TypeAlias = Callable[[bytes, Random], bytes]

MAX_STEP_BYTES: Final = 4096
_LINE_DIGITS: Final = 16_384
_MAX_CHANGES: Final = 4
_INTERESTING: Final = (
    b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff",
    b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\xff" * 9 + b"\x01", b"\xff" * 8 + b"\x7f", b"\0\0\x40\0",
)  # fmt: skip


def size_of(steps: Steps) -> int:
    """The bytes of all steps."""
    return sum(map(len, steps))


def name_of(steps: Steps) -> str:
    """A short name that two different inputs do not share."""
    return hashlib.sha256(to_text(steps).encode()).hexdigest()[:12]


def to_text(steps: Steps) -> str:
    return "\n".join(step.hex() or "-" for step in steps) + "\n"


def from_text(text: str) -> list[Steps]:
    """The inputs of a text."""
    found: list[Steps] = []
    steps: list[bytes] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if line.strip():
            steps.append(b"" if line.strip() == "-" else bytes.fromhex(line))
        elif steps:
            found.append(tuple(steps))
            steps = []
    return found


def read_inputs(folder: Path) -> list[Steps]:
    """Every input that is kept in a folder, in the order of the files' names."""
    return [steps for path in sorted(folder.glob("*.txt")) for steps in from_text(path.read_text("ascii"))]


class Mutator:
    """Makes new inputs from those that are kept."""

    def __init__(
        self, random: Random, fresh: Callable[[Random], bytes], changes: Sequence[Change], most_steps: int
    ) -> None:
        """`fresh` makes a new step. `changes` change one step with knowledge of what it holds."""
        self._random = random
        self._fresh = fresh
        self._most_steps = most_steps
        self._changes = (*changes, change_bytes) if changes else (change_bytes,)

    def fresh_input(self) -> Steps:
        return tuple(
            self._fresh(self._random) for _ in range(1 + self._random.randrange(min(8, self._most_steps)))
        )

    def child(self, parent: Steps, other: Steps) -> Steps:
        """A changed input. Parts of `other` may come into it."""
        steps = list(parent)
        for _ in range(1 + self._random.randrange(_MAX_CHANGES)):
            self._change(steps, other)
        return tuple(step[:MAX_STEP_BYTES] for step in steps[: self._most_steps])

    def _change(self, steps: list[bytes], other: Steps) -> None:
        random = self._random
        at = random.randrange(len(steps) + 1)
        choice = random.randrange(10)
        if choice == 0 or not steps:
            steps.insert(at, self._fresh(random))
            return
        at %= len(steps)
        if choice == 1 and len(steps) > 1:
            del steps[at]
        elif choice == 2:
            steps.insert(random.randrange(len(steps) + 1), steps[at])
        elif choice == 3:
            begin = random.randrange(len(other))
            steps[at:at] = other[begin : begin + 1 + random.randrange(6)]
        elif choice == 4 and len(steps) > 1:
            steps.insert(random.randrange(len(steps)), steps.pop(at))
        else:
            change = random.choice(self._changes)
            steps[at] = change(steps[at], random)


def change_bytes(step: bytes, random: Random) -> bytes:
    """A step with some of its bytes changed, added or taken away."""
    data = bytearray(step)
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + 1 + random.randrange(8))
    match random.randrange(6):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.randrange(random.choice((16, 256)))
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end] * (1 + random.randrange(4))
        case 4:
            value = random.choice(_INTERESTING)
            data[at : at + len(value) * random.randrange(2)] = value
        case _:
            data[at:at] = random.randbytes(1 + random.randrange(4))
    return bytes(data)


def smaller(steps: Steps) -> Iterable[Steps]:
    """Inputs that are a little smaller: without some steps, then without some bytes."""
    for width in (8, 4, 2, 1):
        for at in range(0, len(steps), width):
            if width < len(steps):
                yield steps[:at] + steps[at + width :]
    for at, step in enumerate(steps):
        for width in (256, 64, 16, 4, 1):
            for cut in range(0, len(step), width):
                yield (*steps[:at], step[:cut] + step[cut + width :], *steps[at + 1 :])


def wrapped(steps: Steps) -> str:
    """An input as text; refuses one whose lines nobody could read."""
    text = to_text(steps)
    assert max(map(len, text.splitlines()), default=0) <= _LINE_DIGITS
    return text
