"""Counts what a node tells. Groups and members are the only labels that are not of a fixed set."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from gossipnode.observe.events import CallEnded, ClusterChanged, Event, HopEnded, RoundEnded, SessionEnded
from gossipnode.observe.metrics.reason_words import OTHER, reason_word

GROUPS_COUNTED_MAX: Final = 1024
"""Groups with counters of their own. Events of further ones are counted under OTHER_GROUPS."""

OTHER_GROUPS: Final = "_other"
"""A name that no group of users has."""

SKIP_REASONS_MAX: Final = 32
"""Reasons for which records are left out. There are fewer; a text beyond them counts as `other`."""

ROUND_BOUNDS_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)
SESSION_BOUNDS_SECONDS: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800, 3600)
CALL_BOUNDS_SECONDS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
)


class EventCounts:
    """Counters and histograms of a registry, fed by events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Count from zero."""
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        self.rounds = counter(
            "gossipnode_rounds_total", "Rounds of this node that are over.", ["group", "outcome"]
        )
        self.round_seconds = histogram(
            "gossipnode_round_seconds",
            "How long rounds took, from their start to their outcome.",
            ["group"],
            buckets=ROUND_BOUNDS_SECONDS,
        )
        self.hops = counter(
            "gossipnode_hops_total",
            "Successors that this node, as a holder, was through with.",
            ["group", "outcome", "reason"],
        )
        self.session_seconds = histogram(
            "gossipnode_session_seconds",
            "How long sessions of either side took.",
            ["kind"],
            buckets=SESSION_BOUNDS_SECONDS,
        )
        self.session_bytes = counter(
            "gossipnode_session_bytes_total", "Bytes of messages in sessions.", ["kind", "direction"]
        )
        self.repaired = counter(
            "gossipnode_records_repaired_total",
            "Records that sessions sent from here, or brought here.",
            ["group", "direction"],
        )
        self.skipped = counter(
            "gossipnode_records_skipped_total", "Records that sessions left out.", ["group", "reason"]
        )
        self.calls = counter(
            "gossipnode_rpc_requests_total", "Calls that this node served or refused.", ["method", "code"]
        )
        self.call_seconds = histogram(
            "gossipnode_rpc_seconds",
            "How long calls took; streams last as long as their clients let them.",
            ["method"],
            buckets=CALL_BOUNDS_SECONDS,
        )
        self._of_groups = (self.rounds, self.round_seconds, self.hops, self.repaired, self.skipped)
        self._groups: set[str] = set()
        self._skip_reasons: set[str] = set()
        # A label lookup takes a microsecond, and calls are many.
        self._known_calls: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def count(self, event: Event) -> None:
        """Count what is told."""
        match event:
            case CallEnded():
                self._count_call(event)
            case RoundEnded():
                group = self._group(event.group)
                self.rounds.labels(group, event.outcome).inc()
                self.round_seconds.labels(group).observe(event.seconds)
            case HopEnded():
                self.hops.labels(self._group(event.group), event.outcome, reason_word(event.reason)).inc()
            case SessionEnded():
                self._count_session(event)
            case ClusterChanged():
                # The epoch itself is a figure.
                pass

    def follow_groups(self, groups: Collection[str]) -> None:
        """Have the counters of these groups, and drop those of groups that are gone.

        What alerts look at is there from the start: a counter that appears with its first count has no
        increase that Prometheus could see.
        """
        for name in groups:
            self.rounds.labels(self._group(name), "incomplete")
        for gone in self._groups.difference(groups):
            for metric in self._of_groups:
                metric.remove_by_labels({"group": gone})
            self._groups.remove(gone)

    def _group(self, name: str) -> str:
        if name not in self._groups:
            if len(self._groups) >= GROUPS_COUNTED_MAX:
                return OTHER_GROUPS
            self._groups.add(name)
        return name

    def _count_call(self, event: CallEnded) -> None:
        key = event.path, event.code
        known = self._known_calls.get(key)
        if known is None:
            method = event.path.removeprefix("/")
            known = self.calls.labels(method, event.code), self.call_seconds.labels(method)
            self._known_calls[key] = known
        known[0].inc()
        known[1].observe(event.seconds)

    def _count_session(self, event: SessionEnded) -> None:
        self.session_seconds.labels(event.kind).observe(event.seconds)
        self.session_bytes.labels(event.kind, "sent").inc(event.bytes_sent)
        self.session_bytes.labels(event.kind, "received").inc(event.bytes_received)
        if not event.group:
            # It ended before the other side had said which shard it is about, or named one that is not here.
            return
        group = self._group(event.group)
        if event.sent:
            self.repaired.labels(group, "sent").inc(event.sent)
        if event.received:
            self.repaired.labels(group, "received").inc(event.received)
        for reason, records in event.skipped.items():
            self.skipped.labels(group, self._skip_reason(reason)).inc(records)

    def _skip_reason(self, reason: str) -> str:
        if reason not in self._skip_reasons:
            if len(self._skip_reasons) >= SKIP_REASONS_MAX:
                return OTHER
            self._skip_reasons.add(reason)
        return reason
