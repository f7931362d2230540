"""A property, decoded, with all that a node stores with it: stamps, time of deletion, metadata id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import TagValue, Timestamp


@dataclass(frozen=True, slots=True)
class StoredProperty:
    """One version of a record. The order of `tags` is data and is kept."""

    entity: Entity
    tags: Mapping[str, TagValue] = field(default_factory=dict[str, TagValue])
    create_revision: int = 0
    """Nanoseconds; 0 is an absent stamp."""
    mod_revision: int = 0
    updated_at: Timestamp | None = None
    delete_time: int = 0
    """0 while alive, otherwise nanoseconds."""
    metadata_id: int = 0
    """A number of the wire format that gossipnode itself never sets."""
