"""Histories written by hand: each line is one operation, and its number is the value that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.sim.checks.all_checks import judge
from gossipnode.sim.history.history import History, Period, Replica, RoundSeen
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
)

KEY = "n/k/1"
OTHER = "n/k/2"
SHARD = ShardId("n", 0)

At: TypeAlias = tuple[float, float | None]
"""When an operation began and ended."""

ROUND = "r1"
"""The id of each round."""

EQUAL = Hop("a", "b", HopEnd.EQUAL)
MOVED = Hop("a", "b", HopEnd.REPAIRED, sent=1)
FAILED = Hop("a", "b", HopEnd.FAILED, "b is away")


class Story:
    """A history of the group n, which is being written."""

    def __init__(self, *, ack: str = "quorum") -> None:
        self.history = History(nodes=("a", "b", "c"), groups={"n": 3})
        self._ack = ack
        self.at_one_node = False
        """Whether the client asks node a alone from now on; otherwise any node may do what it asks."""

    def add(self, asked: Asked, heard: Heard | None, at: At, ack: str = "") -> int:
        """Add an operation. Gives its number."""
        number = self.next
        began, ended = at
        ack = ack or self._ack
        others = () if self.at_one_node else ("b", "c")
        self.history.operations.append(Operation(number, "c1", "a", ack, asked, began, ended, heard, others))
        return number

    @property
    def next(self) -> int:
        """The number of the next operation, which is the value that it writes."""
        return len(self.history.operations) + 1

    def merge(
        self,
        at: At,
        tag: str,
        revision: int,
        *,
        over: Mapping[str, int] | None = None,
        replace: bool = False,
        ack: str = "",
    ) -> int:
        """An acknowledged Apply of one tag. `over` is the record before it, or None if it made one."""
        number = self.next
        tags = {**(over if over and not replace else {}), tag: number}
        heard = Stored(revision, tags, created=over is None)
        return self.add(Apply(KEY, {tag: number}, replace), heard, at, ack)

    def fail(self, at: At, tag: str, *, over: bool = False, maybe: bool = True) -> int:
        """An Apply that fails; `over` if every node that was asked has said so."""
        failed = Failed("UnreachableError", "1 of 3 took it", maybe, over)
        return self.add(Apply(KEY, {tag: self.next}), failed, at)

    def delete(self, at: At, *, deleted: bool = True) -> int:
        """An acknowledged Delete."""
        return self.add(Delete(KEY), Deleted(deleted), at)

    def import_(self, at: At, tag: str, *keys: str) -> int:
        """An acknowledged Import."""
        return self.add(Import(keys, {tag: self.next}), Imported(len(keys)), at)

    def get(self, at: At, revision: int = 0, ack: str = "", **tags: int) -> int:
        """A Get; without a revision it finds nothing."""
        return self.add(Get(KEY), Row(KEY, revision, tags) if revision else Nothing(), at, ack)

    def query(self, at: At, *rows: Row) -> int:
        """A Query of the group n."""
        return self.add(Query("n"), Rows(rows), at)

    def round(
        self,
        at: tuple[float, float],
        outcome: str,
        *hops: Hop,
        before: bool = True,
        after: bool = True,
        final: bool = False,
        cause: str = "asked",
        lacking: tuple[str, ...] = (),
    ) -> None:
        """A round of the shard n/0 over three replicas."""
        seen = RoundSeen(
            at[0], at[1], "a", SHARD, outcome, hops, 3, before, after, final, cause, ROUND, lacking
        )
        self.history.rounds.append(seen)

    def calm(self, begins: float, ends: float) -> None:
        """Everything was well."""
        self.history.calm.append(Period(begins, ends))

    def held(self, *replicas: Mapping[str, tuple[int, int, Mapping[str, int]]], roots: str = "rrr") -> None:
        """What the replicas a, b, c of the shard n/0 hold at the end, and the root of each."""
        self.history.replicas[SHARD] = [
            Replica(node, root, held) for node, root, held in zip("abc", roots, replicas, strict=False)
        ]

    def broken(self) -> set[str]:
        """The checks that complain."""
        return broken(self.history)


def broken(history: History) -> set[str]:
    """The checks that complain about a history."""
    return {verdict.check for verdict in judge(history) if verdict.violations}
