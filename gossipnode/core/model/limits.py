"""Every bound of the core, its unit last. Over a bound means a refusal or back-pressure, never growth."""

GROUP_MAX_BYTES = 255
NAME_MAX_BYTES = 255
TAG_KEY_MAX_BYTES = 255
ID_MAX_BYTES = 4096
PROPERTY_MAX_BYTES = 1 << 20
"""A property as encoded bytes."""

STAMP_MAX_NANOSECONDS = 1 << 62
"""The largest mod_revision and delete_time: a stamp above it could never be superseded by a later one."""

MAX_CLOCK_SKEW_NANOSECONDS = 10 * 60 * 1_000_000_000
"""A stamp further ahead of our clock than this never moves our clock."""

SLOT_COUNT = 32
"""Slots of a shard's tree. Fixed by the wire protocol."""

PAGE_MAX_BYTES = 1 << 20
"""A page of leaves ends here, whatever their count."""

READ_BATCH_RECORDS = 16
"""Records read and sent in one step. A record is 1 MiB at most, so a step holds 16 MiB at most."""

SEND_BATCH_MESSAGES = 256
"""Small messages, without a record inside, sent in one step."""

WRITE_BATCH_RECORDS = 256
WRITE_BATCH_BYTES = 4 << 20
"""What one write to the store takes at most."""

UNWRITTEN_MAX_RECORDS = 1024
UNWRITTEN_MAX_BYTES = 8 << 20
"""Records taken from the peer and not yet given to the store. Over it, reading waits for the store."""

OWED_MAX_BYTES = 8 << 20
"""Keys of answers that a session still owes. What is over it is counted, and left to the next round."""

OWED_KEY_OVERHEAD_BYTES = 200
"""What a key costs beside its text: the objects that hold it."""

ANSWERED_MAX_ENTITIES = 65_536
"""Entities that a session remembers to have answered, so that a peer that does not yield is answered once."""

PENDING_PAGES_MAX = 4
"""Pages that a server may send ahead of our `wait_next_differ`. A compatible one sends none ahead."""

RING_MAX_NODES = 1024
"""Nodes that a propagation message may name, doubles and strangers included."""

HANDLED_MAX_ROUNDS = 4096
"""(round, count) pairs that a node remembers, to drop a message that it has handled."""

BUSY_RETRIES = 3
"""How often a holder asks a successor again that has all its session slots taken."""

KEPT_ROUNDS = 100
"""Finished rounds that a node remembers."""

SHARDS_MAX = 1024
REPLICAS_MAX = 1024
"""Of one group."""

GROUP_INDEXES_MAX = 16
"""Tags that a group may declare as indexed."""
