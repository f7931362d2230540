"""Every bound of the running node, with its unit last. Those of the protocol itself are in `core.limits`."""

from gossipnode.core.model.limits import RING_MAX_NODES

REPAIR_CHANNEL_BATCHES = 1
"""Lists that each channel of a repair stream holds: of large records one has 16 MiB, more gain nothing."""

REPAIR_BATCH_MESSAGES = 16
"""Messages in one such list: a channel costs the same for a list as for a message."""

SERVER_END_SECONDS = 60.0
"""How long a client of a session, done itself, waits in silence for the server to end the stream."""

VERDICT_END_SECONDS = 5.0
"""How long it waits for that when the verdict on the roots was all there was to say."""

CLIENT_SILENCE_SECONDS = 120.0
"""How long the client of a session may say nothing, and read nothing, before its slot is given to another."""

SIGN_OF_LIFE_SECONDS = 5.0
"""How often a node tells the origins of the messages it has that it is alive."""

ROUNDS_UNDER_WAY_MAX = 1024
"""Rounds of this node that may be under way at once; one more is refused."""

ROUNDS_SHOWN = 20
"""Rounds in a status."""

ROUND_ID_BITS = 96
ROUND_ID_MAX_CHARACTERS = 64
"""Of another node's round: what is longer is cut."""

REPORT_HOPS_MAX = 2 * RING_MAX_NODES
"""Hops in one report: a holder tries each successor once, and may fail to hand it the message then."""

REPORT_TEXT_MAX_CHARACTERS = 500
"""Each text in a report; what is longer is cut."""

BUSY_WAIT_MIN_SECONDS = 0.2
BUSY_WAIT_MAX_SECONDS = 2.0
"""How long a holder waits before it asks a busy successor again; doubles, jittered."""

PROPAGATION_SECONDS = 10.0
"""How long one call of Propagation may take: it is answered at once, the work goes on behind it."""

PROPAGATION_ATTEMPTS = 5
PROPAGATION_RETRY_MIN_SECONDS = 0.5
PROPAGATION_RETRY_MAX_SECONDS = 10.0
"""A Propagation call that meets UNAVAILABLE is retried 4 times."""

REPORT_SECONDS = 5.0
REPORT_ATTEMPTS = 3
REPORT_RETRY_MIN_SECONDS = 0.2
REPORT_RETRY_MAX_SECONDS = 2.0

REPORT_QUEUE_MESSAGES = 4096
"""Reports on their way to one origin. Over it new ones are dropped: an origin copes with silence.

Signs of life leave the second half of it to what matters.
"""

PROBE_SECONDS = 1.0
"""How long a status request waits for a member to say that it is up."""

PROBE_FRESH_SECONDS = 5.0
"""How long what was last seen of a member is believed."""

SCHEDULE_JITTER_PART = 0.1
SCHEDULE_JITTER_MAX_SECONDS = 300.0
"""A scheduled round starts late by up to this part of the interval, so that not all nodes start at once."""

CLOCK_LOOK_SECONDS = 600.0
"""The scheduler looks at the wall clock at least this often: it may be set while we sleep."""

FILL_BATCH_LEAVES = 64
FILL_QUIET_SECONDS = 0.5
FILL_LATEST_SECONDS = 30.0
FILL_PAUSE_SECONDS = 0.25
"""Leaf digests are computed once writes have been quiet for a moment, at the latest after half a minute.

While writes go on, with a pause after every batch: a few percent of a core.
"""

STATUS_TREE_SECONDS = 2.0
"""How long a status request waits for digests, of all shards, before it says that they are being built."""

DRAIN_SECONDS = 10.0
"""From the first signal to the end, whatever is still running."""

DRAIN_SESSIONS_SECONDS = 6.0
"""The part of it that running sessions and calls get to finish."""

DRAIN_CLOSE_SECONDS = 1.0
"""The part of it that is kept for closing what is left, the store last."""

QUERY_DEFAULT_LIMIT = 100
QUERY_MAX_RECORDS = 1_000_000
QUERY_MAX_BYTES = 16 << 20
"""What an ordered query keeps in memory at most while it sorts."""

ANSWERS_MADE_AT_ONCE = 4
"""Whole answers, of 4 MiB at most, that are put together at the same time."""

ORDERED_STREAMS_AT_ONCE = 4
"""Ordered answers, each of which is kept whole while it is sent."""

QUERY_RECORD_OVERHEAD_BYTES = 1024
"""What a kept record costs beside its payload: its key, its place in the order, the objects that hold it."""

SCAN_PAGE_RECORDS = 64
SCAN_PAGE_MIN_RECORDS = 4
"""Records read from the store in one step of a scan, over all its shards; at least the second of each."""

REPLY_MAX_BYTES = 4 << 20
REPLY_RECORD_OVERHEAD_BYTES = 5
"""A unary reply, of which each record takes its key and length beside its bytes.

A message of a stream ends well below it, at `STREAM_MESSAGE_BYTES`.
"""

STREAM_MESSAGE_BYTES = 256 << 10
STREAM_PAUSE_SECONDS = 2.0
"""A stream of records says something this often while it searches, be it nothing: a client gives up else."""

TREE_PAGE_LEAVES = 1024

IMPORT_MAX_RECORDS = 4096
"""Records in one message of an import."""

IMPORT_BATCHES_UNANSWERED = 3
"""Batches of an import that are prepared, written or waiting to be answered. Only then more are read."""

CHECKED_BETWEEN_TURNS = 64
"""Properties that are checked or stamped before other tasks get their turn: a few milliseconds."""

APPLY_ATTEMPTS = 8
APPLY_PAUSE_MIN_SECONDS = 0.002
APPLY_PAUSE_MAX_SECONDS = 0.25
"""A client's write starts over when a newer version came in between, at most this often. Before each try it
waits up to so long, twice as long each time: nodes that write the same records must not meet again.
"""

BACKLOG_CONNECTIONS = 64
"""Connections that wait to be accepted, on the network in memory."""

REGISTRY_PAGE_RECORDS = 256
"""Records of the registry read in one step at the start."""

REPLICA_SECONDS = 2.0
"""How long a coordinator waits for one replica. One that lets this pass is avoided until it answers."""

LATE_ANSWERS_SECONDS = 0.1
"""How long a request that has failed waits for the other replicas, so that its error says what they did."""

REQUESTS_REMEMBERED_SECONDS = 600.0
REQUESTS_REMEMBERED_MAX = 65_536
REQUEST_ID_MAX_CHARACTERS = 128
"""Requests of clients that a replica recognises when they come again; some 300 bytes each."""

READ_REPLY_MAX_BYTES = 1 << 20
"""Records in one answer of a replica. One record is always sent, whatever its size."""

READ_MAX_RECORDS = 64
WRITE_MAX_RECORDS = 64
WRITE_MAX_BYTES = 1 << 20
"""Records in one request to a replica: the requests of others, which share the stream, go in between."""

STAMPS_MAX_BYTES = 64
"""What fresh stamps add to a property, generously: two revisions and a timestamp."""

VIEW_ATTEMPTS = 5
"""How often a request starts over because a replica sees other members than we do."""

READ_REPAIR_QUEUE_RECORDS = 1024
READ_REPAIR_QUEUE_BYTES = 16 << 20
READ_REPAIR_WORKERS = 4
"""Stale copies that wait to be written to, the bytes of their records, and how many are written at once."""

EXCHANGE_BATCH_REQUESTS = 128
EXCHANGE_BATCH_BYTES = 256 << 10
"""Requests, or replies, in one message between coordinator and replica: read in a few milliseconds.

A larger one goes alone.
"""

EXCHANGE_REQUEST_MAX_BYTES = 3 << 20
"""One request, or one reply: well below what a message may have."""

EXCHANGE_UNDER_WAY_MAX = 4096
EXCHANGE_UNDER_WAY_BYTES = 16 << 20
"""Requests that one peer has still to answer; one more is refused at once."""

EXCHANGE_HANDLED_AT_ONCE = 64
"""Requests of one peer being handled, each in a task; those to read several records count as many."""

EXCHANGE_UNANSWERED_MAX = 4096
EXCHANGE_UNANSWERED_BYTES = 8 << 20
"""Requests taken from one peer, with the replies that it has still to take. Over it, no more are read."""

EXCHANGE_FOREIGN_SECONDS = 10.0
"""How long a peer that does not know our requests is not asked again."""

EXCHANGE_REDIAL_SECONDS = 0.1
"""The same for one that cannot be reached: many clients' requests must not become as many dials."""

REGISTRY_SPREAD_SECONDS = 2.0
"""How long a change of the registry waits for the members that are there."""

HELLO_MIN_SECONDS = 1.0
HELLO_MAX_SECONDS = 15.0
"""How often a member is said hello to: often while something changes, else ever more seldom."""

HELLO_TIMEOUT_SECONDS = 1.0
FOREIGN_HELLO_SECONDS = 60.0
"""How often a member that is no gossipnode is asked whether it has become one."""

JOIN_SECONDS = 30.0
JOIN_PAUSE_SECONDS = 1.0
"""How long, and how often, a node tries to find a member of the cluster that it is to join."""

JOINED_ANEW_PAUSE_SECONDS = 1.0
"""How often it is tried to write down that a member has lost its store."""

HAND_OFF_PAUSE_SECONDS = 1.0
HAND_OFF_SHARDS_AT_ONCE = 2
"""How often a hand-off is tried again, and how many shards of it fill at the same time."""

BOOT_GREETING_SECONDS = 1.5
"""How long a node that starts waits for the members that it compares registries with before it serves."""

SCANS_SERVED_AT_ONCE = 64
"""Searches of coordinators that a replica serves at the same time."""

SCAN_SHARDS_MAX = 65_536
"""Shards of one search."""

SCAN_PAUSE_SECONDS = 0.5
"""A replica that searches says something this often, well within `REPLICA_SECONDS`."""

MERGE_BATCH_RECORDS = 64
"""Candidates that are judged together: those that have to be read by key are read in one go."""

MERGE_MOVED_MAX_RECORDS = 4096
MERGE_SEEN_MAX_RECORDS = 100_000
"""What an ordered query remembers of records that are written while it runs. Over it, one may be missed or
come twice."""

INDEX_BUILD_RECORDS = 64
INDEX_BUILD_PAUSE_SECONDS = 0.005
"""Records taken into new indexes in one step, and the pause between two: others write meanwhile."""

INDEX_RETRY_SECONDS = 30.0
INDEX_TAGS_PER_SEARCH = 4
"""Tags that one search may have an index built for: each index makes every write dearer."""

INDEXES_WANTED_MAX = 65_536
"""Indexes (of one tag of one shard) that wait to be made."""

INDEXES_REFUSED_MAX = 4096
"""Indexes that a shard cannot have, so that not every query asks for them again. The oldest go first."""

DELETE_PAGE_RECORDS = 256
"""Records that are deleted together where everything under a name is."""
