"""The rows of a stored property in tag indexes."""

from __future__ import annotations

from collections.abc import Collection

from gossipnode.core.query.index_key import IndexRow, index_rows
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.wire_errors import WireError


def payload_rows(payload: bytes, tags: Collection[str]) -> list[IndexRow]:
    """The rows of a live record in the indexes of these tags. A payload that cannot be read has no rows."""
    try:
        return index_rows(read_tags(payload, tags), tags)
    except WireError:
        return []
