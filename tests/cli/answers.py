"""Commands that read or write records, each with a good answer of a node."""

from __future__ import annotations

from typing import Any

from gossipnode.core.model.property import Entity
from gossipnode.rpc import Method
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import build_property

PAYLOAD = build_property(Entity("sw", "n", "i"), {"a": "x"}, create_revision=5, mod_revision=7)
RECORD = messages.Record(property=PAYLOAD)
COMMANDS: list[tuple[list[str], Method[Any, Any], Any]] = [
    (
        ["apply", "sw/n/i", "a=x"],
        services.NODE_APPLY,
        messages.ApplyResponse(created=True, property=PAYLOAD, acknowledged=2, replicas=3),
    ),
    (
        ["delete", "sw/n/i"],
        services.NODE_DELETE,
        messages.DeleteResponse(deleted=True, acknowledged=2, replicas=3, mod_revision=9),
    ),
    (["get", "sw/n/i"], services.NODE_GET, messages.GetResponse(record=RECORD, acknowledged=2, replicas=3)),
    (["query", "sw"], services.NODE_QUERY, [messages.RecordBatch(records=[RECORD])]),
    (["import", "sw", "-"], services.NODE_IMPORT, [messages.ImportResponse(records=1)]),
    (["export", "sw"], services.NODE_EXPORT, [messages.RecordBatch(records=[RECORD])]),
]
