"""A payload that has changed by a single bit is recognised."""

from __future__ import annotations

import pytest

from gossipnode.store.sqlite.tables.damage import DamageError, intact, kept_stamp
from tests.store.support import make_record


def test_a_sound_payload_passes() -> None:
    record = make_record(payload=b"payload")
    assert intact(record.payload, record.version) == b"payload"


@pytest.mark.parametrize("payload", [b"", b"payloae", b"payload\0", b"Payload"])
def test_any_change_is_damage(payload: bytes) -> None:
    version = make_record(revision=7, payload=b"payload").version
    with pytest.raises(DamageError, match="mod_revision 7 is not what was written"):
        intact(payload, version)


@pytest.mark.parametrize("value", [-1, 1 << 63, b"7", "7", 7.0, None])
def test_a_stamp_that_rotted_counts_as_unknown(value: object) -> None:
    assert kept_stamp(7) == 7
    assert kept_stamp(value) is None
