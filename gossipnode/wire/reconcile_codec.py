"""The messages of a reconcile session, as bytes and back. Their columns are bytes, little-endian."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from gossipnode.core.model.property import Record
from gossipnode.core.session.messages import Unreadable
from gossipnode.core.session.reconcile.reconcile_dues import OFFERED_DIGEST_BYTES
from gossipnode.core.session.reconcile.reconcile_messages import (
    Answered,
    Closing,
    Offer,
    Opening,
    OpeningVerdict,
    ReconcileMessage,
    ReconcileStanding,
    SentRecords,
    Sums,
    Tags,
    Unmatched,
    Wants,
    WantsAll,
)
from gossipnode.core.session.reconcile.reconcile_walk import SUM_BYTES
from gossipnode.wire.bounds.element_count import check_elements
from gossipnode.wire.generated.pb.gossipnode.v1 import reconcile_pb2 as pb
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2
from gossipnode.wire.replica.stored_record import decode_stored_record, fill_stored_record
from gossipnode.wire.wire_errors import UnstorableError, WireError

_HASH: Final = "Q"
_TAG: Final = "I"
_STANDINGS = {standing.value: standing for standing in ReconcileStanding}


def encode_reconcile_message(message: ReconcileMessage) -> bytes:
    """The bytes of a ReconcileMessage."""
    return _made(message).SerializeToString()


def _made(message: ReconcileMessage) -> pb.ReconcileMessage:
    match message:
        case SentRecords(records):
            stored = [_stored(record) for record in records]
            return pb.ReconcileMessage(records=pb.ReconcileRecords(records=stored))
        case Sums(level, prefixes, down, sums):
            said = pb.ReconcileSums(level=level, prefixes=prefixes, down=down, sums=_sum_bytes(sums))
            return pb.ReconcileMessage(sums=said)
        case Tags(level, prefixes, counts, tags):
            column = _column(_TAG, tags)
            return pb.ReconcileMessage(
                tags=pb.ReconcileTags(level=level, prefixes=prefixes, counts=counts, tags=column)
            )
        case Unmatched(positions, offers):
            return pb.ReconcileMessage(unmatched=_unmatched(positions, offers))
        case Wants(hashes):
            return pb.ReconcileMessage(wants=pb.ReconcileWants(entity_hashes=_column(_HASH, hashes)))
        case WantsAll(level, prefixes):
            return pb.ReconcileMessage(wants_all=pb.ReconcileWantsAll(level=level, prefixes=prefixes))
        case Answered(questions):
            return pb.ReconcileMessage(answered=questions)
        case Closing(root, settled):
            return pb.ReconcileMessage(closing=pb.ReconcileClosing(root=root, settled=settled))
        case OpeningVerdict(standing, root, count):
            name = f"STANDING_{standing.name}"
            return pb.ReconcileMessage(verdict=pb.ReconcileVerdict(standing=name, root=root, count=count))
        case Opening():
            opening = pb.ReconcileOpening(
                group=message.group,
                shard=message.shard,
                key_check=message.key_check,
                root=message.root,
                count=message.count,
                sums=_sum_bytes(message.sums),
                tree_root=message.tree_root,
            )
            return pb.ReconcileMessage(opening=opening)


def decode_reconcile_message(data: bytes) -> ReconcileMessage:
    """Read a ReconcileMessage. A property that no replica may store becomes `Unreadable`.

    Raises:
        WireError: it is malformed, or empty.
    """
    check_elements(pb.ReconcileMessage, data, "ReconcileMessage")
    try:
        message = pb.ReconcileMessage.FromString(data)
    except DecodeError:
        raise WireError("ReconcileMessage: malformed, truncated, or with text that is not UTF-8") from None
    match message.WhichOneof("what"):
        case "records":
            return SentRecords(tuple([_record(each) for each in message.records.records]))
        case "sums":
            sums = message.sums
            return Sums(sums.level, array(_HASH, sums.prefixes), sums.down, _sums(sums.sums))
        case "tags":
            tags = message.tags
            prefixes, counts = array(_HASH, tags.prefixes), array(_TAG, tags.counts)
            return Tags(tags.level, prefixes, counts, _values(_TAG, tags.tags, "tags"))
        case "unmatched":
            return Unmatched(array(_TAG, message.unmatched.positions), _offers(message.unmatched))
        case "wants":
            return Wants(_values(_HASH, message.wants.entity_hashes, "entity_hashes"))
        case "wants_all":
            return WantsAll(message.wants_all.level, array(_HASH, message.wants_all.prefixes))
        case "answered":
            return Answered(message.answered)
        case "closing":
            return Closing(message.closing.root, message.closing.settled)
        case "verdict":
            standing = _STANDINGS.get(message.verdict.standing)
            if standing is None:
                raise WireError(f"ReconcileVerdict.standing: {message.verdict.standing} is unknown")
            return OpeningVerdict(standing, message.verdict.root, message.verdict.count)
        case "opening":
            said = message.opening
            first = _sums(said.sums)
            return Opening(
                said.group, said.shard, said.key_check, said.root, said.count, first, said.tree_root
            )
        case _:
            raise WireError("ReconcileMessage.what: nothing in it")


def _unmatched(positions: Sequence[int], offers: Sequence[Offer]) -> pb.ReconcileUnmatched:
    return pb.ReconcileUnmatched(
        positions=positions,
        entity_hashes=_column(_HASH, [offer.entity_hash for offer in offers]),
        mod_revisions=[offer.mod_revision for offer in offers],
        delete_times=[offer.delete_time for offer in offers],
        digests=b"".join(offer.digest for offer in offers),
    )


def _offers(message: pb.ReconcileUnmatched) -> tuple[Offer, ...]:
    hashes = _values(_HASH, message.entity_hashes, "entity_hashes")
    data, size = message.digests, OFFERED_DIGEST_BYTES
    if not len(hashes) == len(message.mod_revisions) == len(message.delete_times) == len(data) / size:
        raise WireError("ReconcileUnmatched: its columns have different lengths")
    digests = [data[at : at + size] for at in range(0, len(data), size)]
    return tuple(map(Offer, hashes, message.mod_revisions, message.delete_times, digests))


def _stored(record: Record | Unreadable) -> replica_pb2.StoredRecord:
    if isinstance(record, Unreadable):
        raise WireError(f"StoredRecord.property: unreadable, and never sent on: {record.problem}")
    stored = replica_pb2.StoredRecord()
    fill_stored_record(stored, record)
    return stored


def _record(message: replica_pb2.StoredRecord) -> Record | Unreadable:
    try:
        return decode_stored_record(message)
    except UnstorableError as fault:
        return Unreadable(str(fault))


def _sum_bytes(sums: Iterable[int]) -> bytes:
    return b"".join([each.to_bytes(SUM_BYTES, "little") for each in sums])


def _sums(data: bytes) -> tuple[int, ...]:
    if len(data) % SUM_BYTES:
        raise WireError(f"sums: {len(data)} bytes, expected {SUM_BYTES} for each")
    return tuple(
        [int.from_bytes(data[at : at + SUM_BYTES], "little") for at in range(0, len(data), SUM_BYTES)]
    )


def _column(kind: str, values: Iterable[int]) -> bytes:
    column = array(kind, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _values(kind: str, data: bytes, name: str) -> array[int]:
    column: array[int] = array(kind)
    if len(data) % column.itemsize:
        raise WireError(f"{name}: {len(data)} bytes, expected {column.itemsize} for each")
    column.frombytes(data)
    if sys.byteorder == "big":
        column.byteswap()
    return column
