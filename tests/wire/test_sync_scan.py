"""The quick look at a record's message agrees with the strict reader, or gives up."""

from __future__ import annotations

import betterproto
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.session.messages import (
    AnswerTo,
    PropertyAnswer,
    PropertyMissing,
    PropertySync,
    WaitNextDiffer,
)
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.banyandb.property import v1 as bp
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.session_codec import encode_client_message, encode_server_message
from gossipnode.wire.sync_scan import scan_client_sync, scan_server_sync
from gossipnode.wire.wire_errors import WireError
from tests.wire.support import ENTITY, EVERY_TYPE, examples, field

RECORDS = [
    decode_record(build_property(ENTITY, EVERY_TYPE, mod_revision=7), 0),
    decode_record(build_property(ENTITY, {"k": "v" * 20_000}, mod_revision=2**62), 2**62),
    decode_record(build_property(ENTITY, {"k": 1}), 300),
]
CLIENT = [encode_client_message(PropertySync(record)) for record in RECORDS]
SERVER = [encode_server_message(PropertyAnswer(to, record)) for record in RECORDS for to in AnswerTo]


def strictly(cls: type[bp.RepairRequest] | type[bp.RepairResponse], data: bytes) -> object:
    """(payload, delete_time, from) as the strict reader has it; None if the message carries no record."""
    try:
        name, value = betterproto.which_one_of(decode(cls, data), "data")
    except WireError:
        return None
    if name != "property_sync":
        return None
    if cls is bp.RepairRequest:
        return value.property, value.delete_time, 0
    return value.property.property, value.property.delete_time, int(value.from_)


@pytest.mark.parametrize("data", CLIENT)
def test_what_a_client_sends_is_read_at_a_glance(data: bytes) -> None:
    assert scan_client_sync(data) == strictly(bp.RepairRequest, data)


@pytest.mark.parametrize("data", SERVER)
def test_what_a_server_sends_is_read_at_a_glance(data: bytes) -> None:
    assert scan_server_sync(data) == strictly(bp.RepairResponse, data)


def test_other_messages_are_left_alone() -> None:
    for message in (WaitNextDiffer(), PropertyMissing("g/n/i")):
        assert scan_client_sync(encode_client_message(message)) is None
    assert scan_client_sync(b"") is None
    assert scan_server_sync(b"") is None


@pytest.mark.slow
@examples(400)
@given(st.sampled_from([CLIENT[0], CLIENT[2], SERVER[0], SERVER[7]]), st.data())
def test_damaged_messages_are_given_up_or_read_as_the_strict_decoder_does(
    whole: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(damaged) - 1, 24)))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    tail = data.draw(st.binary(max_size=12))
    text = bytes(damaged[: len(damaged) - cut]) + tail
    for scan, cls in ((scan_client_sync, bp.RepairRequest), (scan_server_sync, bp.RepairResponse)):
        scanned = scan(text)
        assert scanned is None or scanned == strictly(cls, text)


def test_another_field_behind_the_known_ones_is_for_the_strict_decoder() -> None:
    """A second delete_time would take the place of the first, so the look must not stop before it."""
    sync = encode(decode(bp.RepairRequest, CLIENT[2]).property_sync)
    for more in (b"\x18\x05", b"\x12\x00", b"\x0a\x00", b"\x78\x01", b"\xff"):
        assert scan_client_sync(field(4, sync + more)) is None
    assert scan_client_sync(field(4, sync)) is not None
    assert scan_client_sync(field(4, sync) + b"\x2a\x00") is None
