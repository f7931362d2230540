"""How many elements each repeated field of each message may hold, and what else bounds the cost of reading.

A message is bounded in bytes by `rpc`, but an element may take two bytes: 4 MiB can ask for two million
objects. So elements are counted before objects are made of them, in the strict reader (`envelope.strict`) and
before Google's runtime sees the bytes (`element_count`).

The bounds hold off what no honest sender would send. They lie above the limits of the rooms that judge the
content, whose errors can say more, and above all that a compatible peer sends.
"""

from __future__ import annotations

FIELDS_MAX = 131_072
"""Fields of one message that a node reads, those of enclosed messages included."""

UNKNOWN_FIELDS_MAX = 16_384
"""Unknown fields of one property: four for each tag that it may have."""

MESSAGE_FIELDS = 16
"""What an enclosed message counts as, beside its own fields: to make one takes as long as to read as many."""

ANSWER_FIELDS_MAX = 1 << 21
"""Fields of one answer that a client reads: the status of a large cluster has a million, as these count."""

TAGS_MAX = 4096
"""Tags of one property."""

ARRAY_MAX_ELEMENTS = 65_536
"""Elements of a tag's array."""

CRITERIA_ARRAY_MAX_ELEMENTS = 8192
"""Elements of an array in criteria. The core allows half as many, and says more about it."""

PAGE_MAX_LEAVES = 73_728
"""Leaves on one page of a tree. 10 MiB, the most that a compatible peer sends, hold fewer leaves: one takes
143 bytes at least, 128 of them for its digest."""

DIGEST_MAX_CHARACTERS = 128
"""The digest of a slot in hex."""

SIGNS_MAX = 4096
"""Messages of rounds of which one sign of life tells."""

_SLOTS_MAX = 32
_BATCH_MAX = 4096
_LIST_MAX = 65_536
_SHOWN_MAX = 1 << 18

ELEMENTS_MAX = {
    # Tree sessions and rounds
    "banyandb.property.v1.TreeSlots.slot_sha": _SLOTS_MAX,
    "banyandb.property.v1.DifferTreeSummary.nodes": PAGE_MAX_LEAVES,
    "banyandb.property.v1.PropagationContext.nodes": _BATCH_MAX,
    "gossipnode.v1.ReportRequest.hops": _BATCH_MAX,
    "gossipnode.v1.AliveRequest.messages": SIGNS_MAX,
    "gossipnode.v1.ForeignTurnRequest.nodes": _BATCH_MAX,
    # Properties and queries
    "banyandb.property.v1.Property.tags": TAGS_MAX,
    "banyandb.model.v1.StrArray.value": ARRAY_MAX_ELEMENTS,
    "banyandb.model.v1.IntArray.value": ARRAY_MAX_ELEMENTS,
    "banyandb.property.v1.QueryRequest.groups": _BATCH_MAX,
    "banyandb.property.v1.QueryRequest.ids": _LIST_MAX,
    "banyandb.property.v1.QueryRequest.tag_projection": _BATCH_MAX,
    "gossipnode.v1.ImportRequest.records": 2 * _BATCH_MAX,
    # What members ask each other
    "gossipnode.v1.ProveReply.proofs": _BATCH_MAX,
    "gossipnode.v1.ExchangeRequest.requests": _BATCH_MAX,
    "gossipnode.v1.ReadRecords.wanted": _BATCH_MAX,
    "gossipnode.v1.WriteRecords.records": _BATCH_MAX,
    "gossipnode.v1.Lineage.known": _BATCH_MAX,
    "gossipnode.v1.ExchangeReply.replies": _BATCH_MAX,
    "gossipnode.v1.RecordsRead.held": _BATCH_MAX,
    "gossipnode.v1.RecordsWritten.outcomes": _BATCH_MAX,
    "gossipnode.v1.ScanRequest.shards": _LIST_MAX,
    "gossipnode.v1.ScanRequest.ids": _LIST_MAX,
    "gossipnode.v1.ScanPage.candidates": 2 * _BATCH_MAX,
    "gossipnode.v1.LineagesReply.found": _BATCH_MAX,
    "gossipnode.v1.ChangesRequest.shards": _LIST_MAX,
    "gossipnode.v1.ChangesPage.changes": 2 * _BATCH_MAX,
    # Watches
    "gossipnode.v1.WatchRequest.ids": _LIST_MAX,
    "gossipnode.v1.WatchResponse.events": _LIST_MAX,
    "gossipnode.v1.WatchToken.positions": _BATCH_MAX,
    "gossipnode.v1.WatchToken.Position.shards": _LIST_MAX,
    "gossipnode.v1.WaitResponse.applied": _BATCH_MAX,
    "gossipnode.v1.WaitResponse.lagging": _BATCH_MAX,
    "gossipnode.v1.ExplainResponse.replicas": _BATCH_MAX,
    "gossipnode.v1.ExplainResponse.winners": _BATCH_MAX,
    "gossipnode.v1.HelloMessage.moving": _LIST_MAX,
    "gossipnode.v1.HelloMessage.filled": _LIST_MAX,
    "gossipnode.v1.ReconcileSums.prefixes": _BATCH_MAX,
    "gossipnode.v1.ReconcileTags.prefixes": _BATCH_MAX,
    "gossipnode.v1.ReconcileTags.counts": _BATCH_MAX,
    "gossipnode.v1.ReconcileUnmatched.positions": _LIST_MAX,
    "gossipnode.v1.ReconcileUnmatched.mod_revisions": _LIST_MAX,
    "gossipnode.v1.ReconcileUnmatched.delete_times": _LIST_MAX,
    "gossipnode.v1.ReconcileWantsAll.prefixes": _BATCH_MAX,
    "gossipnode.v1.ReconcileRecords.records": _BATCH_MAX,
    # The cluster's metadata
    "gossipnode.v1.ClusterValue.members": _LIST_MAX,
    "gossipnode.v1.ClusterValue.groups": _LIST_MAX,
    "gossipnode.v1.ClusterValue.layouts": _BATCH_MAX,
    "gossipnode.v1.ClusterValue.lies": _LIST_MAX,
    "gossipnode.v1.ClusterValue.forgotten": _LIST_MAX,
    "gossipnode.v1.ClusterValue.foreign": _BATCH_MAX,
    "gossipnode.v1.ClusterValue.movers": _LIST_MAX,
    "gossipnode.v1.ClusterValue.altered": _LIST_MAX,
    "gossipnode.v1.ClusterGroup.indexes": _BATCH_MAX,
    "gossipnode.v1.Layout.members": _LIST_MAX,
    "gossipnode.v1.Layout.replicas": _LIST_MAX,
    "gossipnode.v1.Forming.members": _BATCH_MAX,
    "gossipnode.v1.Forming.groups": _BATCH_MAX,
    "gossipnode.v1.Forming.foreign": _BATCH_MAX,
    "gossipnode.v1.JoinRequest.groups": _BATCH_MAX,
    # What operators ask, and what a client is told
    "gossipnode.v1.CreateGroupRequest.indexes": _BATCH_MAX,
    "gossipnode.v1.AlterGroupRequest.TagList.tags": _BATCH_MAX,
    "gossipnode.v1.Group.indexes": _BATCH_MAX,
    "gossipnode.v1.ListGroupsResponse.groups": _SHOWN_MAX,
    "gossipnode.v1.RecordBatch.records": _SHOWN_MAX,
    "gossipnode.v1.SetAsideStatus.keys": _BATCH_MAX,
    "gossipnode.v1.ShardStatus.replicas": _BATCH_MAX,
    "gossipnode.v1.ShardStatus.Moving.to": _BATCH_MAX,
    "gossipnode.v1.ShardStatus.behind": _BATCH_MAX,
    "gossipnode.v1.Memory.by": _LIST_MAX,
    "gossipnode.v1.Memory.callers": _LIST_MAX,
    "gossipnode.v1.StatusResponse.members": _SHOWN_MAX,
    "gossipnode.v1.StatusResponse.warnings": _BATCH_MAX,
    "gossipnode.v1.StatusResponse.unheard": _BATCH_MAX,
    "gossipnode.v1.StatusResponse.Forming.waiting_for": _BATCH_MAX,
    "gossipnode.v1.StatusResponse.Forming.problems": _BATCH_MAX,
    "gossipnode.v1.StatusResponse.shards": _SHOWN_MAX,
    "gossipnode.v1.StatusResponse.groups": _SHOWN_MAX,
    "gossipnode.v1.StatusResponse.rounds": _SHOWN_MAX,
    "gossipnode.v1.TreeRequest.leaves_of": _SLOTS_MAX,
    "gossipnode.v1.TreeResponse.slots": _SHOWN_MAX,
    "gossipnode.v1.TreeResponse.leaves": _SHOWN_MAX,
    "gossipnode.v1.DiffResponse.differences": _SHOWN_MAX,
    "gossipnode.v1.Round.hops": _BATCH_MAX,
    "banyandb.property.v1.QueryResponse.properties": _SHOWN_MAX,
    "banyandb.common.v1.Trace.spans": _LIST_MAX,
    "banyandb.common.v1.Span.tags": _BATCH_MAX,
    "banyandb.common.v1.Span.children": _LIST_MAX,
    # What a node tells of itself
    "banyandb.database.v1.Node.roles": _BATCH_MAX,
    "banyandb.database.v1.Node.labels": _BATCH_MAX,
    # Descriptions of the services
    "grpc.reflection.v1.FileDescriptorResponse.file_descriptor_proto": _BATCH_MAX,
    "grpc.reflection.v1.ExtensionNumberResponse.extension_number": _BATCH_MAX,
    "grpc.reflection.v1.ListServiceResponse.service": _BATCH_MAX,
    "grpc.reflection.v1alpha.FileDescriptorResponse.file_descriptor_proto": _BATCH_MAX,
    "grpc.reflection.v1alpha.ExtensionNumberResponse.extension_number": _BATCH_MAX,
    "grpc.reflection.v1alpha.ListServiceResponse.service": _BATCH_MAX,
}
"""The most elements of each repeated field, by the full names of message and field."""

TEXT_MAX_CHARACTERS = {"banyandb.property.v1.TreeSlotSHA.value": DIGEST_MAX_CHARACTERS}
"""The longest text of the fields whose text is kept in numbers."""


def flat_name(full_name: str) -> str:
    """A field's full name as betterproto's classes spell it: enclosed messages joined, in lower case."""
    *path, field = full_name.split(".")
    package = [part for part in path if part.islower()]
    message = "".join(part for part in path if not part.islower())
    return ".".join([*package, message.lower(), field])


FLAT_ELEMENTS_MAX = {flat_name(name): most for name, most in ELEMENTS_MAX.items()} | {
    # The strict reader meets arrays in criteria alone: properties are bytes to it.
    "banyandb.model.v1.strarray.value": CRITERIA_ARRAY_MAX_ELEMENTS,
    "banyandb.model.v1.intarray.value": CRITERIA_ARRAY_MAX_ELEMENTS,
}
FLAT_TEXT_MAX_CHARACTERS = {flat_name(name): most for name, most in TEXT_MAX_CHARACTERS.items()}
