"""The messages of the protocol as a client in another language has them: Google's classes, filled by hand.

Nothing here is encoded or read by the product's own code, so that a test does not share its mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.wire.generated.pb.banyandb.property.v1 import gossip_pb2 as gossip
from gossipnode.wire.generated.pb.banyandb.property.v1 import property_pb2 as properties
from gossipnode.wire.generated.pb.banyandb.property.v1 import repair_pb2 as repairs
from gossipnode.wire.generated.pb.banyandb.property.v1 import rpc_pb2 as rpc
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2 as own

__all__ = ["gossip", "own", "properties", "property_of", "repairs", "rpc", "tags_of"]


def property_of(
    group: str,
    name: str,
    id_: str,
    tags: Mapping[str, object] | None = None,
    *,
    revision: int = 0,
) -> Any:
    """A property. A tag is a text, a number, bytes, a list of texts or numbers, or None for null."""
    made = properties.Property(id=id_)
    made.metadata.group, made.metadata.name = group, name
    if revision:
        made.metadata.mod_revision = revision
        made.metadata.create_revision = 1
    for key, value in ({"k": "v"} if tags is None else tags).items():
        tag = made.tags.add(key=key)
        match value:
            case str():
                tag.value.str.value = value
            case int():
                tag.value.int.value = value
            case bytes():
                tag.value.binary_data = value
            case list() if value and isinstance(value[0], int):
                tag.value.int_array.value.extend(value)
            case list():
                tag.value.str_array.value.extend(value)
            case _:
                tag.value.null = 0
    return made


def tags_of(record: Any) -> dict[str, object]:
    """The tags of a property as plain values."""
    found: dict[str, object] = {}
    for tag in record.tags:
        kind = tag.value.WhichOneof("value")
        value = getattr(tag.value, kind)
        found[tag.key] = list(value.value) if "array" in kind else getattr(value, "value", value)
    return found
