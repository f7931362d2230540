"""A node as `observe` sees it, with figures that a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gossipnode.concurrency.buckets import Buckets
from gossipnode.concurrency.shares import Caller
from gossipnode.observe.node_view import (
    MemberFigures,
    NodeFigures,
    PageQuery,
    PageRecords,
    QueryRefusedError,
    ShardFigures,
    SnapshotFigures,
    Visitor,
)

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND

FIGURES = NodeFigures(
    version="0.1.0",
    state="ready",
    now=NOW,
    epoch=7,
    groups=("sw",),
    members=(MemberFigures("b", "up", 0.25), MemberFigures("c", "down", None)),
    shards=(
        ShardFigures("sw", 0, 10, 1, 3, NOW - 60 * SECOND, 0),
        ShardFigures("sw", 1, 20, 2, 3, NOW - 90 * SECOND, 5),
        ShardFigures("sw", 2, 30, 3, 3, 0, 2),
    ),
    counts_current=True,
    rounds_under_way=1,
    connections_in=4,
    connections_out=2,
    memory_budget_bytes=1000,
    memory_held_bytes={"connections": 10},
    disk_full=False,
    disk_free_bytes=123,
    refused_calls={"role": 2},
    watches=3,
    overlaps=2,
    stale_shards=0,
    certificate_days_left=12.5,
    snapshots=SnapshotFigures(0, 0, 0, 0),
    commit_seconds=Buckets((0.1, 1.0)),
    batch_records=Buckets((1, 2)),
    commit_running_seconds=0.0,
)


@dataclass
class FixedView:
    """Implements `NodeView`."""

    shown: NodeFigures = FIGURES
    problem: str = ""
    refused: str = ""
    asked: list[str] = field(default_factory=list)
    on_page: dict[str, Any] = field(default_factory=dict)

    def change(self, **figures: Any) -> None:
        self.shown = replace(self.shown, **figures)

    async def figures(self) -> NodeFigures:
        self.asked.append("figures")
        return self.shown

    async def page(self) -> dict[str, Any]:
        self.asked.append("page")
        return {"node": "a", **self.on_page}

    def refusal(self, visitor: Visitor) -> str:
        return self.refused

    async def records(self, asked: PageQuery, caller: Caller) -> PageRecords:
        self.asked.append("records")
        if asked.group != "sw":
            raise QueryRefusedError(f"there is no group {asked.group!r}")
        return PageRecords([{"key": f"sw/{asked.name}/{asked.id}", "where": asked.where}], more=True)

    def now(self) -> int:
        return NOW

    def not_ready_because(self) -> str:
        return self.problem
