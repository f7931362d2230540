"""Counts what is alive: tasks, descriptors, objects by type, bytes."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import trio
import trio.testing

DESCRIPTORS: Final = Path("/proc/self/fd")
# Objects of one type of ours, and of any other, that come and go with the moment at which they are counted.
OUR_SLACK_OBJECTS: Final = 3
SLACK_OBJECTS: Final = 60
# Caches of header blocks and Trio's deadlines, in traced bytes: no object is small enough for one in each of
# 10,000 calls to fit.
SLACK_BYTES: Final = 192 << 10

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Alive:
    """What is alive at one moment."""

    tasks: Counter[str]
    """By the name of what they run."""
    descriptors: int
    objects: Counter[str]
    """Those that the collector knows, by type."""
    traced_bytes: int
    """0 while nothing is traced."""


async def count_alive() -> Alive:
    """What is alive once every task has done what it could, and the collector has run."""
    await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    # First, because counting takes memory, too.
    traced_bytes = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
    objects = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return Alive(
        Counter(task.name for task in tasks_below(root)),
        len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0,
        objects,
        traced_bytes,
    )


def tasks_below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    """A task, and all that were started below it."""
    yield task
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from tasks_below(child)


def left_behind(before: Alive, after: Alive, *, calls: int, remembered: Mapping[str, int]) -> list[str]:
    """What there is more of than before, in words.

    `remembered` says of some tasks and types how many there may be more, because something keeps the latest.
    Types of others, such as tuples and dicts, are caches at work: less than one for 100 calls is no leak.
    """
    found = []
    for name, number in after.tasks.items():
        if number > before.tasks[name] + remembered.get(name, 0):
            found.append(f"{number - before.tasks[name]} tasks of {name}")
    if after.descriptors > before.descriptors:
        found.append(f"{after.descriptors - before.descriptors} descriptors")
    for kind, number in after.objects.items():
        more = number - before.objects[kind]
        ours = kind.startswith(("gossipnode.", "trio."))
        slack = OUR_SLACK_OBJECTS if ours else SLACK_OBJECTS + calls // 100
        if more > slack + remembered.get(kind, 0):
            found.append(f"{more} of {kind}")
    return found


def all_of(kind: type[Kind]) -> Iterator[Kind]:
    """Every object of a type that the collector has found alive."""
    return (each for each in gc.get_objects() if isinstance(each, kind))
