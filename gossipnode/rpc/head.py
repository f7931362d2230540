"""What a header block says, once it is decoded: data that every room of this package reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from gossipnode.rpc.status import Metadata

#: Header fields as they are sent: names and values in order.
Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Head:
    """One decoded header block: pseudo-headers, the protocol's own fields, and the user's metadata."""

    pseudo: Mapping[str, str]
    fields: Mapping[str, str]
    metadata: Metadata
