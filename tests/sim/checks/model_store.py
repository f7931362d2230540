"""A model of what a cluster promises: one version of each key, and what failed writes left behind.

It is driven by small integers, which a test draws: each takes one step of one client. It may be given a
defect, which the checks must find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gossipnode.core.model.property import ShardId
from gossipnode.sim.history.history import History, Replica
from gossipnode.sim.history.operations import (
    Apply,
    Asked,
    Delete,
    Deleted,
    Failed,
    Get,
    Heard,
    Import,
    Imported,
    Nothing,
    Operation,
    Query,
    Row,
    Rows,
    Stored,
    Tags,
)

KEYS = ("n/k/1", "n/k/2")
CLIENTS = 4
TAGS = "xyz"

Bug: TypeAlias = Literal["", "drop", "stale base", "go back", "resurrect", "overtake", "twice", "lie", "miss"]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a record: what it holds, or None if it is a tombstone or there was never one."""

    revision: int = 0
    tags: Tags | None = None


@dataclass(slots=True)
class Work:
    """An operation at work in the cluster. Its client may have given it up."""

    operation: Operation
    made: dict[str, Version] = field(default_factory=dict[str, Version])
    lived: bool = False
    tried: list[tuple[Version, bool]] = field(default_factory=list[tuple[Version, bool]])
    """The versions of earlier tries that failed, each with whether a live record was there before it."""
    heard: Heard | None = None


@dataclass(slots=True)
class Record:
    """One key: the version that a quorum has, older ones, and those that failed writes left at a minority."""

    versions: list[Version] = field(default_factory=lambda: [Version()])
    left: list[Version] = field(default_factory=list[Version])

    @property
    def newest(self) -> Version:
        """What a quorum has."""
        return self.versions[-1]

    def put(self, version: Version) -> bool:
        """Store a version at a quorum, if it is newer."""
        if version.revision <= self.newest.revision:
            return False
        self.versions.append(version)
        return True

    def meet(self) -> None:
        """Let a quorum come across the newest of what failed writes left."""
        if self.left:
            self.put(max(self.left, key=lambda version: version.revision))
            self.left.clear()


class ModelStore:
    """Clients and a cluster that keeps its promises, but for one defect."""

    def __init__(self, bug: Bug = "", *, weak: bool = False) -> None:
        self.history = History(nodes=("a",), groups={"n": 1})
        self.bug: Bug = bug
        self.weak = weak
        self._records = {key: Record() for key in KEYS}
        self._working: list[Work | None] = [None] * CLIENTS
        self._given_up: list[Work] = []
        self._stamp = 0
        self._time = 0.0

    def run(self, steps: Sequence[int]) -> History:
        """Take all steps, and then look at the replica."""
        for step in steps:
            self._time += 1.0
            self._step(step)
        for record in self._records.values():
            record.meet()
        newest = {key: record.newest for key, record in self._records.items() if record.newest.revision}
        held = {key: (each.revision, int(each.tags is None), each.tags or {}) for key, each in newest.items()}
        self.history.replicas[ShardId("n", 0)] = [Replica("a", "root", held)]
        return self.history

    def _step(self, choice: int) -> None:
        """Let a client begin an operation, or hear its answer, or let the cluster work at one."""
        client, choice = choice % (CLIENTS + 1), choice // (CLIENTS + 1)
        if client == CLIENTS:
            if self._given_up:
                index = choice % len(self._given_up)
                if self._go_on(self._given_up[index], choice):
                    del self._given_up[index]
            return
        work = self._working[client]
        if work is None:
            self._working[client] = Work(self._begin(client, choice))
            return
        if work.heard is None and choice % 11 == 10:
            self._given_up.append(work)
            work.operation.heard = Failed("UnreachableError", "no answer", maybe=True)
        elif work.heard is None:
            self._go_on(work, choice)
            return
        else:
            work.operation.heard = work.heard
        work.operation.ended = self._time
        self._working[client] = None

    def _begin(self, client: int, choice: int) -> Operation:
        number = len(self.history.operations) + 1
        key, tag = KEYS[choice % 2], TAGS[choice // 2 % len(TAGS)]
        asked: tuple[Asked, ...] = (
            Apply(key, {tag: number}),
            Apply(key, {tag: number}),
            Apply(key, {tag: number}),
            Apply(key, {tag: number}, replace=True),
            Delete(key),
            Get(key),
            Get(key),
            Get(key),
            Query("n"),
            Import(KEYS, {tag: number}),
        )
        ack = "one" if self.weak and choice % 7 == 0 else "quorum"
        what = asked[choice // 6 % len(asked)]
        # Each asks another node: what one node does with a record it does in turn, and this model does not.
        operation = Operation(number, f"c{client}", f"a{number}", ack, what, self._time)
        self.history.operations.append(operation)
        return operation

    def _go_on(self, work: Work, choice: int) -> bool:
        """Take one step of an operation. Gives whether it is over."""
        if isinstance(work.operation.asked, Get | Query):
            work.heard = self._read(work, choice)
        elif not work.made:
            self._make(work, choice)
        elif choice % 5 == 4:
            for key, version in work.made.items():
                self._records[key].left.append(version)
            work.heard = Failed("FailedError", "1 of 3 took it", maybe=True, over=True)
        elif choice % 5 == 3 and not isinstance(work.operation.asked, Import):
            ((key, version),) = work.made.items()
            self._records[key].left.append(version)
            work.tried.append((version, work.lived))
            work.made.clear()
        else:
            self._write(work, choice)
        return work.heard is not None

    def _seen(self, work: Work, key: str, choice: int) -> Version:
        """What an operation finds."""
        record = self._records[key]
        if work.operation.ack == "one":
            known = [*record.versions, *record.left]
            return known[choice % len(known)]
        if self._fails("overtake", choice):
            record.left = [self._anew(version) for version in record.left]
        if choice % 2:
            record.meet()
        if self._fails("go back", choice) and len(record.versions) > 2 and not _is_write(work):
            return record.versions[-2]
        if self._fails("stale base", choice) and len(record.versions) > 2 and _is_write(work):
            return record.versions[-2]
        return record.newest

    def _fails(self, bug: Bug, choice: int) -> bool:
        return self.bug == bug and choice % 3 == 0

    def _read(self, work: Work, choice: int) -> Heard:
        asked = work.operation.asked
        if isinstance(asked, Get):
            found = self._seen(work, asked.key, choice)
            return Nothing() if found.tags is None else Row(asked.key, found.revision, found.tags)
        seen = [(key, self._seen(work, key, choice)) for key in KEYS]
        rows = [Row(key, found.revision, found.tags) for key, found in seen if found.tags is not None]
        if self._fails("miss", choice):
            rows = rows[1:]
        return Rows(tuple(rows))

    def _make(self, work: Work, choice: int) -> None:
        """Read, and make the versions that are to be written."""
        asked = work.operation.asked
        for key in work.operation.keys:
            before = self._seen(work, key, choice)
            if self._was_done(work, key):
                return
            work.lived = before.tags is not None
            if isinstance(asked, Delete):
                if not work.lived:
                    self._records[key].left.clear()
                    work.heard = Deleted(deleted=False)
                    return
                tags: Tags | None = None
            elif isinstance(asked, Apply) and not asked.replace:
                tags = {**(before.tags or {}), **asked.tags}
            else:
                assert isinstance(asked, Apply | Import)
                tags = asked.tags
            self._stamp += 1
            work.made[key] = Version(self._stamp, tags)

    def _was_done(self, work: Work, key: str) -> bool:
        """Answer an operation of which an earlier try came through. A defect forgets that."""
        record = self._records[key]
        for version, lived in work.tried:
            if version in record.versions and self.bug != "twice":
                newest = record.newest
                if isinstance(work.operation.asked, Delete):
                    work.heard = Deleted(deleted=lived)
                else:
                    work.heard = Stored(newest.revision, newest.tags or {}, created=not lived)
                return True
        return False

    def _write(self, work: Work, choice: int) -> None:
        for key, version in list(work.made.items()):
            if self._fails("drop", choice) or self._records[key].put(version):
                del work.made[key]
                self._done(work, key, version)
            else:
                self._make_again(work, key, choice)
        if not work.made and work.heard is None:
            work.heard = Imported(len(work.operation.keys))

    def _make_again(self, work: Work, key: str, choice: int) -> None:
        """A newer version has come between reading and writing."""
        if isinstance(work.operation.asked, Import):
            work.made[key] = self._anew(work.made[key])
            return
        work.made.clear()
        self._make(work, choice)

    def _anew(self, version: Version) -> Version:
        self._stamp += 1
        return Version(self._stamp, version.tags)

    def _done(self, work: Work, key: str, version: Version) -> None:
        lived = work.lived != (self.bug == "lie")
        if self.bug == "resurrect" and isinstance(work.operation.asked, Delete):
            self._records[key].left.append(self._anew(self._records[key].versions[-2]))
        match work.operation.asked:
            case Apply():
                assert version.tags is not None
                work.heard = Stored(version.revision, version.tags, created=not lived)
            case Delete():
                work.heard = Deleted(deleted=lived)
            case _:
                pass


def _is_write(work: Work) -> bool:
    return not isinstance(work.operation.asked, Get | Query)
