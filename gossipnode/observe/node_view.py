"""What a node shows of itself to metrics and the status page, and the seam by which it does.

`NodeView` is implemented by the node. Everything is gathered when it is asked for, from what is kept anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from gossipnode.concurrency.buckets import Buckets
from gossipnode.concurrency.shares import Caller


class MemberFigures(NamedTuple):
    """Another member. `clock_ahead` is by how many seconds our clock is ahead; None while that is unknown."""

    name: str
    state: str
    clock_ahead: float | None


class ShardFigures(NamedTuple):
    """A shard that is held here."""

    group: str
    shard: int
    records: int
    tombstones: int
    replicas: int
    last_converged: int
    """When all replicas were last known to be equal: nanoseconds since 1970, 0 for never."""
    behind: int
    """Writes that replicas of it are known to lack."""
    purged_until: int = 0
    """Tombstones up to this stamp are purged: nanoseconds since 1970, 0 for none."""
    held_back: str = ""
    """What kept that where it is when this node last tried to raise it, in a word; empty for nothing."""


class SnapshotFigures(NamedTuple):
    """The snapshots of this node. Times are in nanoseconds since 1970, 0 for never."""

    taken: int
    """Since the node started, as `failed`."""
    failed: int
    taken_at: int
    """When the last one was taken, also before the node started."""
    failed_at: int


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """Everything that a scrape shows but what is counted from events."""

    version: str
    state: str
    now: int
    """The wall clock, in nanoseconds since 1970."""
    epoch: int
    groups: Collection[str]
    members: Sequence[MemberFigures]
    shards: Sequence[ShardFigures]
    counts_current: bool
    """Whether the counts of records are those of now; if not, the store could not be asked."""
    rounds_under_way: int
    connections_in: int
    connections_out: int
    memory_budget_bytes: int
    memory_held_bytes: Mapping[str, int]
    disk_full: bool
    disk_free_bytes: int
    refused_calls: Mapping[str, int]
    watches: int
    """Watches of clients that are open."""
    overlaps: int
    """Versions that took the place of one that their writer had not seen."""
    stale_shards: int
    """Shards of which this node may lack tombstones that others have purged."""
    certificate_days_left: float | None
    snapshots: SnapshotFigures
    commit_seconds: Buckets
    batch_records: Buckets
    commit_running_seconds: float


class Visitor(NamedTuple):
    """Who asks for something at the status port."""

    peer: str
    """The address that it asks from."""
    certificate_names: tuple[str, ...]
    """The DNS names of its verified certificate. Without TLS, or without a certificate, there are none."""
    caller: Caller
    """Whose share it takes of what all visitors need."""


class PageQuery(NamedTuple):
    """Which records a page asks for, as its fields were filled in. What is empty was not."""

    group: str
    name: str = ""
    id: str = ""
    where: str = ""
    """An expression, as the option `--where` of the command `query` takes it."""
    order_by: str = ""
    """A tag."""
    desc: str = ""
    """Anything for the largest first."""
    limit: str = ""


class PageRecords(NamedTuple):
    """Records for a page, as values that JSON can hold, and whether there are more."""

    records: Sequence[Mapping[str, Any]]
    more: bool


class QueryRefusedError(Exception):
    """Records cannot be shown; the text says why."""


class NodeView(Protocol):
    """A node, as those see it who watch it."""

    async def figures(self) -> NodeFigures:
        """The figures as of now. It waits for nobody, not even for a store whose disk hangs."""
        ...

    async def page(self) -> Mapping[str, Any]:
        """What the status page shows, as values that JSON can hold. As `figures`, it waits for nobody."""
        ...

    def refusal(self, visitor: Visitor) -> str:
        """Why a visitor may see nothing of this node; empty if it may. To be asked for each request."""
        ...

    async def records(self, asked: PageQuery, caller: Caller) -> PageRecords:
        """A few records, for the status page.

        Raises:
            QueryRefusedError: they cannot be had.
        """
        ...

    def now(self) -> int:
        """The wall clock, in nanoseconds since 1970."""
        ...

    def not_ready_because(self) -> str:
        """Why no requests should be sent here now; empty if they should."""
        ...
