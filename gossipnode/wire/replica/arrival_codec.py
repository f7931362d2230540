"""How a version came to a replica: on the wire, and as it is kept beside the record."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

_NUMBERS = {through: number for number, through in enumerate(Through)}
_THROUGH = {number: through for through, number in _NUMBERS.items()}

SOURCE_MAX_CHARACTERS = 255
"""As a member's name. What is longer is cut."""


def fill_arrival(message: pb.Arrival, arrival: Arrival) -> None:
    """Write an arrival into a message that is there, even if it says nothing."""
    message.SetInParent()
    message.through = _NUMBERS[arrival.through]
    message.source = arrival.source
    message.at_milliseconds = arrival.at_milliseconds


def decode_arrival(message: pb.Arrival) -> Arrival:
    """Read an arrival. A way that a newer node has named counts as a client's."""
    return Arrival(
        _THROUGH.get(message.through, Through.CLIENT),
        message.source[:SOURCE_MAX_CHARACTERS],
        max(message.at_milliseconds, 0),
    )


def encode_kept_arrival(arrival: Arrival) -> bytes:
    """An arrival as it is kept beside a record."""
    message = pb.Arrival()
    fill_arrival(message, arrival)
    return message.SerializeToString()


def decode_kept_arrival(kept: bytes) -> Arrival | None:
    """An arrival as it was kept; None if nothing was, or if it rotted."""
    if not kept:
        return None
    try:
        return decode_arrival(pb.Arrival.FromString(kept))
    except (DecodeError, ValueError):
        return None
