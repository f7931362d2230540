"""Imports, as the tests of bulk writes make them, at a node alone and in a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from gossipnode.core.model.property import Record
from gossipnode.core.query.replica_messages import READ_MAX_RECORDS, WRITE_MAX_RECORDS
from gossipnode.node.coordinate.bulk_writes import BadRecord, ImportedRecord, PreparedImport
from gossipnode.sim import Cluster
from gossipnode.wire.property.property_edit import read_property
from tests.node.support import Alone
from tests.records import entity, prop, record

SHARDS = "sw:4:3"
MANY = 2 * max(READ_MAX_RECORDS, WRITE_MAX_RECORDS) + 3


def create_revision(payload: bytes) -> int:
    return read_property(payload).create_revision


def items(*payloads: bytes, delete_time: int = 0) -> list[ImportedRecord]:
    return [ImportedRecord(payload, delete_time) for payload in payloads]


async def import_all(
    alone: Alone, batch: list[ImportedRecord], *, keep_versions: bool = False
) -> int | BadRecord:
    """Import a batch at a node alone; gives how many records it had, or the bad one."""
    prepared = await alone.bulk.prepare_import("sw", batch, keep_versions=keep_versions)
    if isinstance(prepared, BadRecord):
        return prepared
    try:
        return await prepared.commit()
    finally:
        prepared.release()


def batch(count: int = MANY, **tags: int) -> list[ImportedRecord]:
    """n/0, n/1 and so on, each with these tags, or with its number as the tag x."""
    return [ImportedRecord(prop(f"n/{number}", **(tags or {"x": number})), 0) for number in range(count)]


def version_of(key: str, revision: int, delete_time: int = 0) -> ImportedRecord:
    kept = record(key, revision=revision)
    return ImportedRecord(kept.payload, delete_time)


async def run_import(
    cluster: Cluster,
    name: str,
    records: Sequence[ImportedRecord],
    *,
    ack: str = "",
    keep_versions: bool = False,
) -> int:
    """Import a batch at a node of a cluster; gives how many records it had."""
    prepared = await cluster.parts(name).coordination.bulk.prepare_import(
        "sw", records, keep_versions=keep_versions, ack=ack
    )
    assert isinstance(prepared, PreparedImport), prepared
    try:
        return await prepared.commit()
    finally:
        prepared.release()


async def live(cluster: Cluster, name: str, key: str, ack: str = "") -> Record | None:
    """A record as a node of a cluster tells it; None when it is not there, or deleted."""
    return (await cluster.coordinator(name).get(entity(key), ack=ack)).record
