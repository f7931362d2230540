"""Every bound of the store, its unit last. Over a bound means back-pressure, never growth."""

WRITE_QUEUE_RECORDS = 4096
"""Records that wait for the writer. A larger single write waits until the queue is empty."""

WRITE_QUEUE_BYTES = 32 << 20

COMMIT_RECORDS = 256
"""The writer takes writes until it has this many records, then commits once."""

COMMIT_BYTES = 8 << 20

STATEMENT_ROWS = 256
"""Rows of the largest multi-row statement. A power of two."""

READ_STATEMENT_ROWS = 64
"""Records read before other tasks get their turn: well under a millisecond."""

SLOT_CHUNK_LEAVES = 1024
"""Leaves of a slot that are hashed before other tasks get their turn."""

UNHASHED_PAGE_LEAVES = 32
"""Payloads held at once while leaf digests are computed."""

DIGEST_BATCH_LEAVES = 256
"""Computed leaf digests that are written together."""

LOOP_SLICE_SECONDS = 0.002
"""How long digests may be computed before other tasks get their turn."""

WRITER_CACHE_KIB = 16 << 10
READER_CACHE_KIB = 8 << 10

READ_AHEAD_BYTES = 1 << 20

WAL_CHECKPOINT_PAGES = 16_000
WAL_KEPT_BYTES = 64 << 20
"""What is left of a write-ahead log that had grown beyond it."""

FULL_BELOW_BYTES = 1 << 20
"""An I/O error with less free space than this counts as a full disk."""

FINDINGS_KEPT = 300
"""Findings that a check of the whole store keeps; the others are counted."""

INDEXES_PER_SHARD_MAX = 32
"""Tags of a shard that are indexed: those that its group declares, and as many that queries asked for."""

INDEX_READ_ROWS = 16
"""Payloads of a MiB at most each that are held at once while their index rows are made."""

INDEX_BUILD_BYTES = 8 << 20
"""Payloads that one step of building an index reads; other writes wait meanwhile."""

INDEX_CLEAR_ROWS = 1024
"""Index rows that are removed in one step."""

DROP_STEP_RECORDS = 256
DROP_STEP_BYTES = 8 << 20
"""What one step of dropping a shard removes; other writes get their turn in between."""
