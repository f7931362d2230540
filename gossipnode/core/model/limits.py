"""The limits that several rooms share, with the unit last in each name.

A limit of one module stands in that module. What is over a limit is refused or has to wait; nothing grows
with it.
"""

GROUP_MAX_BYTES = 255
NAME_MAX_BYTES = 255
TAG_KEY_MAX_BYTES = 255
ID_MAX_BYTES = 4096
PROPERTY_MAX_BYTES = 1 << 20
"""Bytes of one encoded property."""

STAMP_MAX_NANOSECONDS = 1 << 62
"""The largest mod_revision and delete_time that is stored.

Stamps are 64-bit numbers on the wire. A record stamped near their end could never be superseded by a later
one.
"""

PEER_STAMP_MAX_NANOSECONDS = STAMP_MAX_NANOSECONDS - (1 << 56)
"""The largest stamp taken from a foreign peer, and from an import that keeps stamps, in the year 2113.

The version that replaces a record needs a larger stamp than the record has. This leaves room for it: 2^56
nanoseconds are more than two years.
"""

MAX_CLOCK_SKEW_NANOSECONDS = 10 * 60 * 1_000_000_000
"""How far ahead of our clock a stamp may be and still move our clock forward.

A stamp further ahead than this is a fault of the node that gave it. If it moved our clock, one node with a
wrong clock would drag the stamps of all the other nodes into the future.
"""

SLOT_COUNT = 32
"""Slots of a shard's tree. The wire protocol fixes this number."""

SHARDS_MAX = 1024
"""Shards of one group."""

REPLICAS_MAX = 1024
"""Replicas of one group."""

RETENTION_MAX_SECONDS = 36_500 * 24 * 3600
"""How long tombstones can be kept, which is a hundred years. Times beyond that do not fit a stamp."""

GROUP_INDEXES_MAX = 16
"""Tags that a group may declare as indexed."""
