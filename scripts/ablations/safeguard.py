"""What a safeguard is: places in the source, and what stands there when it is taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PRODUCT = "gossipnode"

HOLDING = (
    *("crash", "crash-loop", "power", "stop", "pause", "slow", "cut", "one-way", "drop", "flap", "reset"),
    *("latency", "bandwidth", "drift", "full", "slow-disk", "fail", "tear", "mute", "interrupted"),
)
"""The faults under which the untouched product keeps every promise today."""

CLOCKS = ("clock", "drift", "crash")
"""Clocks are wrong, and nodes start again."""

REQUESTS = ("interrupted",)
"""Requests lose what they ask in the middle, and are tried again."""

PURGES = ("purge", "crash", "cut", "one-way", "pause")
"""Tombstones are purged while replicas are away."""

MOVES = ("moving", "join", "pause")
"""Members come, and shards move, while nodes stand still and are cut off."""


class NotOnceError(Exception):
    """The text of a change does not stand in its file exactly once, so the source has changed since."""


@dataclass(frozen=True, slots=True)
class Change:
    """A text of a file of the product, and what is put in its place."""

    file: str
    """Below the product's folder."""
    old: str
    new: str

    def applied(self, source: str) -> str:
        """The source with the change.

        Raises:
            NotOnceError: the old text is not there, or is there more than once.
        """
        if (count := source.count(self.old)) != 1:
            raise NotOnceError(f"{PRODUCT}/{self.file}: {count} times there, expected once: {self.old!r}")
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Safeguard:
    """A safeguard, and how it is taken out."""

    name: str
    about: str
    """What is taken out, in one sentence."""
    changes: tuple[Change, ...]
    faults: tuple[str, ...] = HOLDING
    """Under which faults it should be missed."""


def without(
    name: str, about: str, *changes: tuple[str, str, str], faults: tuple[str, ...] = HOLDING
) -> Safeguard:
    """A safeguard that is taken out by changes, each of (file, old text, new text)."""
    return Safeguard(name, about, tuple(Change(*change) for change in changes), faults)


@contextmanager
def taken_out(safeguard: Safeguard, copy: Path) -> Iterator[None]:
    """Take a safeguard out of the copy of the repository in `copy`, as long as the block lasts.

    Raises:
        NotOnceError: it cannot be taken out any more.
    """
    before: dict[Path, str] = {}
    try:
        for change in safeguard.changes:
            path = copy / PRODUCT / change.file
            source = path.read_text()
            before.setdefault(path, source)
            path.write_text(change.applied(source))
        yield
    finally:
        for path, source in before.items():
            path.write_text(source)
