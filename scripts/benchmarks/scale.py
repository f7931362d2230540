"""How much each benchmark does: enough for figures, or just enough to see that it still runs."""

from __future__ import annotations

from dataclasses import dataclass

CLIENTS = (1, 64)
"""The numbers of clients that load is measured with."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts and times of one run. Benchmarks with other numbers of records derive them from `records`."""

    name: str
    records: int
    """In the large benchmarks; in `million` ten times as many."""
    import_records_max: int
    quorum_import_records_max: int
    read_records: int
    """Different records or keys that the readers ask for."""
    visible_records: int
    """Writes after which another node is asked."""
    queries: int
    """Queries of each kind."""
    starts: int
    """Starts of a process, of which the median counts."""
    changed_records_max: int
    """Records that differ in the scenario of scattered changes."""
    changes: int
    """Changes of members and groups, of each kind."""
    cluster_members: int
    cluster_shards: int
    """Of a cluster that exists as metadata alone."""
    status_shards: int
    """Shards of the one node whose status is asked for."""
    load_seconds: float
    warm_up_seconds: float
    limit_seconds: float
    """The longest that one benchmark may take."""


FULL = Scale(
    name="full",
    records=100_000,
    import_records_max=40_000,
    quorum_import_records_max=20_000,
    read_records=2_000,
    visible_records=200,
    queries=100,
    starts=5,
    changed_records_max=1_000,
    changes=200,
    cluster_members=100,
    cluster_shards=10_000,
    status_shards=25_000,
    load_seconds=5.0,
    warm_up_seconds=1.0,
    limit_seconds=2 * 3600,
)

TINY = Scale(
    name="tiny",
    records=300,
    import_records_max=300,
    quorum_import_records_max=300,
    read_records=20,
    visible_records=5,
    queries=5,
    starts=1,
    changed_records_max=30,
    changes=5,
    cluster_members=10,
    cluster_shards=2_000,
    status_shards=100,
    load_seconds=0.1,
    warm_up_seconds=0.02,
    limit_seconds=120,
)
