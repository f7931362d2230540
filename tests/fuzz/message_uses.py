"""What a node makes of messages once they are decoded: values of the core, and messages again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.cluster.deciding.epoch_messages import Accept, Ballot, Prepare
from gossipnode.core.model.limits import PROPERTY_MAX_BYTES
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.query.criteria import check_criteria, matches
from gossipnode.core.query.replica_messages import ReadRecords, Wanted, WriteRecords
from gossipnode.core.session.messages import PropertyAnswer, PropertySync, Unreadable
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.epochs.epoch_codec import (
    Announce,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)
from gossipnode.wire.epochs.metadata_codec import decode_cluster_groups, decode_metadata, encode_metadata
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1 as node
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2 as cluster
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as replica
from gossipnode.wire.group_codec import (
    decode_alteration,
    decode_new_group,
    encode_alteration,
    encode_new_group,
)
from gossipnode.wire.property.canonical_json import canonical_json
from gossipnode.wire.property.draft import draft_of, read_draft
from gossipnode.wire.property.index_rows import payload_rows
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.property.property_edit import project, read_property, read_tags
from gossipnode.wire.query.criteria_codec import decode_criteria, encode_criteria
from gossipnode.wire.query.query_codec import decode_query
from gossipnode.wire.query.scan_codec import decode_candidates, decode_search, encode_search
from gossipnode.wire.record_codec import decode_import, decode_strategy
from gossipnode.wire.replica.replica_codec import (
    add_reply,
    add_request,
    decode_reply,
    decode_request,
    reply_size,
    request_size,
)
from gossipnode.wire.round_codec import decode_alive, decode_report, encode_alive, encode_report
from gossipnode.wire.session_codec import (
    decode_client_message,
    decode_server_message,
    encode_client_message,
    encode_server_message,
)
from gossipnode.wire.sync_scan import scan_client_sync, scan_server_sync
from gossipnode.wire.wire_errors import WireError
from tests.records import prop

STAMP = 1_800_000_000 * 10**9
KNOWN = decode_record(prop("n/i1", a=1), 0)
SHARD = ShardId("g", 0)
READ = ReadRecords(
    SHARD, b"f", (Wanted(Entity("g", "n", "i1"), KNOWN.version), Wanted(Entity("g", "n", "i2")))
)
WRITE = WriteRecords(SHARD, b"f", (KNOWN,))
PREPARE = Prepare(bytes(16), 1, 7, Ballot(1, 1))
SHARDS_PLACED_MAX = 8
"""Shards of a value that are placed. A short message can tell of many."""

# --- sessions ---


def client_message(data: bytes) -> None:
    message = _or_none(decode_client_message, data)
    if message is None or (isinstance(message, PropertySync) and isinstance(message.record, Unreadable)):
        return
    assert decode_client_message(encode_client_message(message)) == message
    if (scanned := scan_client_sync(data)) is not None:
        sync = _or_none(lambda data: decode(banyandb.RepairRequest, data), data)
        assert sync is None or (sync.property_sync.property, sync.property_sync.delete_time) == scanned[:2]


def server_message(data: bytes) -> None:
    message = _or_none(decode_server_message, data)
    if message is None or (isinstance(message, PropertyAnswer) and isinstance(message.record, Unreadable)):
        return
    assert decode_server_message(encode_server_message(message)) == message
    if (scanned := scan_server_sync(data)) is not None:
        answer = _or_none(lambda data: decode(banyandb.RepairResponse, data), data)
        assert answer is None or answer.property_sync.property.property == scanned.payload


# --- properties ---


def stored_record(data: bytes) -> None:
    """What a replica has taken, every reader of stored records can read."""
    record = _or_none(lambda data: decode_record(data, 0), data)
    if record is None:
        return
    use_record(record)


def use_record(record: Record) -> None:
    payload = record.payload
    assert len(payload) <= PROPERTY_MAX_BYTES
    assert decode_record(payload, record.version.delete_time) == record
    assert read_property(payload).entity == record.entity
    for spacing in ("none", "commas"):
        canonical_json(payload, spacing)
    tags = read_tags(payload)
    payload_rows(payload, list(tags))
    project(payload, list(tags)[:1])
    stamped = (
        draft_of(record).over(payload).stamped(create_revision=1, mod_revision=STAMP, updated_at_ns=STAMP)
    )
    assert decode_record(stamped.payload, 0) == stamped
    gone = draft_of(record).without_tags().stamped(create_revision=1, mod_revision=STAMP, delete_time=STAMP)
    assert decode_record(gone.payload, STAMP) == gone


def applied(data: bytes) -> None:
    """What a client may write becomes a record that every replica takes."""
    draft = _or_none(read_draft, data)
    if draft is not None:
        assert draft.tag_count > 0
        use_record(draft.stamped(create_revision=STAMP, mod_revision=STAMP, updated_at_ns=STAMP))


def _or_none(decoder: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return decoder(data)
    except WireError:
        return None


WHOLE: tuple[tuple[str, Callable[[bytes], None]], ...] = (
    ("banyandb.property.v1.RepairRequest", client_message),
    ("banyandb.property.v1.RepairResponse", server_message),
    ("banyandb.property.v1.Property", stored_record),
    ("banyandb.property.v1.Property", applied),
)
"""Decoders of whole messages, by what they read."""

# --- what stands in envelopes. A ValueError is the documented answer to a message that makes no sense. ---


def use(message: Any) -> None:
    """Do with a message what a node does first. Raises ValueError where it refuses it."""
    handle = USES.get(type(message))
    if handle is not None:
        handle(message)


def _criteria(message: model.Criteria) -> None:
    criteria = decode_criteria(message)
    if criteria is not None:
        again = decode_criteria(encode_criteria(criteria))
        assert again == criteria
        matches(check_criteria(criteria), {"a": 1, "b": "x"})


def _alive(message: node.AliveRequest) -> None:
    signs = decode_alive(message)
    assert decode_alive(encode_alive(message.holder, signs)) == signs


def _report(message: node.ReportRequest) -> None:
    report = decode_report(message)
    assert decode_report(encode_report(report)) == report


def _new_group(message: node.CreateGroupRequest) -> None:
    group = decode_new_group(message)
    assert decode_new_group(encode_new_group(group)) == group


def _alteration(message: node.AlterGroupRequest) -> None:
    alteration = decode_alteration(message)
    assert decode_alteration(encode_alteration(alteration)) == alteration


def _apply(message: node.ApplyRequest) -> None:
    decode_strategy(message.strategy)
    applied(message.property)


def _import(message: node.ImportRequest) -> None:
    for payload, delete_time in decode_import(message):
        use_record(decode_record(payload, delete_time))


def _requests(message: replica.ExchangeRequest) -> None:
    for each in message.requests:
        request = decode_request(each)
        assert request_size(request) > 0
        batch = replica.ExchangeRequest()
        add_request(batch, each.id, request)
        assert decode_request(batch.requests[0]) == request


def _replies(message: replica.ExchangeReply) -> None:
    for each in message.replies:
        for request in (READ, WRITE):
            try:
                reply = decode_reply(each, request)
            except ValueError:
                continue
            assert reply_size(reply) > 0
            batch = replica.ExchangeReply()
            add_reply(batch, each.id, reply)
            assert decode_reply(batch.replies[0], request) == reply


def _search(message: replica.ScanRequest) -> None:
    search, shards = decode_search(message)
    assert decode_search(encode_search(search, shards)) == (search, shards)


def _epoch_question(message: cluster.EpochRequest) -> None:
    question = decode_question(message)
    assert decode_question(encode_question(question)) == question
    if isinstance(question, Accept | Announce):
        _placements(question.value)


def _epoch_answer(message: cluster.EpochReply) -> None:
    answer = decode_answer(message, PREPARE)
    assert decode_answer(encode_answer(answer), PREPARE) == answer


def _join_reply(message: replica.JoinReply) -> None:
    value = decode_metadata(message.value)
    assert decode_metadata(encode_metadata(value)) == value
    _placements(value)


def _placements(value: ClusterMetadata) -> None:
    """Every shard has a place, be it that of an honest value or of one that only makes sense."""
    for shard in islice(value.shards(), SHARDS_PLACED_MAX):
        assert value.place(shard).coming


USES: dict[type, Callable[[Any], object]] = {
    model.Criteria: _criteria,
    banyandb.QueryRequest: decode_query,
    banyandb.ApplyRequest: _apply,
    node.ApplyRequest: _apply,
    node.ReportRequest: _report,
    node.AliveRequest: _alive,
    node.CreateGroupRequest: _new_group,
    node.AlterGroupRequest: _alteration,
    node.ImportRequest: _import,
    replica.ExchangeRequest: _requests,
    replica.ExchangeReply: _replies,
    replica.ScanRequest: _search,
    replica.JoinReply: _join_reply,
    replica.JoinRequest: lambda request: decode_cluster_groups(request.groups),
    cluster.EpochRequest: _epoch_question,
    cluster.EpochReply: _epoch_answer,
    replica.ScanPage: lambda page: decode_candidates(page, (SHARD,)),
}
