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

SHARDS_MAX = 1024
REPLICAS_MAX = 1024
"""Of one group."""

GROUP_INDEXES_MAX = 16
"""Tags that a group may declare as indexed."""
