"""What happened to one key: every write that may have taken effect, and everything that was shown of it.

Checks must not cry wolf, so what is not certain is taken as possible. What ends in the instant in which
another operation begins has come before it, if their places do not say otherwise.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from gossipnode.sim.checks.floors import Floors
from gossipnode.sim.checks.sights import END, NOBODY, KeyWrite, Shown
from gossipnode.sim.history.history import History
from gossipnode.sim.history.operations import (
    Apply,
    Delete,
    Deleted,
    Failed,
    Get,
    Import,
    Nothing,
    Operation,
    Query,
    Row,
    Rows,
    Stored,
    Tags,
)

PLACE_SECONDS = 1e-9
"""What a place counts, so that what comes after another in the same instant has a later time."""

STRONG_LEVELS = ("quorum", "all")


@dataclass(slots=True)
class KeyStory:
    """All writes and all sights of one key, in the order of their beginnings."""

    key: str
    writes: list[KeyWrite] = field(default_factory=list[KeyWrite])
    shown: list[Shown] = field(default_factory=list[Shown])
    writers: dict[tuple[str, int], list[KeyWrite]] = field(
        default_factory=dict[tuple[str, int], list[KeyWrite]]
    )
    """Who wrote each value of each tag. In a history that can be judged well, that is one write."""
    sights: list[Shown] = field(default_factory=list[Shown])
    """What quorums showed to clients, the sights of one version joined, in the same order."""
    at_end: list[Shown] = field(default_factory=list[Shown])
    """What the replicas held when the run had ended."""
    floors: Floors = field(default_factory=lambda: Floors([], []))
    """How new a version must be, by what came before."""
    judged: list[Shown] = field(default_factory=list[Shown])
    """What a check is to judge by all that came before: the sights, or what is there at the end."""

    def strong(self) -> Iterator[Shown]:
        """All that quorums showed, one by one."""
        return (shown for shown in self.shown if shown.strong)

    def promised(self) -> Iterator[KeyWrite]:
        """The writes that a quorum acknowledged."""
        return (write for write in self.writes if write.promised)

    def sole_writer(self, tag: str, value: int) -> KeyWrite | None:
        """The one write that can have written a value, or None if it was not one."""
        writers = self.writers.get((tag, value), [])
        return writers[0] if len(writers) == 1 else None

    def ended(self) -> KeyStory:
        """The same story, with what is there at the end to be judged."""
        return replace(self, judged=self.at_end)


def key_stories(history: History) -> list[KeyStory]:
    """The story of each key that was written, shown or held, sorted by key."""
    stories: dict[str, KeyStory] = {}
    judged = [operation for operation in history.operations if _is_judged(operation, history)]
    for operation in judged:
        for key in operation.keys:
            story = stories.setdefault(key, KeyStory(key))
            _add(story, operation)
        if isinstance(operation.heard, Rows):
            for row in operation.heard.rows:
                stories.setdefault(row.key, KeyStory(row.key))
    _add_queries(stories, judged)
    _add_end(stories, history)
    for story in stories.values():
        story.writes = _with_last(story.writes)
        story.writes.sort(key=lambda each: (each.began, each.number))
        story.shown.sort(key=lambda each: (each.began, each.number))
        for write in story.writes:
            for tag, value in write.tags.items():
                story.writers.setdefault((tag, value), []).append(write)
        story.sights = _joined(story.strong())
        story.judged = story.sights
        story.floors = Floors(story.promised(), story.sights)
    return [stories[key] for key in sorted(stories)]


def group_of(key: str) -> str:
    """The group of a key."""
    return key.partition("/")[0]


def _joined(shown: Iterable[Shown]) -> list[Shown]:
    """What was shown, with all sights of one version joined, and of a row of sights of nothing the outer two.

    The version was there when the first sight of it ended, and no newer one when the last began. So a joined
    sight may begin after it ended.
    """
    versions: dict[tuple[int, tuple[tuple[str, int], ...]], Shown] = {}
    absent: list[Shown] = []
    in_row = 0
    for one in shown:
        if one.tags is None:
            in_row += 1
            if in_row > 2:
                absent.pop()
            absent.append(one)
            continue
        in_row = 0
        version = (one.revision, tuple(sorted(one.tags.items())))
        known = versions.get(version, one)
        began, ended = max(known.began, one.began), min(known.ended, one.ended)
        versions[version] = replace(known, began=began, ended=ended)
    return sorted((*versions.values(), *absent), key=lambda each: (each.began, each.number))


def _is_judged(operation: Operation, history: History) -> bool:
    """Whether an operation was over before its group was deleted."""
    if not history.deleted_groups:
        return True
    asked = operation.asked
    groups = {asked.group} if isinstance(asked, Query) else {group_of(key) for key in operation.keys}
    until = min((history.deleted_groups.get(group, math.inf) for group in groups), default=math.inf)
    return until == math.inf or (operation.ended is not None and operation.ended < until)


def _began(operation: Operation) -> float:
    return operation.began + operation.began_place * PLACE_SECONDS


def _end_of(operation: Operation) -> float:
    """When an operation ended. One that took no time ends just after its instant."""
    if operation.ended is None:
        return math.inf
    ended = operation.ended + operation.ended_place * PLACE_SECONDS
    return max(ended, math.nextafter(_began(operation), math.inf))


def _add(story: KeyStory, operation: Operation) -> None:
    write = _write_of(operation)
    if write is not None:
        story.writes.append(write)
    number, began = operation.number, _began(operation)
    if operation.ended is None:
        return
    ended = _end_of(operation)
    strong = operation.ack in STRONG_LEVELS
    match operation.heard:
        case Stored(revision, tags) if tags:
            story.shown.append(Shown(number, began, ended, "write", strong, revision, tags))
        case Row(_, revision, tags):
            story.shown.append(Shown(number, began, ended, "get", strong, revision, tags))
        case Nothing():
            story.shown.append(Shown(number, began, ended, "get", strong, 0, None))
        case _:
            pass


def _write_of(operation: Operation) -> KeyWrite | None:
    asked, heard = operation.asked, operation.heard
    if isinstance(asked, Get | Query) or (isinstance(heard, Failed) and not heard.maybe):
        return None
    over = operation.acknowledged or (isinstance(heard, Failed) and heard.over)
    ended = _end_of(operation) if over else math.inf
    strong = operation.ack in STRONG_LEVELS
    found: bool | None = None
    if isinstance(heard, Stored):
        found = not heard.created
    elif isinstance(heard, Deleted):
        found = heard.deleted
    return KeyWrite(
        operation.number,
        _began(operation),
        ended,
        tags={} if isinstance(asked, Delete) else asked.tags,
        replace=isinstance(asked, Import) or (isinstance(asked, Apply) and asked.replace),
        deletes=isinstance(asked, Delete),
        promised=strong and operation.acknowledged,
        weak=not strong,
        last=ended,
        wrote=not (isinstance(asked, Delete) and found is False),
        # A try that finds its work done is given the newest version, which has no tags if it is a tombstone.
        revision=heard.revision if isinstance(heard, Stored) and heard.tags else None,
        found=found,
        only_at="" if operation.others or isinstance(asked, Import) else operation.node,
    )


def _with_last(writes: Iterable[KeyWrite]) -> list[KeyWrite]:
    """The writes, each with the last moment in which it may take effect.

    A write that failed and is over takes effect before any that begins after it and is acknowledged. Writes
    that promise nothing may show at any time.
    """
    known = list(writes)
    walls = sorted((write.began, write.ended) for write in known if write.promised and write.wrote)
    firsts = [ended for _, ended in walls]
    for index in range(len(firsts) - 2, -1, -1):
        firsts[index] = min(firsts[index], firsts[index + 1])
    return [_until(write, walls, firsts) for write in known]


def _until(write: KeyWrite, walls: list[tuple[float, float]], firsts: list[float]) -> KeyWrite:
    if write.promised:
        return write
    if write.weak:
        return replace(write, ended=math.inf, last=math.inf)
    index = bisect_left(walls, (write.ended, -math.inf))
    return replace(write, last=firsts[index] if index < len(firsts) else math.inf)


def _add_queries(stories: dict[str, KeyStory], operations: Iterable[Operation]) -> None:
    keys: dict[str, list[str]] = {}
    for key in sorted(stories):
        keys.setdefault(group_of(key), []).append(key)
    for operation in operations:
        asked, heard = operation.asked, operation.heard
        if not isinstance(asked, Query) or not isinstance(heard, Rows):
            continue
        ended = _end_of(operation)
        rows = {row.key: row for row in heard.rows}
        strong = operation.ack in STRONG_LEVELS
        for key in keys.get(asked.group, ()):
            row = rows.get(key)
            revision, tags = (row.revision, row.tags) if row is not None else (0, None)
            stories[key].shown.append(
                Shown(operation.number, _began(operation), ended, "query", strong, revision, tags)
            )


def _add_end(stories: dict[str, KeyStory], history: History) -> None:
    """At the end, each replica by itself must obey the rules of a quorum read.

    Which shard a key belongs to is seen from who holds it; a key that nobody holds is nowhere.
    """
    end = the_end(history)
    held_by: dict[str, list[Shown]] = {}
    groups = {shard.group for shard in history.replicas} - history.deleted_groups.keys()
    for shard in sorted(history.replicas):
        if shard.group not in groups:
            continue
        replicas = history.replicas[shard]
        for key in sorted({key for replica in replicas for key in replica.held}):
            seen = [_at_end(end, replica.node, replica.held.get(key)) for replica in replicas]
            held_by.setdefault(key, []).extend(seen)
    for key, seen in held_by.items():
        stories.setdefault(key, KeyStory(key)).at_end.extend(seen)
    for key, story in stories.items():
        if key not in held_by and group_of(key) in groups:
            story.at_end.append(_at_end(end, "each replica", None))


def the_end(history: History) -> float:
    """A moment after everything that clients asked and heard."""
    times = [operation.ended or operation.began for operation in history.operations]
    return max((*times, history.healed_at or 0.0)) + 1.0


def _at_end(end: float, node: str, held: tuple[int, int, Tags] | None) -> Shown:
    if held is None or held[1]:
        return Shown(NOBODY, end, end + 1.0, END, True, 0, None, where=node)
    return Shown(NOBODY, end, end + 1.0, END, True, held[0], held[2], where=node)
