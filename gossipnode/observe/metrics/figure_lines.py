"""Writes the figures of a node as lines of the text format of Prometheus.

A thousand shards have thousands of lines, and the library takes 15 microseconds for each. These are written
by hand, in short steps, with the labels of each shard kept from one scrape to the next.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import accumulate

from gossipnode.concurrency.buckets import Buckets
from gossipnode.observe.node_view import NodeFigures, ShardFigures, SnapshotFigures

SHARDS_OF_A_STEP = 100
"""Shards whose lines are written in one step, which takes 100 microseconds."""

_NANOSECONDS = 1e9

_STATES = ("starting", "ready", "draining", "unhealthy")
_MEMBER_STATES = ("up", "down", "unknown")


def escaped(label: str) -> str:
    """The value of a label as it stands between quotes."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class FigureLines:
    """Writes one text after the other, and keeps the labels of shards."""

    def __init__(self) -> None:
        """No labels are known yet."""
        self._labels: dict[tuple[str, int], str] = {}

    def write(self, figures: NodeFigures) -> Generator[None, None, str]:
        """The lines, in short steps."""
        lines = _of_the_node(figures)
        lines += _of_watches(figures)
        lines += _of_members(figures)
        lines += _of_the_store(figures)
        lines += _of_groups(figures)
        lines += _of_purges(figures)
        lines += _of_snapshots(figures.snapshots)
        self._keep_labels(figures.shards)
        yield
        for name, text, value in _OF_SHARDS:
            lines += _head(name, "gauge", text)
            for at in range(0, len(figures.shards), SHARDS_OF_A_STEP):
                for shard in figures.shards[at : at + SHARDS_OF_A_STEP]:
                    if (shown := value(shard)) is not None:
                        lines.append(f"{name}{self._labels[shard.group, shard.shard]} {shown}")
                yield
        return "\n".join([*lines, ""])

    def _keep_labels(self, shards: Iterable[ShardFigures]) -> None:
        known = self._labels
        self._labels = {
            key: known.get(key) or f'{{group="{escaped(key[0])}",shard="{key[1]}"}}'
            for key in ((shard.group, shard.shard) for shard in shards)
        }


def _converged(shard: ShardFigures) -> str | None:
    return f"{shard.last_converged / _NANOSECONDS:.3f}" if shard.last_converged else None


_OF_SHARDS: tuple[tuple[str, str, Callable[[ShardFigures], int | str | None]], ...] = (
    ("gossipnode_records", "Live records of a shard that is held here.", lambda shard: shard.records),
    ("gossipnode_tombstones", "Tombstones of a shard that is held here.", lambda shard: shard.tombstones),
    (
        "gossipnode_last_converged_timestamp_seconds",
        "When all replicas of a shard were last known to be equal; absent as long as they never were.",
        _converged,
    ),
)


def _of_the_node(figures: NodeFigures) -> list[str]:
    days_left = figures.certificate_days_left
    return [
        *_head("gossipnode_info", "gauge", "The version of the software."),
        f'gossipnode_info{{version="{escaped(figures.version)}"}} 1',
        *_labelled(
            "gossipnode_state",
            "1 for the state that the node is in.",
            "state",
            {state: int(figures.state == state) for state in _STATES},
        ),
        *_one("gossipnode_epoch", "The newest epoch of the cluster that this node knows.", figures.epoch),
        *_one("gossipnode_rounds_running", "Rounds of this node under way.", figures.rounds_under_way),
        *_labelled(
            "gossipnode_connections",
            "Connections that are open: from clients and members here, and from here to members.",
            "direction",
            {"in": figures.connections_in, "out": figures.connections_out},
        ),
        *_one("gossipnode_memory_budget_bytes", "The budget of memory.", figures.memory_budget_bytes),
        *_labelled(
            "gossipnode_memory_held_bytes",
            "What is held of the budget of memory, by use.",
            "use",
            figures.memory_held_bytes,
        ),
        *_labelled(
            "gossipnode_refused_calls_total",
            "Calls that were refused because of who made them.",
            "reason",
            figures.refused_calls,
            kind="counter",
        ),
        *_head(
            "gossipnode_certificate_days_left",
            "gauge",
            "Days until the first of the certificates that this node goes by ends; negative afterwards.",
        ),
        *([] if days_left is None else [f"gossipnode_certificate_days_left {days_left:.3f}"]),
    ]


def _of_watches(figures: NodeFigures) -> list[str]:
    return [
        *_one("gossipnode_watches", "Watches of clients that are open.", figures.watches),
        *_one(
            "gossipnode_stale_shards",
            "Shards of which this node may lack tombstones that others have purged.",
            figures.stale_shards,
        ),
        *_head(
            "gossipnode_overlaps_total",
            "counter",
            "Versions stored here that took the place of one which their writer had not seen.",
        ),
        f"gossipnode_overlaps_total {figures.overlaps}",
    ]


def _of_members(figures: NodeFigures) -> list[str]:
    lines = _head("gossipnode_member_state", "gauge", "1 for the state of another member, as seen from here.")
    for member in figures.members:
        name = escaped(member.name)
        for state in _MEMBER_STATES:
            shown = int(member.state == state)
            lines.append(f'gossipnode_member_state{{member="{name}",state="{state}"}} {shown}')
    return lines + _labelled(
        "gossipnode_clock_ahead_seconds",
        "How far the clock of this node is ahead of a member's; negative where it is not.",
        "member",
        {
            member.name: round(member.clock_ahead, 4)
            for member in figures.members
            if member.clock_ahead is not None
        },
    )


def _of_the_store(figures: NodeFigures) -> list[str]:
    return [
        *_one(
            "gossipnode_disk_full", "1 while writes are refused for lack of space.", int(figures.disk_full)
        ),
        *_one("gossipnode_disk_free_bytes", "What is free on the disk.", figures.disk_free_bytes),
        *_one(
            "gossipnode_store_commit_running_seconds",
            "For how long the present commit has been under way; it grows while the disk hangs.",
            round(figures.commit_running_seconds, 4),
        ),
        *_one(
            "gossipnode_counts_current",
            "1 if records and tombstones are as of now, 0 if the store could not be asked.",
            int(figures.counts_current),
        ),
        *_buckets("gossipnode_store_commit_seconds", "How long commits took.", figures.commit_seconds),
        *_buckets("gossipnode_store_batch_records", "Records of each commit.", figures.batch_records),
    ]


def _of_groups(figures: NodeFigures) -> list[str]:
    """What there is to say of groups: sums and extremes over the shards that are held here."""
    oldest: dict[str, int] = {}
    never: defaultdict[str, int] = defaultdict(int)
    behind: defaultdict[str, int] = defaultdict(int)
    for shard in figures.shards:
        if shard.replicas < 2:
            # There is nothing that it could differ from.
            continue
        behind[shard.group] += shard.behind
        never[shard.group] += not shard.last_converged
        if shard.last_converged:
            oldest[shard.group] = min(oldest.get(shard.group, figures.now), shard.last_converged)
    return [
        *_labelled(
            "gossipnode_equal_age_seconds",
            "The longest time since a shard of the group was last known to be equal on all replicas.",
            "group",
            {group: round((figures.now - then) / _NANOSECONDS, 1) for group, then in oldest.items()},
        ),
        *_labelled(
            "gossipnode_never_equal_shards",
            "Shards of the group of which this node has not yet known all replicas to be equal.",
            "group",
            never,
        ),
        *_labelled(
            "gossipnode_records_behind",
            "Writes of the group that replicas are known to lack, as far as this node took them.",
            "group",
            behind,
        ),
    ]


def _of_purges(figures: NodeFigures) -> list[str]:
    """How far tombstones are purged, and what keeps them."""
    oldest: dict[str, int] = {}
    kept: Counter[tuple[str, str]] = Counter()
    for shard in figures.shards:
        if shard.purged_until:
            oldest[shard.group] = min(oldest.get(shard.group, figures.now), shard.purged_until)
        if shard.held_back:
            kept[shard.group, shard.held_back] += 1
    held_back = "gossipnode_purge_held_back_shards"
    return [
        *_labelled(
            "gossipnode_purge_mark_age_seconds",
            "The age of the oldest mark up to which tombstones of a shard of the group are purged.",
            "group",
            {group: round((figures.now - then) / _NANOSECONDS, 1) for group, then in oldest.items()},
        ),
        *_head(
            held_back, "gauge", "Shards whose tombstones stay, as this node's last try to purge them found."
        ),
        *[
            f'{held_back}{{group="{escaped(group)}",reason="{reason}"}} {count}'
            for (group, reason), count in kept.items()
        ],
    ]


def _of_snapshots(snapshots: SnapshotFigures) -> list[str]:
    last = {"taken": snapshots.taken_at, "failed": snapshots.failed_at}
    return [
        *_labelled(
            "gossipnode_snapshots_total",
            "Snapshots of this node since it started.",
            "outcome",
            {"taken": snapshots.taken, "failed": snapshots.failed},
            kind="counter",
        ),
        *_labelled(
            "gossipnode_last_snapshot_timestamp_seconds",
            "When the last snapshot was taken, and when one last failed; absent for never.",
            "outcome",
            {outcome: round(at / _NANOSECONDS, 3) for outcome, at in last.items() if at},
        ),
    ]


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _one(name: str, text: str, value: float) -> list[str]:
    return [*_head(name, "gauge", text), f"{name} {value}"]


def _labelled(
    name: str, text: str, label: str, values: Mapping[str, float], kind: str = "gauge"
) -> list[str]:
    lines = [f'{name}{{{label}="{escaped(key)}"}} {value}' for key, value in values.items()]
    return [*_head(name, kind, text), *lines]


def _buckets(name: str, text: str, buckets: Buckets) -> list[str]:
    counts = list(accumulate(buckets.counts))
    bounds = [*map(str, map(float, buckets.bounds)), "+Inf"]
    return [
        *_head(name, "histogram", text),
        *[f'{name}_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, counts, strict=True)],
        f"{name}_sum {buckets.total}",
        f"{name}_count {counts[-1]}",
    ]
